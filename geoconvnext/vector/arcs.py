"""Shared arcs: the outlines of touching buildings cut where three sides meet, each piece kept once.

What is done to an arc is done for the buildings on both of its sides, so that they keep sharing a wall
without gap or overlap. A vertex is a junction where the rings through it do not have the same two
neighbours; arcs run from junction to junction, or around where a ring has none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.rings import Rings, around

NOBODY = -1


@dataclass(frozen=True)
class Arcs:
    """The arcs of many rings.

    coords: float64 (points, 2); an open arc has both its junctions, a closed one repeats no vertex.
    starts: int64 (arcs + 1,), where each arc begins in coords.
    nodes: int64 (arcs, 2), the junctions at both ends, NOBODY for closed arcs.
    sides: int64 (arcs, 2), the polygons whose rings run along the arc forwards and backwards, or NOBODY.
    walk: int64 (n,), the arcs of all rings, ring after ring; ~arc where it is walked backwards.
    ring_starts: int64 (rings + 1,), where each ring begins in walk.
    owners: int64 (rings,), as in Rings.
    """

    coords: NDArray[np.float64]
    starts: NDArray[np.int64]
    nodes: NDArray[np.int64]
    sides: NDArray[np.int64]
    walk: NDArray[np.int64]
    ring_starts: NDArray[np.int64]
    owners: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def junctions(self) -> int:
        """Number of junctions."""
        return int(self.nodes.max(initial=NOBODY)) + 1

    def alone(self, chosen: NDArray[np.bool_]) -> "Arcs":
        """Take some arcs (arcs,) out, each with two ends of its own, and without the rings."""
        starts = np.concatenate([[0], np.cumsum(np.diff(self.starts)[chosen])])
        nodes = self.nodes[chosen]
        nodes[nodes != NOBODY] = np.arange((nodes != NOBODY).sum())
        coords = self.coords[np.repeat(chosen, np.diff(self.starts))]
        nothing = np.empty(0, np.int64)
        return Arcs(coords, starts, nodes, self.sides[chosen], nothing, np.zeros(1, np.int64), nothing)

    def rings(self, coords: NDArray[np.float64], starts: NDArray[np.int64]) -> Rings:
        """Put the rings together, of these points of the arcs instead of their own."""
        is_open = self.nodes[:, 0] != NOBODY
        joined, sizes = _join(coords, starts, is_open, self.walk, self.ring_starts)
        return Rings(joined, sizes, self.owners)


def cut(rings: Rings, group: NDArray[np.int64]) -> Arcs:
    """Cut rings into arcs. Only rings of the same group (rings,) can touch."""
    points, count = _number_points(rings, group)
    junctions = _find_junctions(points, rings.starts, count)
    pieces, ring_starts = _cut_rings(points, rings.starts, junctions)
    arc_of, arcs = number_rows(pieces[:, :2])
    coords, starts, ends, sides = _collect(
        rings.coords, rings.starts, points, pieces, arc_of, arcs, rings.owners
    )
    is_closed = pieces[_first_of(arc_of, arcs), 4] == 1
    ends[is_closed] = NOBODY
    nodes = np.full((arcs, 2), NOBODY)
    _, nodes[~is_closed] = np.unique(ends[~is_closed], return_inverse=True)
    walk = np.where(pieces[:, 5] == 1, ~arc_of, arc_of)
    return Arcs(coords, starts, nodes, sides, walk, ring_starts, rings.owners)


def _number_points(rings: Rings, group: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Give each vertex a number, equal ones of a group the same; return also how many numbers there are."""
    touching = np.repeat((np.bincount(group, minlength=1) > 1)[group], rings.sizes)
    # Adding zero makes one number of the two zeros.
    bits = np.ascontiguousarray(rings.coords[touching] + 0.0).view(np.int64)
    numbers, count = number_rows(np.column_stack([bits, np.repeat(group, rings.sizes)[touching]]))
    points = np.cumsum(~touching) + (count - 1)
    points[touching] = numbers
    return points, count + int((~touching).sum())


def _first_of(index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return where each of 0..count - 1 appears first."""
    first = np.empty(count, np.int64)
    first[index[::-1]] = np.arange(len(index))[::-1]
    return first


@kernel
def number_rows(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return a number for each row, equal rows having equal ones, by first appearance; and how many."""
    size = 16
    while size < 2 * len(rows):
        size *= 2
    table = np.full(size, -1, np.int64)
    numbers, first = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    count = 0
    for i in range(len(rows)):
        key = np.uint64(0)
        for value in rows[i]:
            key = (key ^ np.uint64(value)) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        slot = np.int64(key & np.uint64(size - 1))
        while table[slot] >= 0 and not _equal(rows, first[table[slot]], i):
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot], first[count] = count, i
            count += 1
        numbers[i] = table[slot]
    return numbers, count


@kernel
def _equal(rows: NDArray[np.int64], a: int, b: int) -> bool:
    """Say whether two rows are equal."""
    same = True
    for k in range(rows.shape[1]):
        same &= rows[a, k] == rows[b, k]
    return same


@kernel
def _find_junctions(points: NDArray[np.int64], starts: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Say of which points (count,) the rings through them have different neighbours."""
    neighbours = np.full((count, 2), -1)
    junctions = np.zeros(count, np.bool_)
    for ring in range(len(starts) - 1):
        first, last = starts[ring], starts[ring + 1] - 1
        for i in range(first, last + 1):
            before = points[last] if i == first else points[i - 1]
            after = points[first] if i == last else points[i + 1]
            low, high, here = min(before, after), max(before, after), points[i]
            if neighbours[here, 0] < 0:
                neighbours[here, 0], neighbours[here, 1] = low, high
            elif neighbours[here, 0] != low or neighbours[here, 1] != high:
                junctions[here] = True
    return junctions


@kernel
def _cut_rings(
    points: NDArray[np.int64], starts: NDArray[np.int64], junctions: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pieces of all rings (n, 6), and where each ring begins among them.

    A piece is (first point, second point, first vertex, vertices, is closed, is backwards): both points as
    seen from the end that gives the smaller pair, which is the same for both sides of an arc.
    """
    pieces = np.empty((len(points), 6), np.int64)
    ring_starts = np.zeros(len(starts), np.int64)
    count = 0
    for ring in range(len(starts) - 1):
        first, size = starts[ring], starts[ring + 1] - starts[ring]
        begin, is_closed = _begin_of(points[first : first + size], junctions)
        done = 0
        while done < size:
            length = 1
            while length < size and not junctions[points[first + around(begin + done + length, size)]]:
                length += 1
            here = points[first + (begin + done) % size]
            after = points[first + (begin + done + 1) % size]
            end = points[first + (begin + done + length) % size]
            before = points[first + (begin + done + length - 1) % size]
            backwards = end < here or (end == here and before < after)
            pieces[count, 0] = end if backwards else here
            pieces[count, 1] = before if backwards else after
            pieces[count, 2], pieces[count, 3] = (begin + done) % size, length
            pieces[count, 4], pieces[count, 5] = is_closed, backwards
            count += 1
            done += length
        ring_starts[ring + 1] = count
    return pieces[:count].copy(), ring_starts


@kernel
def _begin_of(points: NDArray[np.int64], junctions: NDArray[np.bool_]) -> tuple[int, bool]:
    """Return the first junction of a ring, or its smallest point where it has none and is closed."""
    smallest = 0
    for i in range(len(points)):
        if junctions[points[i]]:
            return i, False
        if points[i] < points[smallest]:
            smallest = i
    return smallest, True


@kernel
def _collect(
    coords: NDArray[np.float64],
    starts: NDArray[np.int64],
    points: NDArray[np.int64],
    pieces: NDArray[np.int64],
    arc_of: NDArray[np.int64],
    arcs: int,
    owners: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Copy each arc from the first piece along it; return (coords, starts, end points, sides) of Arcs."""
    arc_starts = np.zeros(arcs + 1, np.int64)
    for i in range(len(pieces)):
        arc_starts[arc_of[i] + 1] = pieces[i, 3] + 1 - pieces[i, 4]
    arc_starts = np.cumsum(arc_starts)
    copied, ends = np.empty((arc_starts[-1], 2)), np.empty((arcs, 2), np.int64)
    sides = np.full((arcs, 2), NOBODY)
    ring, seen = 0, 0
    for i in range(len(pieces)):
        while seen == starts[ring + 1] - starts[ring]:
            ring, seen = ring + 1, 0
        seen += pieces[i, 3]
        arc, size = arc_of[i], starts[ring + 1] - starts[ring]
        sides[arc, pieces[i, 5]] = owners[ring]
        length = arc_starts[arc + 1] - arc_starts[arc]
        for k in range(length):
            step = pieces[i, 3] - k if pieces[i, 5] else k
            vertex = starts[ring] + around(pieces[i, 2] + step, size)
            place = arc_starts[arc] + k
            copied[place, 0], copied[place, 1] = coords[vertex, 0], coords[vertex, 1]
            ends[arc, 0 if k == 0 else 1] = points[vertex]
    return copied, arc_starts, ends, sides


@kernel
def _join(
    coords: NDArray[np.float64],
    starts: NDArray[np.int64],
    is_open: NDArray[np.bool_],
    walk: NDArray[np.int64],
    ring_starts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Walk along the arcs of each ring, without the last point of open ones, where the next one begins."""
    sizes = np.zeros(len(ring_starts) - 1, np.int64)
    for ring in range(len(sizes)):
        for i in range(ring_starts[ring], ring_starts[ring + 1]):
            arc = max(walk[i], ~walk[i])
            sizes[ring] += starts[arc + 1] - starts[arc] - is_open[arc]
    joined = np.empty((sizes.sum(), 2))
    used = 0
    for i in range(len(walk)):
        arc = max(walk[i], ~walk[i])
        first, length = starts[arc], starts[arc + 1] - starts[arc]
        for k in range(length - is_open[arc]):
            here = first + k if walk[i] >= 0 else first + length - 1 - k
            joined[used, 0], joined[used, 1] = coords[here, 0], coords[here, 1]
            used += 1
    return joined, sizes


@kernel
def list_ends(nodes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each junction begins in the list of arcs' ends there, and that list.

    nodes is that of Arcs; an end is 2 * arc where the arc begins, 2 * arc + 1 where it ends.
    """
    count = 0
    for arc in range(len(nodes)):
        count = max(count, nodes[arc, 0] + 1, nodes[arc, 1] + 1)
    offsets = np.zeros(count + 1, np.int64)
    for arc in range(len(nodes)):
        for end in range(2):
            if nodes[arc, end] >= 0:
                offsets[nodes[arc, end] + 1] += 1
    offsets = np.cumsum(offsets)
    free, ends = offsets[:-1].copy(), np.empty(offsets[-1], np.int64)
    for arc in range(len(nodes)):
        for end in range(2):
            if nodes[arc, end] >= 0:
                ends[free[nodes[arc, end]]] = 2 * arc + end
                free[nodes[arc, end]] += 1
    return offsets, ends
