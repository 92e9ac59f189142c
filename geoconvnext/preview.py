"""Pictures of footprints over their scene."""

from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.output import check_file, draft
from geoconvnext.raster.overview import Picture, read_overview
from geoconvnext.vector.style import CASING, FILL_ALPHA, OUTLINE

SUFFIXES = (".png", ".jpg", ".jpeg")
LONGEST_SIDE_PX = 2000
SUBPIXEL_BITS = 4


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
    ground = read_overview(scene_path, LONGEST_SIDE_PX, bands=bands, nodata=nodata)
    drawn = _draw(ground.picture, fixed_point_rings(footprints.geometry, ground.transform))
    _, content = cv2.imencode(path.suffix, drawn[..., ::-1])
    with draft(path) as part:
        part.write_bytes(content.tobytes())


def _draw(image: Picture, rings: list[NDArray[np.int32]]) -> Picture:
    """Fill the rings translucently and draw them as a bright line over a dark casing."""
    filled = cv2.fillPoly(image.copy(), rings, OUTLINE, cv2.LINE_AA, SUBPIXEL_BITS)
    alpha = FILL_ALPHA / 255
    drawn = np.asarray(cv2.addWeighted(filled, alpha, image, 1 - alpha, 0), np.uint8)
    cv2.polylines(drawn, rings, True, CASING[:3], 2, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.polylines(drawn, rings, True, OUTLINE, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    return drawn


def fixed_point_rings(shapes: gpd.GeoSeries, transform: Affine) -> list[NDArray[np.int32]]:
    """Return all rings of polygons, in the CRS of a picture's transform, as cv2 wants them."""
    a, b, c, d, e, f = (~transform)[:6]
    fixed = []
    for ring in shapely.get_rings(shapely.get_parts(shapes.to_numpy())):
        xy = shapely.get_coordinates(ring) @ np.array([[a, d], [b, e]]) + (c, f)
        # cv2 counts from the middle of the first pixel, transforms from its corner.
        fixed.append(np.rint((xy - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32))
    return fixed
