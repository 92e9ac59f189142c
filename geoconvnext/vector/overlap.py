"""The area that two polygons have in common, exactly and without building their intersection.

A polygon is the signed sum of the strips below its edges, so the common area of two is the signed sum of the
common areas of all pairs of strips: an integral of the smaller of two straight lines.
"""

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.rings import Rings


def intersection_areas(a: Rings, b: Rings, count: int) -> NDArray[np.float64]:
    """(count,) area that polygon i of a has in common with polygon i of b. All of them have rings in both."""
    return _areas(*_prepare(a, count), *_prepare(b, count))


def _prepare(
    rings: Rings, count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return coords, where rings begin, senses to count them in, each polygon's first ring."""
    senses = np.sign(rings.areas) * np.where(rings.is_exterior, 1.0, -1.0)
    return rings.coords, rings.starts, senses, np.searchsorted(rings.owners, np.arange(count + 1))


@kernel
def _areas(
    a: NDArray[np.float64],
    a_starts: NDArray[np.int64],
    a_senses: NDArray[np.float64],
    a_first: NDArray[np.int64],
    b: NDArray[np.float64],
    b_starts: NDArray[np.int64],
    b_senses: NDArray[np.float64],
    b_first: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Sum over the pairs of edges of each pair of polygons."""
    areas = np.zeros(len(a_first) - 1)
    for polygon in range(len(areas)):
        origin = a[a_starts[a_first[polygon]]]
        lowest = np.inf
        for i in range(b_starts[b_first[polygon]], b_starts[b_first[polygon + 1]]):
            lowest = min(lowest, b[i, 1] - origin[1])
        for i in range(a_starts[a_first[polygon]], a_starts[a_first[polygon + 1]]):
            lowest = min(lowest, a[i, 1] - origin[1])
        for ring in range(b_first[polygon], b_first[polygon + 1]):
            for i in range(b_starts[ring], b_starts[ring + 1]):
                following = i + 1 if i + 1 < b_starts[ring + 1] else b_starts[ring]
                for other in range(a_first[polygon], a_first[polygon + 1]):
                    sense = a_senses[other] * b_senses[ring]
                    part = _below(a, a_starts[other], a_starts[other + 1], b[i], b[following], origin, lowest)
                    areas[polygon] += sense * part
    return areas


@kernel
def _below(
    a: NDArray[np.float64],
    first: int,
    last: int,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    origin: NDArray[np.float64],
    lowest: float,
) -> float:
    """Sum the common area of the strip below one edge with those below all edges of a ring."""
    total = 0.0
    left, right = start[0] - origin[0], end[0] - origin[0]
    for i in range(first, last):
        following = i + 1 if i + 1 < last else first
        other_left, other_right = a[i, 0] - origin[0], a[following, 0] - origin[0]
        low = max(min(left, right), min(other_left, other_right))
        high = min(max(left, right), max(other_left, other_right))
        if low >= high:
            continue
        sign = 1.0 if (left < right) == (other_left < other_right) else -1.0
        slope = (end[1] - start[1]) / (right - left)
        other_slope = (a[following, 1] - a[i, 1]) / (other_right - other_left)
        base, other_base = start[1] - origin[1] - lowest, a[i, 1] - origin[1] - lowest
        one = base + slope * (low - left), base + slope * (high - left)
        other = other_base + other_slope * (low - other_left), other_base + other_slope * (high - other_left)
        total += sign * _smaller(one[0] - other[0], one[1] - other[1], other[0], other[1], high - low)
    return total


@kernel
def _smaller(above: float, above_end: float, base: float, base_end: float, width: float) -> float:
    """Integrate min(line, other) over a width: `above` is by how much the line is above the other."""
    area = width * (base + base_end) / 2.0
    if above <= 0.0 and above_end <= 0.0:
        return area + width * (above + above_end) / 2.0
    if above >= 0.0 and above_end >= 0.0:
        return area
    lower = min(above, above_end)
    return area + width * lower * lower / (lower - max(above, above_end)) / 2.0
