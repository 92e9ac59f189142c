"""Which outlines cross or touch others, or themselves, where they must not, or lie in another order."""

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.arcs import list_ends

NEAR = 1e-6
"""Outlines so near to each other touch: they may do so when coordinates are rounded."""

Points = NDArray[np.float64]
Starts = NDArray[np.int64]


def find_crossings(
    coords: Points, starts: Starts, is_open: NDArray[np.bool_], sides: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say which polylines (n,) meet another one, or themselves, anywhere but at ends of segments they share.

    coords: float64 (points, 2), polyline after polyline, which begin at starts (n + 1,); those that are not
    open return to their first point. Segments that share an end meet wrongly where they lie on each other,
    unless they are the same and their polylines belong to different polygons: a gap has closed between these.
    sides: int64 (n, 2), the polygons of each polyline, negative where there is none.
    """
    segments, owner = _segments(coords, starts, is_open)
    if len(segments) == 0:
        return np.zeros(len(is_open), np.bool_)
    extents = np.abs(segments[:, :2] - segments[:, 2:]).max(axis=1)
    cell = max(2.0 * float(extents.mean()), float(extents.max()) / 256.0, 1e-12)
    offsets, members = _sort_into_cells(segments, cell)
    return _compare(segments, owner, offsets, members, sides)


@kernel
def _segments(
    coords: Points, starts: Starts, is_open: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return (x, y, x, y) of every segment, and its polyline."""
    count = len(coords) - is_open.sum()
    segments, owner = np.empty((count, 4)), np.empty(count, np.int64)
    used = 0
    for line in range(len(starts) - 1):
        first, last = starts[line], starts[line + 1]
        for i in range(first, last - is_open[line]):
            following = i + 1 if i + 1 < last else first
            segments[used, 0], segments[used, 1] = coords[i, 0], coords[i, 1]
            segments[used, 2], segments[used, 3] = coords[following, 0], coords[following, 1]
            owner[used] = line
            used += 1
    return segments, owner


@kernel
def _span(segments: Points, i: int, cell: float) -> tuple[int, int, int, int]:
    """Return the first and the last column and row of cells that a segment's box lies in."""
    left, right = min(segments[i, 0], segments[i, 2]), max(segments[i, 0], segments[i, 2])
    top, bottom = min(segments[i, 1], segments[i, 3]), max(segments[i, 1], segments[i, 3])
    return (
        int(np.floor(left / cell)),
        int(np.floor(right / cell)),
        int(np.floor(top / cell)),
        int(np.floor(bottom / cell)),
    )


@kernel
def _bucket(col: int, row: int, buckets: int) -> int:
    """Return the bucket of a cell; different cells may share one."""
    return ((col * 73_856_093) ^ (row * 19_349_663)) & (buckets - 1)


@kernel
def _sort_into_cells(
    segments: NDArray[np.float64], cell: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each bucket of cells begins, and the segments of all buckets."""
    buckets = 16
    while buckets < 2 * len(segments):
        buckets *= 2
    offsets = np.zeros(buckets + 1, np.int64)
    for i in range(len(segments)):
        left, right, top, bottom = _span(segments, i, cell)
        for col in range(left, right + 1):
            for row in range(top, bottom + 1):
                offsets[_bucket(col, row, buckets) + 1] += 1
    offsets = np.cumsum(offsets)
    free, members = offsets[:-1].copy(), np.empty(offsets[-1], np.int64)
    for i in range(len(segments)):
        left, right, top, bottom = _span(segments, i, cell)
        for col in range(left, right + 1):
            for row in range(top, bottom + 1):
                bucket = _bucket(col, row, buckets)
                members[free[bucket]] = i
                free[bucket] += 1
    return offsets, members


@kernel
def _compare(
    segments: NDArray[np.float64],
    owner: NDArray[np.int64],
    offsets: NDArray[np.int64],
    members: NDArray[np.int64],
    sides: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Compare the segments in each bucket, and mark the polylines of those that meet wrongly."""
    wrong = np.zeros(len(sides), np.bool_)
    for bucket in range(len(offsets) - 1):
        for i in range(offsets[bucket], offsets[bucket + 1]):
            for j in range(i + 1, offsets[bucket + 1]):
                a, b = members[i], members[j]
                if a == b or (wrong[owner[a]] and wrong[owner[b]]) or not _meet(segments, a, b):
                    continue
                if _is_same(segments[a], segments[b]) and not _share(sides[owner[a]], sides[owner[b]]):
                    continue
                wrong[owner[a]] = wrong[owner[b]] = True
    return wrong


@kernel
def _is_same(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Say whether two segments have the same ends."""
    return bool((a == b).all() or ((a[:2] == b[2:]).all() and (a[2:] == b[:2]).all()))


@kernel
def _share(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    """Say whether two polylines (2,) have a polygon in common."""
    common = (a[0] >= 0 and (a[0] == b[0] or a[0] == b[1])) or (a[1] >= 0 and (a[1] == b[0] or a[1] == b[1]))
    return bool(common)


@kernel
def _meet(segments: Points, a: int, b: int) -> bool:
    """Say whether two segments have a point in common, or nearly, that is no common end."""
    ax, ay, bx, by = segments[a, 0], segments[a, 1], segments[a, 2], segments[a, 3]
    cx, cy, dx, dy = segments[b, 0], segments[b, 1], segments[b, 2], segments[b, 3]
    if max(ax, bx) + NEAR < min(cx, dx) or max(cx, dx) + NEAR < min(ax, bx):
        return False
    if max(ay, by) + NEAR < min(cy, dy) or max(cy, dy) + NEAR < min(ay, by):
        return False
    if (ax == cx and ay == cy) or (ax == dx and ay == dy):
        ax, ay, bx, by = bx, by, ax, ay
    if (bx == dx and by == dy) or (bx == cx and by == cy):
        if bx == cx and by == cy:
            cx, cy, dx, dy = dx, dy, cx, cy
        # They share b = d: wrong where both run the same way from there, so that one's end lies on the other.
        along = (ax - bx) * (cx - dx) + (ay - by) * (cy - dy)
        on_other = _side(ax, ay, bx, by, cx, cy) == 0.0 or _side(cx, cy, dx, dy, ax, ay) == 0.0
        return bool(along > 0.0 and on_other)
    apart = _side(ax, ay, bx, by, cx, cy) * _side(ax, ay, bx, by, dx, dy) > 0.0
    return bool(not apart and _side(cx, cy, dx, dy, ax, ay) * _side(cx, cy, dx, dy, bx, by) <= 0.0)


@kernel
def _side(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
    """Return on which side of the line from a to b a point lies, by its sign; 0 if NEAR."""
    turn = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return 0.0 if abs(turn) <= NEAR * np.sqrt((bx - ax) ** 2 + (by - ay) ** 2) else float(np.sign(turn))


def find_reordered(
    nodes: NDArray[np.int64], before: tuple[Points, Starts], after: tuple[Points, Starts]
) -> NDArray[np.bool_]:
    """Say which arcs (n,) leave a junction in another order around it than before: so they overlap.

    nodes is that of Arcs; before, after: points of the arcs, and where each begins.
    """
    offsets, ends = list_ends(nodes)
    return _compare_orders(offsets, ends, *before, *after)


@kernel
def _compare_orders(
    offsets: NDArray[np.int64],
    ends: NDArray[np.int64],
    before: Points,
    before_starts: Starts,
    after: Points,
    after_starts: Starts,
) -> NDArray[np.bool_]:
    """Go around each junction in the old order, and see whether the new directions rise all the way."""
    wrong = np.zeros(len(before_starts) - 1, np.bool_)
    for junction in range(len(offsets) - 1):
        here = ends[offsets[junction] : offsets[junction + 1]]
        order = np.argsort(_directions(here, before, before_starts))
        turned = _directions(here, after, after_starts)[order]
        first = _find_single(turned)
        last = 0.0
        for i in range(1, len(here)):
            turn = (turned[(first + i) % len(here)] - turned[first]) % (2.0 * np.pi)
            if turn < last:
                wrong[here // 2] = True
            last = turn
    return wrong


@kernel
def _find_single(angles: NDArray[np.float64]) -> int:
    """Return which angle is like no other one, or 0: arcs may leave in the same direction."""
    for i in range(len(angles)):
        if (angles == angles[i]).sum() == 1:
            return i
    return 0


@kernel
def _directions(ends: NDArray[np.int64], coords: Points, starts: Starts) -> NDArray[np.float64]:
    """Return the angle at which arcs leave their junction."""
    angles = np.empty(len(ends))
    for i in range(len(ends)):
        arc = ends[i] // 2
        first, step = (starts[arc], 1) if ends[i] % 2 == 0 else (starts[arc + 1] - 1, -1)
        angles[i] = np.arctan2(
            coords[first + step, 1] - coords[first, 1], coords[first + step, 0] - coords[first, 0]
        )
    return angles
