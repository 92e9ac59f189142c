"""An area of interest: which windows of a scene it touches, and which footprints."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine

from geoconvnext.errors import ConfigError
from geoconvnext.raster.grid import Window
from geoconvnext.vector.files import read_footprints


class Georeferenced(Protocol):
    """What an area lies in: a scene, or a raster of probabilities."""

    path: str
    height: int
    width: int
    crs: Any
    """rasterio CRS, or None."""
    transform: Affine
    """From (column, row) to the CRS."""


@dataclass(frozen=True)
class Area:
    """Where somebody wants footprints."""

    ground: shapely.Geometry
    """In the raster's CRS."""
    pixels: shapely.Geometry
    """In (column, row) of the raster; for a scene, of the network's grid."""

    @classmethod
    def read(cls, path: Path, raster: Georeferenced) -> Self:
        """Read the features of a vector file in any CRS; one without CRS is taken to be in the raster's.

        LabelError: it cannot be read. ConfigError: it has no areas, or none in the raster.
        """
        shapes = read_footprints(path).geometry
        crs = shapes.crs
        if crs is not None and raster.crs is not None:
            shapes = shapes.to_crs(raster.crs.to_wkt())
        # What the raster's CRS cannot express is too far away from the raster to matter.
        expressible = np.isfinite(shapes.bounds).all(axis=1)
        ground = shapely.union_all(shapely.make_valid(shapes[expressible].to_numpy()))
        a, b, c, d, e, f = (~raster.transform)[:6]
        pixels = shapely.transform(ground, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
        if not shapely.intersects(pixels, shapely.box(0, 0, raster.width, raster.height)):
            raise ConfigError(
                f"the area of {path} does not touch {raster.path}; check its place and its CRS"
                f" ({crs.to_string() if crs else 'none'})"
            )
        shapely.prepare([ground, pixels])
        return cls(ground, pixels)

    def touches(self, window: Window) -> bool:
        """Whether a window shows some of it."""
        box = shapely.box(window.col, window.row, window.col + window.width, window.row + window.height)
        return bool(shapely.intersects(self.pixels, box))

    def keep(self, frames: Iterator[gpd.GeoDataFrame]) -> Iterator[gpd.GeoDataFrame]:
        """Leave out footprints that do not touch it; the others are numbered anew in their column `id`."""
        count = 0
        for frame in frames:
            kept = frame[shapely.intersects(self.ground, frame.geometry.to_numpy())].copy()
            kept["id"] = np.arange(count + 1, count + 1 + len(kept))
            count += len(kept)
            yield kept
