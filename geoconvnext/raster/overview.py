"""A whole scene as a small picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene

Picture = NDArray[np.uint8]
"""(height, width, 3), red, green, blue."""


@dataclass(frozen=True)
class Overview:
    """A shrunk scene, and the place of its pixels on the map."""

    picture: Picture
    transform: Affine
    crs: CRS | None


def read_overview(
    path: str, longest_side_px: int, *, bands: Sequence[int] | None = None, nodata: float | None = None
) -> Overview:
    """Read a scene shrunk to at most longest_side_px.

    bands, nodata: as in Scene.open; of fewer than three bands the first one is grey. Raises SceneError.
    """
    with Scene.open(path, bands=bands, nodata=nodata) as native:
        longest = max(native.height, native.width)
    # Ground sampling distance in units of native pixels: pictures need no metres.
    pixels_per_pixel = (max(1.0, longest / longest_side_px), math.inf)
    with Scene.open(path, bands=bands, nodata=nodata, gsd_m=1.0, gsd_range_m=pixels_per_pixel) as scene:
        pixels = scene.read(Window(0, 0, scene.height, scene.width)).pixels
        channels = pixels[:3] if len(pixels) >= 3 else np.repeat(pixels[:1], 3, axis=0)
        picture = np.ascontiguousarray(np.moveaxis(channels, 0, -1))
        return Overview(picture, scene.transform, scene.crs)
