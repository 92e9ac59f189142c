"""Buildings with straight walls and right angles, which share the walls that they shared before.

Each outline is divided into the walls that explain it best (walls.py), in the frame of its building or of the
buildings that it touches (directions.py); walls that go on beyond a junction become one line, and corners lie
where lines meet (straighten.py). What a circle explains better stays round (round.py). Nothing moves farther
than a hard tolerance, and no outline crosses another: where one would, the plain outline is kept (settle.py).
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.arcs import Arcs, cut
from geoconvnext.vector.directions import Frames, find_frames
from geoconvnext.vector.overlap import intersection_areas
from geoconvnext.vector.rings import NO_RINGS, Rings
from geoconvnext.vector.round import find_circles
from geoconvnext.vector.settle import mix, settle, spread
from geoconvnext.vector.simplify import Drawn, simplify
from geoconvnext.vector.straighten import HARD, straighten
from geoconvnext.vector.walls import find_walls

OUTLINES = ("plain", "partly", "squared", "round")
"""What of an outline was straightened: nothing, some of its rings or shared walls, all; or it is a circle."""
PLAIN, PARTLY, SQUARED, ROUND = range(4)

COARSE = 0.5
"""Directions are those of outlines simplified with this share of the tolerance."""
CLOSER = 0.6
"""Where walls go too far or cross others, they are sought once more within this share of the tolerance."""
SIDE_SHARE = 0.15
"""The tolerance of small buildings is this share of the side of a square of their area."""


@dataclass(frozen=True)
class Regularized:
    """Outlines drawn anew.

    rings: in the order of those given, with the same owners.
    outline: int64 (polygons,), an index of OUTLINES.
    fidelity: float64 (polygons,), IoU with the outline given, 0..1.
    """

    rings: Rings
    outline: NDArray[np.int64]
    fidelity: NDArray[np.float64]


def regularize(
    rings: Rings,
    group: NDArray[np.int64],
    maps: NDArray[np.float64],
    *,
    tolerance: float,
    simplify_tolerance: float,
    free_price: float = 2.0,
    obstacles: Rings = NO_RINGS,
) -> Regularized:
    """Straighten outlines within a tolerance, or keep those simplified; both in metres.

    group: (rings,), only rings of one group can touch. maps: (groups, 2, 2), the linear map from the
    coordinates to metres on the ground, where angles and distances are meant. Tolerance 0 simplifies only.
    free_price: a wall that runs freely, in no direction of its building's frame, costs as much as so many
    others: the less is known of where outlines are, the more that should be.
    obstacles: outlines of other polygons, which stay as they are; what is drawn anew keeps off them.
    The rings are those of valid polygons that do not overlap; those returned are so, too.
    """
    count = int(rings.owners.max(initial=-1)) + 1
    arcs = cut(rings, group)
    map_of = maps[_groups(arcs, group)]
    metric = replace(arcs, coords=_apply(map_of, (arcs.coords, arcs.starts))[0])
    back = np.linalg.inv(map_of).astype(np.float64)
    senses = np.sign(rings.areas)
    plain = simplify(arcs, np.full(len(arcs), simplify_tolerance), metric.coords)
    if tolerance <= 0.0:
        settled, _ = settle(arcs, senses, [plain], np.zeros(len(arcs), np.int64), obstacles)
        return Regularized(settled, np.full(count, PLAIN), _compare(rings, settled, count))
    pixel_m2 = np.abs(np.linalg.det(maps))[group[rings.is_exterior]]
    within = _tolerances(arcs, rings.polygon_areas(count) * pixel_m2, tolerance)
    frames = find_frames(metric, simplify(metric, COARSE * within), count)
    propose = partial(_propose, free_price=free_price)
    wide, far, is_round = propose(metric, frames, within, back)
    _, level = settle(arcs, senses, [wide, plain], far.astype(np.int64), obstacles)
    again = level > 0
    close, too_far, _ = propose(metric.alone(again), frames.take(again), CLOSER * within[again], back[again])
    closer = mix([plain, spread(close, again)], again.astype(np.int64))
    level = again.astype(np.int64)
    level[again] += too_far
    settled, level = settle(arcs, senses, [wide, closer, plain], level, obstacles)
    straight = level < np.where(again, 2, 1)
    return Regularized(
        settled, _judge(arcs, straight, is_round & ~again, count), _compare(rings, settled, count)
    )


def _groups(arcs: Arcs, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group (arcs,) of the rings along each arc."""
    groups = np.empty(len(arcs), np.int64)
    groups[np.maximum(arcs.walk, ~arcs.walk)] = np.repeat(group, np.diff(arcs.ring_starts))
    return groups


def _apply(maps: NDArray[np.float64], drawn: Drawn) -> Drawn:
    """Map each arc by its linear map (arcs, 2, 2)."""
    return _map_all(maps, *drawn), drawn[1]


@kernel
def _map_all(
    maps: NDArray[np.float64], coords: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    mapped = np.empty_like(coords)
    for arc in range(len(maps)):
        for i in range(starts[arc], starts[arc + 1]):
            x, y = coords[i, 0], coords[i, 1]
            mapped[i, 0] = maps[arc, 0, 0] * x + maps[arc, 0, 1] * y
            mapped[i, 1] = maps[arc, 1, 0] * x + maps[arc, 1, 1] * y
    return mapped


def _propose(
    arcs: Arcs, frames: Frames, within: NDArray[np.float64], back: NDArray[np.float64], *, free_price: float
) -> tuple[Drawn, NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw arcs as walls or circles, mapped `back`; say which moved too far, and which are round."""
    walls = find_walls(arcs, frames, within, free_price=free_price)
    straight, far = straighten(arcs, walls, frames, within)
    circles, is_round = find_circles(arcs, np.where(far, np.inf, walls.costs), walls.prices, within)
    return _apply(back, mix([straight, circles], is_round.astype(np.int64))), far & ~is_round, is_round


def _tolerances(arcs: Arcs, areas: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Return the tolerance (arcs,) to fit walls with: below the hard one, and a share of small buildings."""
    sides = np.sqrt(areas)
    # NOBODY, the last one, sets no bound.
    own = np.append(np.minimum(tolerance / HARD, SIDE_SHARE * sides), tolerance)
    least: NDArray[np.float64] = own[arcs.sides].min(axis=1)
    return least


def _judge(
    arcs: Arcs, regular: NDArray[np.bool_], is_round: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Return the outline (count,) of each building from what became of its arcs."""
    owner = np.repeat(arcs.owners, np.diff(arcs.ring_starts))
    arc = np.maximum(arcs.walk, ~arcs.walk)
    total = np.bincount(owner, minlength=count)
    good = np.bincount(owner, regular[arc], minlength=count)
    circles = np.bincount(owner, (regular & is_round)[arc], minlength=count)
    return np.select([circles == total, good == total, good > 0], [ROUND, SQUARED, PARTLY], PLAIN)


def _compare(before: Rings, after: Rings, count: int) -> NDArray[np.float64]:
    """Return the IoU (count,) of each polygon with what it was."""
    shared = intersection_areas(before, after, count)
    together = before.polygon_areas(count) + after.polygon_areas(count) - shared
    return np.clip(shared / np.maximum(together, 1e-300), 0.0, 1.0)
