"""The directions of walls: one right-angled frame per building, the same for neighbours that nearly agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.arcs import NOBODY, Arcs
from geoconvnext.vector.runs import root
from geoconvnext.vector.simplify import Drawn

BINS = 90
"""Histogram of directions modulo 90 degrees: one bin per degree."""
REACH = 6
"""Walls count for directions up to so many degrees away, less the farther away they are."""
SAME_DEGREES = 10.0
"""Touching buildings whose directions differ by less have one frame."""


@dataclass(frozen=True)
class Frames:
    """Frames of arcs.

    number: int64 (arcs,), which frame an arc has; angle: float64 (arcs,), its direction in radians.
    """

    number: NDArray[np.int64]
    angle: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_]) -> "Frames":
        """Take those of some arcs (arcs,)."""
        return Frames(self.number[chosen], self.angle[chosen])


def find_frames(arcs: Arcs, coarse: Drawn, count: int) -> Frames:
    """Find the frame of every arc; coarse: the simplified arcs; count: number of polygons.

    A building's direction is the peak of its walls' directions modulo 90 degrees, long walls counting by the
    square of their length. Along shared walls, the longest first, neighbours join frames that nearly agree;
    an arc between two frames has that of the building with the smaller number.
    """
    is_open = arcs.nodes[:, 0] != NOBODY
    angles, weights = _directions(*coarse, is_open, arcs.sides, count)
    lengths = np.hypot(*(arcs.coords[arcs.starts[1:] - 1] - arcs.coords[arcs.starts[:-1]]).T)
    party = np.flatnonzero((arcs.sides >= 0).all(axis=1))
    party = party[np.argsort(-lengths[party], kind="stable")]
    frame, angle = _join(angles, weights, arcs.sides[party])
    owner = np.where((arcs.sides >= 0).all(axis=1), arcs.sides.min(axis=1), arcs.sides.max(axis=1))
    return Frames(frame[owner], angle[frame[owner]])


@kernel
def _directions(
    coords: NDArray[np.float64],
    starts: NDArray[np.int64],
    is_open: NDArray[np.bool_],
    sides: NDArray[np.int64],
    count: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the direction (count,) of each building in degrees, 0..90, and its weight."""
    histogram = np.zeros((count, BINS))
    for arc in range(len(starts) - 1):
        first, last = starts[arc], starts[arc + 1]
        for i in range(first, last - is_open[arc]):
            following = i + 1 if i + 1 < last else first
            x, y = coords[following, 0] - coords[i, 0], coords[following, 1] - coords[i, 1]
            place = np.degrees(np.arctan2(y, x)) % 90.0
            low = np.int64(place) % BINS
            share = place - np.floor(place)
            for side in range(2):
                if sides[arc, side] >= 0:
                    histogram[sides[arc, side], low] += (1.0 - share) * (x * x + y * y)
                    histogram[sides[arc, side], (low + 1) % BINS] += share * (x * x + y * y)
    angles, weights = np.zeros(count), np.zeros(count)
    for building in range(count):
        angles[building], weights[building] = _peak(histogram[building])
    return angles, weights


@kernel
def _peak(histogram: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean direction around the peak of a circular histogram, and the weight there."""
    best, highest = 0, -1.0
    for center in range(BINS):
        height = 0.0
        for off in range(-REACH, REACH + 1):
            height += histogram[(center + off) % BINS] * (REACH + 1 - abs(off))
        if height > highest:
            best, highest = center, height
    total, shift = 0.0, 0.0
    for off in range(-REACH, REACH + 1):
        weight = histogram[(best + off) % BINS] * (REACH + 1 - abs(off))
        total += weight
        shift += weight * off
    return (best + (shift / total if total > 0.0 else 0.0)) % 90.0, total


@kernel
def _join(
    angles: NDArray[np.float64], weights: NDArray[np.float64], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the frame (count,) of each building, and the direction in radians of each frame."""
    parents, angle, weight = np.arange(len(angles)), angles.copy(), weights.copy()
    for i in range(len(pairs)):
        a, b = root(parents, pairs[i, 0]), root(parents, pairs[i, 1])
        a, b = min(a, b), max(a, b)
        difference = (angle[b] - angle[a] + 45.0) % 90.0 - 45.0
        if a != b and abs(difference) < SAME_DEGREES:
            parents[b] = a
            weight[a] += weight[b]
            if weight[a] > 0.0:
                angle[a] = (angle[a] + difference * weight[b] / weight[a]) % 90.0
    frame = np.empty_like(parents)
    for i in range(len(parents)):
        frame[i] = root(parents, i)
    return frame, np.radians(angle)
