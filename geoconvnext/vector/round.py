"""Round roofs: closed outlines that a circle fits better than walls do."""

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.arcs import NOBODY, Arcs
from geoconvnext.vector.simplify import Drawn

MIN_RADIUS = 1.5
"""Smaller circles, in tolerances, are not told from squares."""
SAGITTA = 0.1
"""Largest distance, in tolerances, between a circle and the polygon drawn for it."""
MIN_CORNERS = 12
WALLS = 3.0
"""A circle costs as much as so many walls: it has three numbers to fit."""


def find_circles(
    arcs: Arcs, costs: NDArray[np.float64], prices: NDArray[np.float64], tolerance: NDArray[np.float64]
) -> tuple[Drawn, NDArray[np.bool_]]:
    """Draw circles for closed arcs that they fit at less than `costs` (arcs,); say which ones have one.

    prices: (arcs,), of a wall; tolerance: (arcs,), within which all points lie.
    """
    is_closed = arcs.nodes[:, 0] == NOBODY
    circles, is_round = _fit_all(arcs.coords, arcs.starts, is_closed, costs, WALLS * prices, tolerance)
    corners = np.zeros(len(arcs), np.int64)
    sagitta = SAGITTA * tolerance[is_round] / circles[is_round, 2]
    corners[is_round] = np.maximum(np.ceil(np.pi / np.arccos(1.0 - sagitta)), MIN_CORNERS)
    starts = np.concatenate([[0], np.cumsum(corners)])
    arc = np.repeat(np.arange(len(arcs)), corners)
    turn = 2.0 * np.pi * (np.arange(starts[-1]) - starts[arc]) / corners[arc] * circles[arc, 3]
    # A regular polygon of the circle's area.
    radius = circles[arc, 2] * np.sqrt(2.0 * np.pi / corners[arc] / np.sin(2.0 * np.pi / corners[arc]))
    return (
        circles[arc, :2] + radius[:, None] * np.column_stack([np.cos(turn), np.sin(turn)]),
        starts,
    ), is_round


@kernel
def _fit_all(
    coords: NDArray[np.float64],
    starts: NDArray[np.int64],
    is_closed: NDArray[np.bool_],
    costs: NDArray[np.float64],
    prices: NDArray[np.float64],
    tolerances: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (x, y, radius, sense of rotation) for each arc, and whether it is round."""
    circles, is_round = np.ones((len(is_closed), 4)), np.zeros(len(is_closed), np.bool_)
    for arc in range(len(is_closed)):
        if is_closed[arc] and costs[arc] > prices[arc]:
            outline = coords[starts[arc] : starts[arc + 1]]
            is_round[arc] = _fit(outline, costs[arc], prices[arc], tolerances[arc], circles[arc])
    return circles, is_round


@kernel
def _fit(
    outline: NDArray[np.float64], cost: float, price: float, tolerance: float, circle: NDArray[np.float64]
) -> bool:
    """Put the circle about the centroid, of the outline's area, into `circle`; say whether it fits."""
    area, x, y = 0.0, 0.0, 0.0
    for i in range(1, len(outline) - 1):
        ax, ay = outline[i, 0] - outline[0, 0], outline[i, 1] - outline[0, 1]
        bx, by = outline[i + 1, 0] - outline[0, 0], outline[i + 1, 1] - outline[0, 1]
        part = (ax * by - ay * bx) / 2.0
        area, x, y = area + part, x + part * (ax + bx) / 3.0, y + part * (ay + by) / 3.0
    if area == 0.0:
        return False
    circle[0], circle[1] = outline[0, 0] + x / area, outline[0, 1] + y / area
    circle[2], circle[3] = np.sqrt(abs(area) / np.pi), np.sign(area)
    if circle[2] < MIN_RADIUS * tolerance:
        return False
    total = price
    for i in range(len(outline)):
        ax, ay = outline[i, 0] - circle[0], outline[i, 1] - circle[1]
        following = (i + 1) % len(outline)
        bx, by = outline[following, 0] - circle[0], outline[following, 1] - circle[1]
        off = np.sqrt(ax * ax + ay * ay) - circle[2]
        middle = np.sqrt((ax + bx) ** 2 + (ay + by) ** 2) / 2.0 - circle[2]
        to = np.sqrt(bx * bx + by * by) - circle[2]
        # Simpson's rule, exact enough for long edges as well.
        total += (
            np.sqrt((bx - ax) ** 2 + (by - ay) ** 2) * (off * off + 4.0 * middle * middle + to * to) / 6.0
        )
        if abs(off) > tolerance or abs(middle) > tolerance or total > cost:
            return False
    return True
