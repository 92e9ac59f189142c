"""Building polygons as people draw them, made valid, single, unique and free of overlaps."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import GeometryType, STRtree

Polygons = NDArray[np.object_]

SAME_IOU = 0.9
"""Two polygons that overlap more are one building, drawn twice."""
CONTACT = 1e-6
"""Polygons that share less of the smaller one only touch: what rounding makes of a common wall."""


@dataclass(frozen=True)
class LabelCount:
    """Buildings of a scene, and what was done to their labels.

    used: polygons; repaired: invalid ones; duplicates: left out; overlaps: cut, or covered by smaller ones.
    """

    used: int = 0
    repaired: int = 0
    duplicates: int = 0
    overlaps: int = 0

    def __add__(self, other: "LabelCount") -> "LabelCount":
        """Return the sum over both scenes."""
        return LabelCount(
            self.used + other.used,
            self.repaired + other.repaired,
            self.duplicates + other.duplicates,
            self.overlaps + other.overlaps,
        )


def clean(shapes: Polygons, *, pixel: float) -> tuple[Polygons, LabelCount]:
    """Turn geometries of any kind into valid Polygons that do not overlap, in their order.

    What is drawn twice is kept once. Where polygons overlap, the smaller keeps its ground and is cut out of
    the larger: a house drawn inside its block stays a house. What is then left of the larger counts only
    where it is wider than `pixel`, in units of the coordinates.
    """
    polygons = parts_of(shapes)
    pairs = _meeting(polygons)
    keep = _first_of_each(polygons, pairs)
    apart, overlaps = _cut_apart(polygons, pairs.among(keep), pixel)
    kept = [part for number in np.flatnonzero(keep) for part in apart[number]]
    repaired = int((~shapely.is_valid(shapes)).sum())
    return np.array(kept, object), LabelCount(len(kept), repaired, int((~keep).sum()), overlaps)


def parts_of(shapes: Polygons) -> Polygons:
    """Return the polygons of geometries, in the plane and valid; parts of a multi-polygon are several."""
    # Twice: repairing a polygon can make a collection of a multi-polygon and lines.
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapely.force_2d(shapes))))
    is_area = (shapely.get_type_id(parts) == GeometryType.POLYGON) & (shapely.area(parts) > 0)
    polygons: Polygons = parts[is_area]
    return polygons


@dataclass(frozen=True)
class _Pairs:
    """Numbers of polygons that meet, the lower one first, and the area that they share."""

    one: NDArray[np.intp]
    other: NDArray[np.intp]
    shared: NDArray[np.float64]

    def among(self, keep: NDArray[np.bool_]) -> "_Pairs":
        both = keep[self.one] & keep[self.other]
        return _Pairs(self.one[both], self.other[both], self.shared[both])


def _meeting(polygons: Polygons) -> _Pairs:
    one, other = STRtree(polygons).query(polygons, predicate="intersects")
    order = np.lexsort((other, one))
    one, other = one[order], other[order]
    one, other = one[one < other], other[one < other]
    return _Pairs(one, other, shapely.area(shapely.intersection(polygons[one], polygons[other])))


def _first_of_each(polygons: Polygons, pairs: _Pairs) -> NDArray[np.bool_]:
    """Say which polygons to keep so that no building is drawn twice."""
    area = shapely.area(polygons)
    either = area[pairs.one] + area[pairs.other] - pairs.shared
    is_same = pairs.shared > SAME_IOU * either
    keep = np.ones(len(polygons), np.bool_)
    for first, second in zip(pairs.one[is_same], pairs.other[is_same], strict=True):
        keep[second] &= not keep[first]
    return keep


def _cut_apart(polygons: Polygons, pairs: _Pairs, pixel: float) -> tuple[list[list[shapely.Polygon]], int]:
    """Cut the smaller of each pair out of the larger: what is left of each polygon, and how many were cut."""
    area = shapely.area(polygons)
    overlap = pairs.shared > CONTACT * np.minimum(area[pairs.one], area[pairs.other])
    one, other = pairs.one[overlap], pairs.other[overlap]
    larger, smaller = np.where(area[one] > area[other], (one, other), (other, one))
    apart = [[polygon] for polygon in polygons]
    for number in np.unique(larger):
        rest = shapely.difference(polygons[number], shapely.union_all(polygons[smaller[larger == number]]))
        apart[number] = [part for part in parts_of(np.array([rest])) if _is_wider(part, pixel)]
    return apart, len(np.unique(larger))


def _is_wider(polygon: shapely.Polygon, width: float) -> bool:
    return not shapely.is_empty(shapely.buffer(polygon, -width / 2))
