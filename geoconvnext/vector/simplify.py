"""Fewer vertices, no specks: the plain outlines made presentable. All lengths are in pixels."""

from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

Polygons = NDArray[np.object_]

# Visvalingam and Whyatt's tolerance is the root of a triangle's area, not a distance. With three times the
# distance, noisy outlines of rotated rectangles keep as many vertices as under Douglas and Peucker's rule.
COVERAGE_FACTOR = 3.0


def simplify(polygons: Polygons, group: NDArray[np.int64], *, tolerance: float) -> Polygons:
    """Return valid polygons with fewer vertices, none empty; one for each polygon.

    The polygons of a group follow each other, and may touch: they are simplified as one coverage
    (Visvalingam-Whyatt), so that a party wall stays one line. What is alone in its group is simplified by
    Douglas and Peucker's rule, the outline moving no farther than the tolerance.
    """
    if tolerance <= 0.0 or len(polygons) == 0:
        return polygons
    alone = np.bincount(group)[group] == 1
    simpler = polygons.copy()
    simpler[alone] = shapely.simplify(polygons[alone], tolerance, preserve_topology=False)
    simpler[~alone] = _simplify_coverages(polygons[~alone], group[~alone], COVERAGE_FACTOR * tolerance)
    broken = ~_is_sound(simpler)
    again = alone & broken
    simpler[again] = shapely.simplify(polygons[again], tolerance, preserve_topology=True)
    simpler[broken] = make_sound(simpler[broken], polygons[broken])
    return simpler


def _simplify_coverages(polygons: Polygons, group: NDArray[np.int64], tolerance: float) -> Polygons:
    """Simplify each group as a coverage of its own, which takes half the time of all of them at once."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    simpler = np.empty_like(polygons)
    for start, stop in pairwise([*starts, len(group)]):
        simpler[start:stop] = shapely.coverage_simplify(polygons[start:stop], tolerance)
    return simpler


def make_sound(polygons: Polygons, originals: Polygons) -> Polygons:
    """Repair what is no valid polygon: its largest part, or where nothing has an area, the original."""
    sound = polygons.copy()
    for i in np.flatnonzero(~_is_sound(polygons)):
        parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygons[i])))
        area = shapely.area(parts)
        sound[i] = parts[np.argmax(area)] if area.sum() > 0.0 else originals[i]
    return sound


def drop_small_holes(polygons: Polygons, min_area: NDArray[np.float64]) -> Polygons:
    """Fill the holes below each polygon's own minimal area (in square pixels)."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    is_exterior = np.diff(owner, prepend=-1) != 0
    keep = is_exterior | (shapely.area(shapely.polygons(rings)) >= min_area[owner])
    if keep.all():
        return polygons
    filled: Polygons = shapely.polygons(rings[keep], indices=owner[keep])
    return filled


def _is_sound(polygons: Polygons) -> NDArray[np.bool_]:
    """Say which geometries are valid, non-empty polygons."""
    is_polygon = shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON
    sound: NDArray[np.bool_] = is_polygon & ~shapely.is_empty(polygons) & shapely.is_valid(polygons)
    return sound
