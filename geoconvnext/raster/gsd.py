"""Ground sampling distance in metres, measured on the ellipsoid, and the grid that the network wants."""

import math
from dataclasses import dataclass
from typing import Any

import pyproj
from affine import Affine
from pyproj.exceptions import ProjError

SQUARE_TOLERANCE = 0.02
"""Pixels whose sides differ by less than this share count as square."""

MAX_ENLARGEMENT = 4.0
"""Network pixels per scene pixel along an axis, at most: more would show nothing more."""


@dataclass(frozen=True)
class GroundPixel:
    """Size of a pixel on the ground."""

    across_m: float
    """Metres from one column to the next."""
    down_m: float
    """Metres from one row to the next."""

    @property
    def gsd_m(self) -> float:
        """Side of the square of the same area."""
        return math.sqrt(self.across_m * self.down_m)

    @property
    def is_square(self) -> bool:
        """Whether the sides differ by no more than 2 %."""
        return abs(self.across_m - self.down_m) <= SQUARE_TOLERANCE * max(self.across_m, self.down_m)


@dataclass(frozen=True)
class NetworkGrid:
    """The grid that the network sees: the scene's own, or one of other pixels that covers the same area."""

    height: int
    width: int
    down_factor: float
    """Scene rows per network row."""
    across_factor: float
    """Scene columns per network column."""

    @property
    def is_native(self) -> bool:
        """Whether the scene's own pixels are used."""
        return self.down_factor == 1 and self.across_factor == 1


def ground_pixel(crs: Any, transform: Affine, height: int, width: int) -> GroundPixel | None:
    """Geodesic size of the pixel in the middle of a scene; None where the CRS has no place on Earth.

    crs: rasterio CRS. Web Mercator and degrees come out in true metres.
    """
    col, row = width / 2, height / 2
    corners = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
    try:
        earth = pyproj.Transformer.from_crs(pyproj.CRS.from_wkt(crs.to_wkt()), "EPSG:4326", always_xy=True)
        west, east, north, south = (earth.transform(*_place(transform, *corner)) for corner in corners)
    except ProjError:
        return None
    ellipsoid = pyproj.Geod(ellps="WGS84")
    across, down = ellipsoid.inv(*west, *east)[2], ellipsoid.inv(*north, *south)[2]
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        return None
    return GroundPixel(across, down)


def _place(transform: Affine, col: float, row: float) -> tuple[float, float]:
    """Coordinates of a point of the image; spelled out, because affine 2 and 3 differ in their operators."""
    a, b, c, d, e, f = transform[:6]
    return a * col + b * row + c, d * col + e * row + f


def network_grid(
    height: int, width: int, pixel: GroundPixel | None, gsd_range_m: tuple[float, float] | None
) -> NetworkGrid:
    """Choose the network's grid: native inside the range, else its nearest end; pixels always square.

    A scene is enlarged MAX_ENLARGEMENT times at most: beyond that it only costs time.
    """
    if pixel is None:
        return NetworkGrid(height, width, 1.0, 1.0)
    target_m = pixel.gsd_m
    if gsd_range_m is not None:
        target_m = min(max(target_m, gsd_range_m[0]), max(gsd_range_m[1], target_m / MAX_ENLARGEMENT))
    if pixel.is_square and target_m == pixel.gsd_m:
        return NetworkGrid(height, width, 1.0, 1.0)
    # Whole pixels that cover the scene exactly, so that the corners stay where they are.
    rows = max(1, round(height * pixel.down_m / target_m))
    cols = max(1, round(width * pixel.across_m / target_m))
    return NetworkGrid(rows, cols, height / rows, width / cols)
