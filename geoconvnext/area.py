"""An area of interest: which windows of a scene it touches, and which footprints."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import geopandas as gpd
import numpy as np
import shapely

from geoconvnext.errors import ConfigError
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene
from geoconvnext.vector.files import read_footprints


@dataclass(frozen=True)
class Area:
    """Where somebody wants footprints."""

    ground: shapely.Geometry
    """In the scene's CRS."""
    pixels: shapely.Geometry
    """In (column, row) of the network's grid."""

    @classmethod
    def read(cls, path: Path, scene: Scene) -> Self:
        """Read the features of a vector file in any CRS; one without CRS is taken to be in the scene's.

        LabelError: it cannot be read. ConfigError: it has no areas, or none in the scene.
        """
        shapes = read_footprints(path).geometry
        crs = shapes.crs
        if crs is not None and scene.crs is not None:
            shapes = shapes.to_crs(scene.crs.to_wkt())
        # What the scene's CRS cannot express is too far away from the scene to matter.
        expressible = np.isfinite(shapes.bounds).all(axis=1)
        ground = shapely.union_all(shapely.make_valid(shapes[expressible].to_numpy()))
        a, b, c, d, e, f = (~scene.transform)[:6]
        pixels = shapely.transform(ground, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
        if not shapely.intersects(pixels, shapely.box(0, 0, scene.width, scene.height)):
            raise ConfigError(
                f"the area of {path} does not touch {scene.path}; check its place and its CRS"
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
