"""Pictures of footprints over their scene."""

import math
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.output import check_file, draft
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene
from geoconvnext.vector.style import CASING, FILL_ALPHA, OUTLINE

SUFFIXES = (".png", ".jpg", ".jpeg")
LONGEST_SIDE_PX = 2000
SUBPIXEL_BITS = 4

Picture = NDArray[np.uint8]
"""(height, width, 3), red, green, blue."""


def check_preview(path: Path) -> None:
    """Refuse a picture that could not be written, before any work; OutputError."""
    check_file(path, SUFFIXES)


def draw_preview(
    path: Path,
    scene_path: str,
    footprints: gpd.GeoDataFrame,
    *,
    bands: tuple[int, ...],
    nodata: float | None = None,
) -> None:
    """Draw footprints, in the scene's CRS, over a scene shrunk to at most LONGEST_SIDE_PX.

    bands, nodata: as in Scene.open; of fewer than three bands the first one is grey. OutputError, SceneError.
    """
    check_preview(path)
    image, transform = _overview(scene_path, bands, nodata)
    drawn = _draw(image, _rings(footprints, ~transform))
    _, content = cv2.imencode(path.suffix, drawn[..., ::-1])
    with draft(path) as part:
        part.write_bytes(content.tobytes())


def _overview(scene_path: str, bands: tuple[int, ...], nodata: float | None) -> tuple[Picture, Affine]:
    """Return the shrunk scene, and the transform of that picture."""
    with Scene.open(scene_path, bands=bands, nodata=nodata) as native:
        longest = max(native.height, native.width)
    # Ground sampling distance in units of native pixels: pictures need no metres.
    pixels_per_pixel = (max(1.0, longest / LONGEST_SIDE_PX), math.inf)
    with Scene.open(scene_path, bands=bands, nodata=nodata, gsd_m=1.0, gsd_range_m=pixels_per_pixel) as scene:
        pixels = scene.read(Window(0, 0, scene.height, scene.width)).pixels
        channels = pixels[:3] if len(pixels) >= 3 else np.repeat(pixels[:1], 3, axis=0)
        return np.ascontiguousarray(np.moveaxis(channels, 0, -1)), scene.transform


def _draw(image: Picture, rings: list[NDArray[np.int32]]) -> Picture:
    """Fill the rings translucently and draw them as a bright line over a dark casing."""
    filled = cv2.fillPoly(image.copy(), rings, OUTLINE, cv2.LINE_AA, SUBPIXEL_BITS)
    alpha = FILL_ALPHA / 255
    drawn = np.asarray(cv2.addWeighted(filled, alpha, image, 1 - alpha, 0), np.uint8)
    cv2.polylines(drawn, rings, True, CASING[:3], 2, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.polylines(drawn, rings, True, OUTLINE, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    return drawn


def _rings(footprints: gpd.GeoDataFrame, to_pixels: Affine) -> list[NDArray[np.int32]]:
    """Return all rings of the footprints as cv2 wants them: fixed-point pixel indices."""
    rings = shapely.get_rings(footprints.geometry.to_numpy())
    a, b, c, d, e, f = to_pixels[:6]
    fixed = []
    for ring in rings:
        xy = shapely.get_coordinates(ring) @ np.array([[a, d], [b, e]]) + (c, f)
        # cv2 counts from the middle of the first pixel, transforms from its corner.
        fixed.append(np.rint((xy - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32))
    return fixed
