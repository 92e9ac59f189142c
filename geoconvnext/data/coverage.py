"""The share of each pixel that polygons cover, exact, by summing signed areas as font rasterisers do.

Every edge adds, to the pixels of the rows that it crosses, the area between itself and the right side of
the pixel; a running sum along the row then is the covered share.
"""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.rings import Rings
from geoconvnext.kernel import kernel

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Coverage:
    """What buildings cover of a grid.

    share: float32 (H, W), 0..1, of all buildings together. number: int32 (H, W), the building that covers
    most of the pixel where that is half of it or more (of two, the earlier), else 0.
    """

    share: Float32s
    number: Int32s


def cover(rings: Rings, *, height: int, width: int) -> Coverage:
    """Coverage of a grid by rings in its pixels; what lies outside of it has no effect."""
    share = np.zeros((height, width), np.float32)
    most = np.zeros((height, width), np.float32)
    number = np.zeros((height, width), np.int32)
    _cover(rings.coords, rings.offsets, rings.building, share, most, number)
    return Coverage(np.minimum(share, 1, out=share), number)


@kernel
def _cover(
    coords: Float64s, offsets: Int64s, building: Int32s, share: Float32s, most: Float32s, number: Int32s
) -> None:
    """Add one building after the other to the share, each within its bounding box."""
    height, width = share.shape
    first = 0
    for ring in range(len(building)):
        if ring + 1 < len(building) and building[ring + 1] == building[ring]:
            continue
        x, y = coords[offsets[first] : offsets[ring + 1]].T
        left, right = max(0, floor(x.min())), min(width, ceil(x.max()))
        top, bottom = max(0, floor(y.min())), min(height, ceil(y.max()))
        if left < right and top < bottom:
            areas = np.zeros((bottom - top, right - left + 1))
            for each in range(first, ring + 1):
                for i in range(offsets[each], offsets[each + 1] - 1):
                    x0, y0, x1, y1 = coords[i, 0], coords[i, 1], coords[i + 1, 0], coords[i + 1, 1]
                    _add_edge(areas, x0 - left, y0 - top, x1 - left, y1 - top)
            box = (slice(top, bottom), slice(left, right))
            _collect(areas, building[ring], share[box], most[box], number[box])
        first = ring + 1


@kernel
def _add_edge(areas: Float64s, x0: float, y0: float, x1: float, y1: float) -> None:
    """Add an edge's signed areas to the rows that it crosses."""
    if y0 == y1:
        return
    sign = 1.0
    if y0 > y1:
        x0, y0, x1, y1, sign = x1, y1, x0, y0, -1.0
    slope = (x1 - x0) / (y1 - y0)
    y, end = max(y0, 0.0), min(y1, float(len(areas)))
    row = int(y)
    while y < end:
        below = min(end, row + 1.0)
        _add_run(areas, row, x0 + (y - y0) * slope, x0 + (below - y0) * slope, sign * (below - y))
        y = below
        row += 1


@kernel
def _add_run(areas: Float64s, row: int, x0: float, x1: float, cover: float) -> None:
    """Add the part of an edge within one row: from x0 to x1, `cover` high, to the pixels from there on."""
    width = areas.shape[1] - 1
    left, right = min(x0, x1), max(x0, x1)
    if left >= width:
        return
    if right <= 0:
        areas[row, 0] += cover
        return
    first = max(0, int(left))
    if left >= 0 and right <= first + 1:
        beyond = cover * ((left + right) / 2 - first)
        areas[row, first] += cover - beyond
        areas[row, first + 1] += beyond
        return
    density = cover / (right - left)
    areas[row, 0] += density * max(0.0, -left)
    for column in range(first, min(width, ceil(right))):
        start, stop = max(left, column), min(right, column + 1.0)
        part = density * (stop - start)
        beyond = part * ((start + stop) / 2 - column)
        areas[row, column] += part - beyond
        areas[row, column + 1] += beyond


@kernel
def _collect(areas: Float64s, building: int, share: Float32s, most: Float32s, number: Int32s) -> None:
    """Sum the areas along the rows into the share that a building covers."""
    for row in range(share.shape[0]):
        running = 0.0
        for column in range(share.shape[1]):
            running += areas[row, column]
            covered = min(1.0, abs(running))
            share[row, column] += covered
            if covered >= 0.5 and covered > most[row, column]:
                most[row, column] = covered
                number[row, column] = building
