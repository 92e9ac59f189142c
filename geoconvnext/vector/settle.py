"""New outlines for old ones, wherever they neither cross nor leave the hard tolerance."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvnext.vector.arcs import NOBODY, Arcs
from geoconvnext.vector.crossings import find_crossings, find_reordered
from geoconvnext.vector.rings import NO_RINGS, Rings
from geoconvnext.vector.simplify import Drawn


def settle(
    arcs: Arcs,
    senses: NDArray[np.float64],
    proposals: list[Drawn],
    level: NDArray[np.int64],
    obstacles: Rings = NO_RINGS,
) -> tuple[Rings, NDArray[np.int64]]:
    """Take each arc from the first proposal that makes no outline cross; return the rings and the choice.

    senses: (rings,), the sign of each ring's area, which it must keep.
    proposals: several ways to draw the arcs, the best first; the arcs as they are come after them. Only the
        first may move their ends, all ends at a junction alike.
    level: int64 (arcs,), the first proposal that may be taken for each arc. The choice is such a number, too;
        that of arcs as they are is len(proposals).
    obstacles: what else must not be crossed.
    """
    proposals = [*proposals, (arcs.coords, arcs.starts)]
    while True:
        coords, starts = mix(proposals, level)
        _pin(coords, starts, arcs, level)
        rings = arcs.rings(coords, starts)
        wrong = _crossing(arcs, (coords, starts), obstacles) | _turned(arcs, rings, senses)
        wrong |= find_reordered(arcs.nodes, (arcs.coords, arcs.starts), (coords, starts))
        if not (wrong & (level < len(proposals) - 1)).any():
            wrong = _swallowed(arcs, rings, obstacles)
        wrong &= level < len(proposals) - 1
        if not wrong.any():
            return rings, level
        level = level + wrong


def _pin(
    coords: NDArray[np.float64], starts: NDArray[np.int64], arcs: Arcs, level: NDArray[np.int64]
) -> None:
    """Put junctions back where an arc is not drawn as first proposed, in place."""
    is_open = arcs.nodes[:, 0] != NOBODY
    fixed = np.zeros(arcs.junctions, np.bool_)
    fixed[arcs.nodes[is_open & (level > 0)]] = True
    for end, place, origin in ((0, starts[:-1], arcs.starts[:-1]), (1, starts[1:] - 1, arcs.starts[1:] - 1)):
        held = is_open.copy()
        held[held] = fixed[arcs.nodes[held, end]]
        coords[place[held]] = arcs.coords[origin[held]]


def mix(proposals: list[Drawn], level: NDArray[np.int64]) -> Drawn:
    """Put arcs of several proposals together."""
    lengths = np.stack([np.diff(starts) for _, starts in proposals])
    offsets = np.cumsum([0, *(len(coords) for coords, _ in proposals)])
    first = np.stack([starts[:-1] for _, starts in proposals]) + offsets[:-1, None]
    index = np.arange(len(level))
    length = lengths[level, index]
    starts = np.concatenate([[0], np.cumsum(length)])
    taken = np.arange(starts[-1]) + np.repeat(first[level, index] - starts[:-1], length)
    return np.concatenate([coords for coords, _ in proposals])[taken], starts


def spread(drawn: Drawn, chosen: NDArray[np.bool_]) -> Drawn:
    """Put what was drawn for some arcs to their places among all (arcs,), with nothing for others."""
    lengths = np.zeros(len(chosen), np.int64)
    lengths[chosen] = np.diff(drawn[1])
    return drawn[0], np.concatenate([[0], np.cumsum(lengths)])


def _crossing(arcs: Arcs, drawn: Drawn, obstacles: Rings) -> NDArray[np.bool_]:
    """Say which arcs (arcs,) cross others as drawn, or obstacles."""
    coords, starts = drawn
    is_open = arcs.nodes[:, 0] != NOBODY
    found = find_crossings(
        np.concatenate([coords, obstacles.coords]),
        np.concatenate([starts, starts[-1] + obstacles.starts[1:]]),
        np.concatenate([is_open, np.zeros(len(obstacles.sizes), np.bool_)]),
        np.concatenate([arcs.sides, np.full((len(obstacles.sizes), 2), NOBODY)]),
    )
    return found[: len(arcs)]


def _swallowed(arcs: Arcs, rings: Rings, obstacles: Rings) -> NDArray[np.bool_]:
    """Say which arcs (arcs,) belong to polygons that crossed nothing on the way into others."""
    polygons = rings.to_polygons()
    among = shapely.get_num_interior_rings(polygons) > 0
    # Or a hole outside its exterior.
    among[among] = ~shapely.is_valid(polygons[among])
    both = np.concatenate([polygons, obstacles.to_polygons()])
    inner, outer = shapely.STRtree(both).query(
        shapely.get_point(shapely.get_exterior_ring(both), 0), "within"
    )
    inside = np.zeros(len(both), np.bool_)
    inside[inner] = inside[outer] = True
    return _along(arcs, (among | inside[: len(polygons)])[arcs.owners])


def _turned(arcs: Arcs, rings: Rings, senses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of which arcs (arcs,) a ring does not turn in its sense (rings,) any more."""
    return _along(arcs, np.sign(rings.areas) != senses)


def _along(arcs: Arcs, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which arcs (arcs,) some rings (rings,) run along."""
    found = np.zeros(len(arcs), np.bool_)
    walk = arcs.walk[np.repeat(chosen, np.diff(arcs.ring_starts))]
    found[np.maximum(walk, ~walk)] = True
    return found
