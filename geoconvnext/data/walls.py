"""Pixels near walls: of any building, and of two different ones."""

from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.rings import Rings
from geoconvnext.kernel import kernel

Float64s = NDArray[np.float64]
Int32s = NDArray[np.int32]
Bools = NDArray[np.bool_]


def near_walls(rings: Rings, radius_px: float, *, height: int, width: int) -> Bools:
    """Pixels (H, W) whose centre is within the radius of a wall."""
    owner = np.zeros((height, width), np.int32)
    _stamp_walls(rings.coords, _wall_owner(rings), radius_px, owner, np.zeros(owner.shape, np.bool_))
    return owner > 0


def near_two(rings: Rings, number: Int32s, radius_px: float) -> Bools:
    """Pixels (H, W) whose centre is within the radius of two buildings, which do not overlap.

    number: int32 (H, W), of the building that a pixel is in, or 0; radius: 1 or more.
    """
    shared = np.zeros(number.shape, np.bool_)
    _stamp_walls(rings.coords, _wall_owner(rings), radius_px, number.copy(), shared)
    return shared


def _wall_owner(rings: Rings) -> Int32s:
    """Name the building of the wall from each coordinate to the next, 0 between two rings."""
    owner = np.repeat(rings.building, np.diff(rings.offsets))
    owner[rings.offsets[1:] - 1] = 0
    return owner


@kernel
def _stamp_walls(coords: Float64s, wall_owner: Int32s, radius: float, owner: Int32s, shared: Bools) -> None:
    """Give the free pixels near each wall to its building; mark those that another building has as shared."""
    for wall in range(len(wall_owner)):
        if wall_owner[wall] == 0:
            continue
        # Relative to the pixels' centres.
        x0, y0 = coords[wall, 0] - 0.5, coords[wall, 1] - 0.5
        dx, dy = coords[wall + 1, 0] - 0.5 - x0, coords[wall + 1, 1] - 0.5 - y0
        top = max(0, ceil(min(y0, y0 + dy) - radius))
        bottom = min(owner.shape[0] - 1, floor(max(y0, y0 + dy) + radius))
        for row in range(top, bottom + 1):
            left, right = _reach(x0, y0 - row, dx, dy, radius)
            for column in range(max(0, ceil(left)), min(owner.shape[1] - 1, floor(right)) + 1):
                if owner[row, column] == 0:
                    owner[row, column] = wall_owner[wall]
                elif owner[row, column] != wall_owner[wall]:
                    shared[row, column] = True


@kernel
def _reach(x: float, y: float, dx: float, dy: float, radius: float) -> tuple[float, float]:
    """Where the line y = 0 is within the radius of the segment from (x, y) to (x + dx, y + dy).

    It is one stretch, from its leftmost to its rightmost point: the disks around both ends, and the strip.
    """
    left, right = 1e9, -1e9
    for end_x, end_y in ((x, y), (x + dx, y + dy)):
        if abs(end_y) <= radius:
            half = sqrt(radius * radius - end_y * end_y)
            left, right = min(left, end_x - half), max(right, end_x + half)
    length = sqrt(dx * dx + dy * dy)
    if length > 0 and dy != 0:
        for side in (-radius, radius):
            # The segment moved sideways by the radius crosses the line at this share of its length.
            share = -(y + side * dx / length) / dy
            if 0 <= share <= 1:
                crossing = x - side * dy / length + share * dx
                left, right = min(left, crossing), max(right, crossing)
    return left, right
