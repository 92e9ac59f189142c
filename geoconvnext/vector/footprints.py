"""From the row bands of a probability raster to tables of building footprints, while the bands come in."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from geoconvnext.vector.confidence import Confidence
from geoconvnext.vector.draw import Outlines, draw
from geoconvnext.vector.earlier import Earlier
from geoconvnext.vector.features import FEATURES, describe_shapes
from geoconvnext.vector.ground import Ground
from geoconvnext.vector.regularize import OUTLINES, regularize
from geoconvnext.vector.rings import Polygons
from geoconvnext.vector.rules import FootprintRules
from geoconvnext.vector.sweep import Patch, sweep

PATCHES_PER_BATCH = 1024
PIXELS_PER_BATCH = 2**23
"""A batch ends with the patch that reaches either: they bound memory where buildings are many or large, and
what is left to draw when the last band has come."""
BOX_MARGIN = 1.01
"""A pixel's area is that at the centre of the component here, at the centre of the outline in the end."""


FREE_PRICE = 5.0
"""Networks see where a building is better than in which direction a wall of it runs."""
MIN_TOLERANCE_PX = 2.0
"""Outlines know no better where a wall is: a smaller tolerance would leave most as they are."""


def find_footprints(
    bands: Iterable[NDArray[np.uint8]],
    *,
    height: int,
    width: int,
    transform: Affine,
    crs: object,
    rules: FootprintRules,
    gsd_m: float | None = None,
    confidence: Confidence | None = None,
    with_features: bool = False,
) -> gpd.GeoDataFrame:
    """Find all buildings of a probability raster in one table; see stream_footprints()."""
    frames = stream_footprints(
        bands,
        height=height,
        width=width,
        transform=transform,
        crs=crs,
        rules=rules,
        gsd_m=gsd_m,
        confidence=confidence,
        with_features=with_features,
    )
    return pd.concat(frames, ignore_index=True)


def stream_footprints(
    bands: Iterable[NDArray[np.uint8]],
    *,
    height: int,
    width: int,
    transform: Affine,
    crs: object,
    rules: FootprintRules,
    gsd_m: float | None = None,
    confidence: Confidence | None = None,
    with_features: bool = False,
) -> Iterator[gpd.GeoDataFrame]:
    """Draw the buildings of a raster of height x width pixels; yield them in tables of a thousand or so.

    bands are those of sweep(), which are taken one by one. The first table is empty: it shows the columns and
    the CRS before the first building is drawn. crs is anything pyproj understands, or None; gsd_m is used
    without a CRS. SceneError: the raster lies outside the area of its CRS. Columns:
    id: 1..n over all tables, in the order of sweep();
    area_m2, perimeter_m: on the ground, holes included in the perimeter;
    confidence: probability that the building is right, 0..1; where no calibration is given, the mean body
        probability over its pixels;
    touches_edge: a side of the building lies at nodata or at the border of the scene;
    outline: one of OUTLINES: how much of it was straightened;
    fidelity: IoU with the outline before that, 0..1;
    geometry: valid Polygon in the scene's CRS;
    FEATURES: only with_features.
    """
    parsed = None if crs is None else CRS.from_user_input(crs)
    ground = Ground(transform=transform, crs=parsed, height=height, width=width, gsd_m=gsd_m)
    min_seed_px = rules.min_seed_m2 / ground.pixel_m**2
    patches = sweep(
        bands,
        width=width,
        threshold=rules.body_level,
        is_wanted=lambda boxes: _are_large(boxes, ground, rules),
    )
    earlier = Earlier(_tolerance(rules, ground) / ground.pixel_m)
    first_id = 1
    # Whoever makes the bands starts now, not when all that the empty table needs is loaded.
    first = list(islice(patches, 1))
    for batch in chain([[]], _in_batches(chain(first, patches))):
        outlines = draw(batch, rules, min_seed_px=min_seed_px)
        maps = _maps(np.array([patch.box for patch in batch], np.int64).reshape(-1, 4), ground)
        columns = _finish(outlines, maps, ground, rules, confidence, earlier, with_features)
        if batch:
            earlier.forget(batch[-1].horizon)
        ids = np.arange(first_id, first_id + len(columns["geometry"]))
        first_id += len(ids)
        yield gpd.GeoDataFrame({"id": ids, **columns}, geometry="geometry", crs=parsed)


def _in_batches(patches: Iterable[Patch]) -> Iterator[list[Patch]]:
    """Gather patches up to PATCHES_PER_BATCH or PIXELS_PER_BATCH."""
    batch: list[Patch] = []
    pixels = 0
    for patch in patches:
        batch.append(patch)
        pixels += patch.mask.size
        if len(batch) >= PATCHES_PER_BATCH or pixels >= PIXELS_PER_BATCH:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _are_large(boxes: NDArray[np.int64], ground: Ground, rules: FootprintRules) -> NDArray[np.bool_]:
    """Say in which patches with these boxes (n, 4) a building of min_area_m2 could lie.

    Outlines end at the centres of the pixels around a component, and simpler ones stay in their hull.
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    boxes_m2 = (sizes - 1).prod(axis=1) * np.abs(np.linalg.det(_maps(boxes, ground)))
    large: NDArray[np.bool_] = boxes_m2 * BOX_MARGIN >= rules.min_area_m2
    return large


def _maps(boxes: NDArray[np.int64], ground: Ground) -> NDArray[np.float64]:
    """Return the linear maps (n, 2, 2) from pixels to metres at the centres of boxes (n, 4)."""
    return ground.metres_per_pixel((boxes[:, :2] + boxes[:, 2:])[:, ::-1] / 2.0)


def _finish(
    outlines: Outlines,
    patch_maps: NDArray[np.float64],
    ground: Ground,
    rules: FootprintRules,
    confidence: Confidence | None,
    earlier: Earlier,
    with_features: bool,
) -> dict[str, NDArray[Any]]:
    """Straighten, measure, judge, choose and georeference the buildings of one batch, and remember them."""
    pixel_m2 = np.abs(np.linalg.det(patch_maps))[outlines.patch]
    outlines = outlines.without_small_holes(rules.min_hole_m2 / pixel_m2)
    # What is too small must not keep its neighbours from being straightened.
    outlines = outlines.without_small_ones(rules.min_area_m2 / pixel_m2)
    regular = regularize(
        outlines.rings,
        outlines.patch[outlines.rings.owners],
        patch_maps,
        tolerance=_tolerance(rules, ground),
        simplify_tolerance=rules.simplify_m,
        free_price=FREE_PRICE,
        obstacles=earlier.near(outlines.rings),
    )
    polygons = earlier.cut(regular.rings.to_polygons())
    maps = ground.metres_per_pixel(_centers(polygons))
    area_m2 = shapely.area(polygons) * np.abs(np.linalg.det(maps))
    shapes = describe_shapes(polygons, area_m2)
    features = np.concatenate([outlines.features, shapes], axis=1)
    certainty = features[:, FEATURES.index("body")] if confidence is None else confidence(features)
    kept = (area_m2 >= rules.min_area_m2) & (certainty >= rules.min_confidence)
    earlier.add(polygons[kept])
    columns: dict[str, NDArray[Any]] = {
        "area_m2": area_m2[kept],
        "perimeter_m": _perimeters(polygons, maps)[kept],
        "confidence": certainty[kept],
        "touches_edge": outlines.touches_edge[kept],
        "outline": pd.array(np.take(OUTLINES, regular.outline[kept]), dtype="string"),
        "fidelity": regular.fidelity[kept],
        "geometry": _georeference(polygons[kept], ground.transform),
    }
    return columns | (dict(zip(FEATURES, features[kept].T, strict=True)) if with_features else {})


def _tolerance(rules: FootprintRules, ground: Ground) -> float:
    """Return how far outlines may move, in metres."""
    return max(rules.tolerance_m, MIN_TOLERANCE_PX * ground.pixel_m) if rules.tolerance_m else 0.0


def _centers(polygons: Polygons) -> NDArray[np.float64]:
    """Return the centres (n, 2) of the polygons' bounding boxes."""
    bounds = shapely.bounds(polygons).reshape(-1, 4)
    centers: NDArray[np.float64] = (bounds[:, :2] + bounds[:, 2:]) / 2.0
    return centers


def _perimeters(polygons: Polygons, maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lengths of all rings of each polygon after its linear map (2, 2)."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    coords, ring = shapely.get_coordinates(rings, return_index=True)
    steps = np.diff(coords, axis=0)
    inside = ring[1:] == ring[:-1]
    steps, polygon = steps[inside], owner[ring[1:][inside]]
    metres = np.einsum("nij,nj->ni", maps[polygon], steps)
    lengths = np.hypot(metres[:, 0], metres[:, 1])
    return np.bincount(polygon, lengths, minlength=len(polygons)).astype(np.float64)


def _georeference(polygons: Polygons, transform: Affine) -> Polygons:
    """Move polygons from pixels to the CRS, exteriors counter-clockwise."""
    a, b, c, d, e, f = transform[:6]
    matrix = np.array([[a, d], [b, e]])
    moved = shapely.transform(polygons, lambda coords: coords @ matrix + np.array([c, f]))
    oriented: Polygons = shapely.orient_polygons(moved)
    return oriented
