"""Metres on the ground, whatever the coordinate reference system."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geoconvnext.errors import SceneError


@dataclass(frozen=True)
class Ground:
    """How long a pixel of a raster is on the ground.

    transform: from (col, row) to the CRS.
    crs: None where the raster has none; lengths are then pixels times gsd_m, else units of the transform.
    height, width: of the raster, in pixels.
    gsd_m: metres per pixel, used only without a CRS.
    """

    transform: Affine
    crs: CRS | None
    height: int
    width: int
    gsd_m: float | None = None

    @cached_property
    def pixel_m(self) -> float:
        """Metres per pixel at the raster's centre: the square root of the pixel's area."""
        center = np.array([[self.width / 2.0, self.height / 2.0]])
        return float(np.sqrt(np.abs(np.linalg.det(self.metres_per_pixel(center)[0]))))

    def metres_per_pixel(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the linear maps (n, 2, 2) from pixels (col, row) to metres (east, north) at n positions.

        Differences over one pixel, in longitude and latitude, times the ellipsoid's radii of curvature there:
        exact in the limit of small buildings, in conformal, equal-area and geographic systems alike.
        """
        geodetic = None if self.crs is None else self.crs.geodetic_crs
        if geodetic is None:
            return np.broadcast_to(self._plain_map(), (len(pixels), 2, 2))
        steps = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])
        around = pixels[:, None, :] + steps
        longitude, latitude = self._to_radians(around[..., 0], around[..., 1], geodetic)
        equator, squeeze = _shape_of_earth(geodetic)
        center = latitude.mean(axis=1, keepdims=True)
        curvature = 1.0 - squeeze * np.sin(center) ** 2
        east = np.diff(longitude, axis=1)[:, ::2]
        # A pixel on the antimeridian has one side at +180 and the other at -180 degrees.
        east = (east + np.pi) % (2.0 * np.pi) - np.pi
        east = east * np.cos(center) * equator / np.sqrt(curvature)
        north = np.diff(latitude, axis=1)[:, ::2] * equator * (1.0 - squeeze) / curvature**1.5
        return np.stack([east, north], axis=1)

    def _plain_map(self) -> NDArray[np.float64]:
        """Return the map where nothing is known about the Earth."""
        if self.crs is None and self.gsd_m is not None:
            return np.eye(2) * self.gsd_m
        unit = 1.0 if self.crs is None else self.crs.axis_info[0].unit_conversion_factor
        a, b, _, d, e, _ = self.transform[:6]
        return np.array([[a, b], [d, e]]) * unit

    def _to_radians(
        self, col: NDArray[np.float64], row: NDArray[np.float64], geodetic: CRS
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitude and latitude of pixel positions."""
        assert self.crs is not None
        a, b, c, d, e, f = self.transform[:6]
        project = Transformer.from_crs(self.crs, geodetic, always_xy=True).transform
        longitude, latitude = project(a * col + b * row + c, d * col + e * row + f)
        if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
            raise SceneError(
                f"The scene's coordinates lie outside the area of its CRS {self.crs.name!r}, so that nothing "
                "can be measured in metres; correct the scene's transform or CRS."
            )
        unit = geodetic.axis_info[0].unit_conversion_factor
        return longitude * unit, latitude * unit


def _shape_of_earth(geodetic: CRS) -> tuple[float, float]:
    """Return the ellipsoid's equatorial radius in metres and its squared eccentricity."""
    ellipsoid = geodetic.ellipsoid
    assert ellipsoid is not None
    equator = float(ellipsoid.semi_major_metre)
    return equator, 1.0 - (float(ellipsoid.semi_minor_metre) / equator) ** 2
