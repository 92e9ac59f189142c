"""Fewer vertices, no specks: the plain outlines made presentable."""

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.arcs import NOBODY, Arcs
from geoconvnext.vector.rings import around

Drawn = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Points of arcs, arc after arc, and where each begins: what Arcs.rings() takes."""


def simplify(arcs: Arcs, tolerance: NDArray[np.float64], ground: NDArray[np.float64] | None = None) -> Drawn:
    """Leave vertices out that lie no farther than each arc's tolerance (arcs,) from the line without them.

    Douglas and Peucker's rule, arc by arc, so that neighbours keep their common walls. Outlines may cross
    afterwards: see settle() in settle.py. Tolerance 0 keeps all.
    ground: the points of the arcs where distances are meant, if not their own.
    """
    is_open = arcs.nodes[:, 0] != NOBODY
    kept = find_corners(arcs.coords if ground is None else ground, arcs.starts, is_open, tolerance)
    return arcs.coords[kept], np.concatenate([[0], np.cumsum(kept)])[arcs.starts]


@kernel
def find_corners(
    coords: NDArray[np.float64],
    starts: NDArray[np.int64],
    is_open: NDArray[np.bool_],
    tolerances: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Say which points of polylines Douglas and Peucker's rule keeps, each with its own tolerance.

    Ends of open ones are kept; a closed one begins anew at its point farthest from the first one, and keeps
    three points at least.
    """
    kept = np.zeros(len(coords), np.bool_)
    stack = np.empty((2 * len(coords) + 4, 2), np.int64)
    for line in range(len(starts) - 1):
        first, size = starts[line], starts[line + 1] - starts[line]
        points, tolerance = coords[first : first + size], tolerances[line]
        if tolerance <= 0.0:
            kept[first : first + size] = True
            continue
        if is_open[line]:
            _keep_far(points, 0, size - 1, tolerance, kept[first : first + size], stack)
        else:
            start = _farthest(points, 0, 0, size)[0]
            middle = _farthest(points, start, start, size)[0]
            low, high = min(start, middle), max(start, middle)
            keep = kept[first : first + size]
            _keep_far(points, low, high, tolerance, keep, stack)
            _keep_far(points, high, low + size, tolerance, keep, stack)
            if keep.sum() < 3:
                one, depth = _deepest(points, low, high)
                other, other_depth = _deepest(points, high, low + size)
                keep[one if depth >= other_depth else other % size] = True
    return kept


@kernel
def _farthest(points: NDArray[np.float64], origin: int, first: int, count: int) -> tuple[int, float]:
    """Return which of some points, around the ring, is the farthest from one of them."""
    best, farthest = origin, 0.0
    for k in range(first, first + count):
        i = around(k, len(points))
        distance = (points[i, 0] - points[origin, 0]) ** 2 + (points[i, 1] - points[origin, 1]) ** 2
        if distance > farthest:
            best, farthest = i, distance
    return best, farthest


@kernel
def _deepest(points: NDArray[np.float64], first: int, last: int) -> tuple[int, float]:
    """Return the point between two others farthest from their segment, and its square distance."""
    size = len(points)
    ax, ay = points[first % size]
    across, down = points[last % size, 0] - ax, points[last % size, 1] - ay
    square = across * across + down * down
    best, farthest = first, -1.0
    for k in range(first + 1, last):
        i = around(k, size)
        x, y = points[i, 0] - ax, points[i, 1] - ay
        share = min(max((x * across + y * down) / square, 0.0), 1.0) if square > 0.0 else 0.0
        distance = (x - share * across) ** 2 + (y - share * down) ** 2
        if distance > farthest:
            best, farthest = k, distance
    return best, farthest


@kernel
def _keep_far(
    points: NDArray[np.float64],
    first: int,
    last: int,
    tolerance: float,
    kept: NDArray[np.bool_],
    stack: NDArray[np.int64],
) -> None:
    """Keep two points and, in turn, the deepest one between kept ones while beyond the tolerance."""
    size = len(points)
    kept[first % size] = kept[last % size] = True
    stack[0, 0], stack[0, 1] = first, last
    waiting = 1
    while waiting > 0:
        waiting -= 1
        low, high = stack[waiting]
        deepest, distance = _deepest(points, low, high)
        if distance > tolerance * tolerance:
            kept[deepest % size] = True
            stack[waiting, 0], stack[waiting, 1] = low, deepest
            stack[waiting + 1, 0], stack[waiting + 1, 1] = deepest, high
            waiting += 2
