"""Sub-pixel outlines of labelled pixels: marching squares, walked along the pixel sides.

Every side between a pixel of the building and another pixel carries one vertex, on the line between the
two pixel centres: where the body probability, linearly interpolated, passes the threshold; midway where the
other pixel is another building, nodata or outside the scene. Walking from side to side with the building on
the right hand and turning right at saddles gives the marching-squares contour for connection by four sides:
simple rings that touch neither themselves nor each other, one exterior and any number of holes per building.
Both neighbours of a party wall get the same vertices there, so their polygons share it and do not overlap.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel

NODATA = 255


@dataclass(frozen=True)
class Rings:
    """Closed rings of the buildings of one patch, as ragged arrays.

    coords: float64 (vertices, 2) of (col, row) in pixels of the patch, a pixel's centre being at +0.5; the
        first vertex of a ring is not repeated at its end.
    sizes: int64 (rings,), the number of vertices of each ring.
    labels: int32 (rings,), the building of each ring; a building's first ring is its exterior.
    """

    coords: NDArray[np.float64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int32]


def trace(body: NDArray[np.uint8], labels: NDArray[np.int32], *, threshold: int) -> Rings:
    """Trace the outlines of all buildings of a patch.

    body uint8 (h, w) with 255 for nodata; labels int32 (h, w), 0 outside buildings, each building connected
    by four sides, and the outermost pixels 0. Building pixels have body >= threshold.
    """
    # Half a grey value below the threshold, no pixel lies exactly on the contour.
    coords, sizes, owners = _trace(body, labels, threshold - 0.5)
    return Rings(coords=coords, sizes=sizes, labels=owners)


@kernel
def _trace(
    body: NDArray[np.uint8], labels: NDArray[np.int32], level: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Find every ring at an upper side of a pixel that no ring has passed yet, and walk it."""
    height, width = labels.shape
    sides = _count_sides(labels)
    coords = np.empty((2 * sides, 2), np.float64)
    sizes = np.empty(sides // 4 + 1, np.int64)
    owners = np.empty(sides // 4 + 1, np.int32)
    passed = np.zeros((height, width), np.bool_)
    used = rings = 0
    for row in range(1, height - 1):
        for col in range(1, width - 1):
            label = labels[row, col]
            if label > 0 and labels[row - 1, col] != label and not passed[row, col]:
                end = _walk(body, labels, level, passed, row, col, coords, used)
                sizes[rings], owners[rings] = end - used, label
                used = end
                rings += 1
    return coords[:used].copy(), sizes[:rings].copy(), owners[:rings].copy()


@kernel
def _count_sides(labels: NDArray[np.int32]) -> int:
    """Count the pixel sides at which a building ends."""
    height, width = labels.shape
    sides = 0
    for row in range(1, height - 1):
        for col in range(1, width - 1):
            label = labels[row, col]
            beside = (labels[row, col - 1] != label) + (labels[row, col + 1] != label)
            beside += (labels[row - 1, col] != label) + (labels[row + 1, col] != label)
            sides += beside * (label > 0)
    return sides


@kernel
def _walk(
    body: NDArray[np.uint8],
    labels: NDArray[np.int32],
    level: float,
    passed: NDArray[np.bool_],
    row: int,
    col: int,
    coords: NDArray[np.float64],
    used: int,
) -> int:
    """Walk one ring from the upper side of a pixel, marking upper sides; return the end of its vertices.

    (up_row, up_col) points from the pixel to the side: the outside. The walk goes to its right.
    """
    label = labels[row, col]
    first_row, first_col = row, col
    up_row, up_col = -1, 0
    while True:
        if up_row == -1:
            passed[row, col] = True
        depth = _depth(body, labels, level, row, col, row + up_row, col + up_col)
        coords[used, 0] = col + 0.5 + depth * up_col
        coords[used, 1] = row + 0.5 + depth * up_row
        used += 1
        ahead_row, ahead_col = up_col, -up_row
        if _needs_corner(body, labels, level, row, col, up_row, up_col):
            side = 0.5
            if labels[row + ahead_row, col + ahead_col] != label:
                side = _depth(body, labels, level, row, col, row + ahead_row, col + ahead_col)
            coords[used, 0] = col + 0.5 + depth * up_col + side * ahead_col
            coords[used, 1] = row + 0.5 + depth * up_row + side * ahead_row
            used += 1
        if labels[row + ahead_row, col + ahead_col] != label:
            up_row, up_col = ahead_row, ahead_col
        elif labels[row + ahead_row + up_row, col + ahead_col + up_col] != label:
            row, col = row + ahead_row, col + ahead_col
        else:
            row, col = row + ahead_row + up_row, col + ahead_col + up_col
            up_row, up_col = -ahead_row, -ahead_col
        if row == first_row and col == first_col and up_row == -1:
            return used


@kernel
def _depth(
    body: NDArray[np.uint8],
    labels: NDArray[np.int32],
    level: float,
    row: int,
    col: int,
    out_row: int,
    out_col: int,
) -> float:
    """Return how far from the building pixel's centre the outline crosses, as a share of the way, in 0..1."""
    outside = body[out_row, out_col]
    if labels[out_row, out_col] > 0 or outside == NODATA:
        return 0.5
    inside = float(body[row, col])
    return (inside - level) / (inside - float(outside))


@kernel
def _needs_corner(
    body: NDArray[np.uint8],
    labels: NDArray[np.int32],
    level: float,
    row: int,
    col: int,
    up_row: int,
    up_col: int,
) -> bool:
    """Say whether the outline has a vertex of its own between this side and the next one.

    It has one where three or four buildings meet, so that no hole opens between them, and at the corners of
    nodata, so that a building ends exactly there. Everywhere else marching squares go straight.
    """
    ahead_row, ahead_col = row + up_col, col - up_row
    label = labels[row, col]
    outer = labels[row + up_row, col + up_col]
    ahead = labels[ahead_row, ahead_col]
    diagonal = labels[ahead_row + up_row, ahead_col + up_col]
    outer_nodata = body[row + up_row, col + up_col] == NODATA
    if ahead == label:
        corner = outer_nodata if diagonal == label else outer > 0 and diagonal > 0 and outer != diagonal
    elif diagonal == label:
        corner = False
    elif outer > 0 and ahead > 0 and diagonal > 0:
        corner = not (outer == ahead == diagonal)
    else:
        # The diagonal pixel may also belong to another component, whose pixels have no label here.
        across = body[ahead_row + up_row, ahead_col + up_col]
        is_free = diagonal == 0 and not level < across < NODATA
        corner = is_free and (outer_nodata or body[ahead_row, ahead_col] == NODATA)
    return bool(corner)
