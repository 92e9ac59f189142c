"""From components of a probability raster to a table of building footprints."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from geoconvnext.vector.confidence import Confidence
from geoconvnext.vector.draw import Outlines, draw
from geoconvnext.vector.features import FEATURES, describe_shapes
from geoconvnext.vector.ground import Ground
from geoconvnext.vector.rules import FootprintRules
from geoconvnext.vector.simplify import Polygons, drop_small_holes, simplify
from geoconvnext.vector.sweep import Patch, ReadRows, sweep

PATCHES_PER_BATCH = 4096


def find_footprints(
    read_rows: ReadRows,
    *,
    height: int,
    width: int,
    transform: Affine,
    crs: object,
    rules: FootprintRules,
    gsd_m: float | None = None,
    confidence: Confidence | None = None,
    with_features: bool = False,
    band_height: int = 512,
) -> gpd.GeoDataFrame:
    """Find all buildings of a probability raster: sweep() reads it, build_footprints() makes the table."""
    patches = sweep(
        read_rows, height=height, width=width, threshold=rules.body_level, band_height=band_height
    )
    return build_footprints(
        patches,
        height=height,
        width=width,
        transform=transform,
        crs=crs,
        rules=rules,
        gsd_m=gsd_m,
        confidence=confidence,
        with_features=with_features,
    )


def build_footprints(
    patches: Iterable[Patch],
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
    """Draw the buildings of patches cut at rules.body_level from a raster of height x width pixels.

    crs is anything pyproj understands, or None; gsd_m is used without a CRS. Columns of the result:
    id: 1..n in the order of the patches;
    area_m2, perimeter_m: on the ground, holes included in the perimeter;
    confidence: probability that the building is right, 0..1; where no calibration is given, the mean body
        probability over its pixels;
    touches_edge: a side of the building lies at nodata or at the border of the scene;
    geometry: valid Polygon in the scene's CRS;
    FEATURES: only with_features.
    """
    parsed = None if crs is None else CRS.from_user_input(crs)
    ground = Ground(transform=transform, crs=parsed, height=height, width=width, gsd_m=gsd_m)
    remaining = iter(patches)
    columns = [_finish(draw([], rules, min_seed_px=0.0), ground, rules, confidence, with_features)]
    while batch := list(islice(remaining, PATCHES_PER_BATCH)):
        outlines = draw(batch, rules, min_seed_px=rules.min_seed_m2 / ground.pixel_m**2)
        columns.append(_finish(outlines, ground, rules, confidence, with_features))
    table: dict[str, Any] = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    return gpd.GeoDataFrame(
        {"id": np.arange(1, len(table["geometry"]) + 1), **table}, geometry="geometry", crs=parsed
    )


def _finish(
    outlines: Outlines,
    ground: Ground,
    rules: FootprintRules,
    confidence: Confidence | None,
    with_features: bool,
) -> dict[str, NDArray[Any]]:
    """Simplify, measure, judge, choose and georeference the buildings of one batch."""
    maps = ground.metres_per_pixel(_centers(outlines.polygons))
    pixel_m2 = np.abs(np.linalg.det(maps))
    polygons = simplify(outlines.polygons, outlines.patch, tolerance=rules.simplify_m / ground.pixel_m)
    polygons = drop_small_holes(polygons, rules.min_hole_m2 / pixel_m2)
    area_m2 = shapely.area(polygons) * pixel_m2
    shapes = describe_shapes(polygons, area_m2)
    features = np.concatenate([outlines.features, shapes], axis=1)
    certainty = features[:, FEATURES.index("body")] if confidence is None else confidence(features)
    kept = (area_m2 >= rules.min_area_m2) & (certainty >= rules.min_confidence)
    columns: dict[str, NDArray[Any]] = {
        "area_m2": area_m2[kept],
        "perimeter_m": _perimeters(polygons, maps)[kept],
        "confidence": certainty[kept],
        "touches_edge": outlines.touches_edge[kept],
        "geometry": _georeference(polygons[kept], ground.transform),
    }
    return columns | (dict(zip(FEATURES, features[kept].T, strict=True)) if with_features else {})


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
