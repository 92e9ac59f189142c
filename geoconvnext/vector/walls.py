"""Outlines as few straight walls: the best division of each arc, found by dynamic programming.

In the arc's frame a wall runs along it, across it or freely. What a wall costs is the integral of the squared
distance between the outline and the wall's line, which is fitted by total least squares, plus a price per
wall: the cheapest sequence of walls between possible corners is found exactly. The rougher an outline is, the
higher is the price. Outlines are rounded at their corners, so the ends of a wall do not count. The integrals
come from running sums, in constant time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.arcs import NOBODY, Arcs
from geoconvnext.vector.directions import Frames
from geoconvnext.vector.simplify import find_corners

ALONG, ACROSS, FREE = 0, 1, 2
KINDS = 3

CANDIDATES = 0.25
"""Walls may begin at corners that Douglas and Peucker's rule finds with this share of the tolerance."""
TRIM = 0.3
"""What does not count at both ends of a wall, in tolerances; at most a quarter of the wall."""
WITHIN = 0.9
"""No point of the outline lies farther from its wall, in tolerances."""
REACH = 64
"""A wall passes so many possible corners at most."""
PRICE = 0.01
"""What a wall costs at least, in cubed tolerances."""
ROUGH_PRICE = 50.0
"""What it costs in addition, in tolerances times the outline's mean square distance from straight lines."""
WINDOW, WINDOW_SHARE = 3.0, 0.1
"""Roughness is seen in windows of so many tolerances, or of this share of a shorter outline."""
SMOOTHEST = 0.3
"""It is this quantile of the windows': others have a corner inside."""
LENGTH, U, V, UU, VV, UV = range(6)

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Sums = tuple[float, float, float, float, float, float]
"""Integrals of (1, u, v, u^2, v^2, uv) along some outline."""
Box = tuple[float, float, float, float]
"""Least u, least v, largest u, largest v."""


@dataclass(frozen=True)
class Walls:
    """The walls of arcs, one after the other along each arc.

    starts: int64 (arcs + 1,), where the walls of each arc begin.
    points: int64 (walls, 2), the points of the arc (in its coords, from 0) where a wall begins and ends; the
        walls of a closed arc go around it.
    kind: int64 (walls,): ALONG, ACROSS or FREE.
    centers: float64 (walls, 2), centroid of the outline along the wall, without its ends.
    directions: float64 (walls,), in radians, in which the outline runs there, by total least squares.
    lengths: float64 (walls,), the length of the outline that both were taken from.
    costs: float64 (arcs,), integral of squared distances plus prices; prices: float64 (arcs,).
    """

    starts: Indices
    points: Indices
    kind: Indices
    centers: Floats
    directions: Floats
    lengths: Floats
    costs: Floats
    prices: Floats


def find_walls(arcs: Arcs, frames: Frames, tolerance: Floats, *, free_price: float) -> Walls:
    """Divide every arc into walls, within its tolerance (arcs,).

    free_price: a wall that runs freely costs as much as so many others.
    """
    is_open = arcs.nodes[:, 0] != NOBODY
    corners = find_corners(arcs.coords, arcs.starts, is_open, CANDIDATES * tolerance)
    settings = np.array([PRICE, ROUGH_PRICE, free_price, TRIM, WITHIN, WINDOW, WINDOW_SHARE, SMOOTHEST])
    return Walls(*_divide_all(arcs.coords, arcs.starts, is_open, corners, frames.angle, tolerance, settings))


@kernel
def _divide_all(
    coords: Floats,
    starts: Indices,
    is_open: NDArray[np.bool_],
    corners: NDArray[np.bool_],
    angles: Floats,
    tolerances: Floats,
    settings: Floats,
) -> tuple[Indices, Indices, Indices, Floats, Floats, Floats, Floats, Floats]:
    """Return the fields of Walls."""
    limit = corners.sum() + 2 * len(is_open)
    wall_starts = np.zeros(len(starts), np.int64)
    ends, kinds = np.empty((limit, 2), np.int64), np.empty(limit, np.int64)
    centers, directions, lengths = np.empty((limit, 2)), np.empty(limit), np.empty(limit)
    costs, prices = np.empty(len(is_open)), np.empty(len(is_open))
    used = 0
    for arc in range(len(is_open)):
        outline = coords[starts[arc] : starts[arc + 1]]
        places = np.flatnonzero(corners[starts[arc] : starts[arc + 1]])
        tolerance, shift = tolerances[arc], 0
        if not is_open[arc]:
            shift = places[0]
        points = _unroll(outline, shift, is_open[arc], angles[arc])
        running = _integrate(points)
        price = settings[0] * tolerance**3 + settings[1] * tolerance * _roughness(
            points, running, settings[5] * tolerance, settings[6], settings[7]
        )
        limits = np.array([price, price * settings[2], settings[3] * tolerance, settings[4] * tolerance])
        path, stops, costs[arc] = _divide(points, running, _stops(places, shift, points), limits)
        if not is_open[arc]:
            # It began at what may be no corner; this round begins where the first one found one.
            shift = (shift + stops[len(path) // 2]) % len(outline)
            points = _unroll(outline, shift, False, angles[arc])
            running = _integrate(points)
            path, stops, costs[arc] = _divide(points, running, _stops(places, shift, points), limits)
        prices[arc] = price
        for i in range(len(path)):
            ends[used, 0] = (stops[i] + shift) % len(outline)
            ends[used, 1] = (stops[i + 1] + shift) % len(outline)
            sums = _between(points, running, stops[i], stops[i + 1], limits[2])
            u, v, turn = _fit(sums)
            cosine, sine = np.cos(angles[arc]), np.sin(angles[arc])
            centers[used, 0] = outline[shift, 0] + u * cosine - v * sine
            centers[used, 1] = outline[shift, 1] + u * sine + v * cosine
            kinds[used], directions[used], lengths[used] = path[i], angles[arc] + turn, sums[LENGTH]
            used += 1
        wall_starts[arc + 1] = used
    ends, kinds, centers = ends[:used], kinds[:used], centers[:used]
    return wall_starts, ends, kinds, centers, directions[:used], lengths[:used], costs, prices


@kernel
def _unroll(outline: Floats, shift: int, is_open: bool, angle: float) -> Floats:
    """Return the points from `shift` on, back to it where closed, in the frame that begins there."""
    count = len(outline) + (0 if is_open else 1)
    points, cosine, sine = np.empty((count, 2)), np.cos(angle), np.sin(angle)
    for i in range(count):
        here = (i + shift) % len(outline)
        x, y = outline[here, 0] - outline[shift, 0], outline[here, 1] - outline[shift, 1]
        points[i, 0], points[i, 1] = x * cosine + y * sine, y * cosine - x * sine
    return points


@kernel
def _stops(places: Indices, shift: int, points: Floats) -> Indices:
    """Return the possible corners as points of an unrolled outline, its end included."""
    size = len(points) - 1
    stops = np.empty(len(places) + 1, np.int64)
    for i in range(len(places)):
        stops[i] = (places[i] - shift) % size if places[i] != size else size
    stops[len(places)] = size
    stops.sort()
    return stops if stops[-2] != size else stops[:-1]


@kernel
def _divide(
    points: Floats, running: Floats, stops: Indices, limits: Floats
) -> tuple[Indices, Indices, float]:
    """Divide an unrolled outline; return the kinds of its walls, the points where they begin, and the cost.

    limits: (price of a wall, price of a free one, trim, distance within which all points are).
    """
    count = len(stops) - 1
    best, previous = np.full((count + 1, KINDS), np.inf), np.zeros((count + 1, KINDS, 2), np.int64)
    best[0] = 0.0
    boxes = _boxes(points, stops)
    for stop in range(1, count + 1):
        box = (np.inf, np.inf, -np.inf, -np.inf)
        for start in range(stop - 1, max(-1, stop - 1 - REACH), -1):
            box = (
                min(box[0], boxes[start, 0]),
                min(box[1], boxes[start, 1]),
                max(box[2], boxes[start, 2]),
                max(box[3], boxes[start, 3]),
            )
            sums = _between(points, running, stops[start], stops[stop], limits[2])
            costs = _costs(sums, box, limits[3])
            for kind in range(KINDS):
                before = _cheapest(best[start], kind)
                total = best[start, before] + costs[kind] + limits[1 if kind == FREE else 0]
                if total >= best[stop, kind]:
                    continue
                if kind == FREE and _leaves(points, stops[start], stops[stop], sums, limits[3]):
                    continue
                best[stop, kind] = total
                previous[stop, kind, 0], previous[stop, kind, 1] = start, before
            if costs[FREE] >= _most(best[stop], box, limits[3]):
                # No line fits better the farther a wall goes back.
                break
    kind = int(np.argmin(best[count]))
    path, places = _follow_back(stops, previous, kind)
    return path, places, best[count, kind]


@kernel
def _most(costs: Floats, box: Box, within: float) -> float:
    """Return the highest cost so far of the kinds of wall that can still run along an outline in a box."""
    most = costs[FREE]
    if box[3] - box[1] <= 2.0 * within:
        most = max(most, costs[ALONG])
    if box[2] - box[0] <= 2.0 * within:
        most = max(most, costs[ACROSS])
    return float(most)


@kernel
def _follow_back(stops: Indices, previous: Indices, kind: int) -> tuple[Indices, Indices]:
    """Return the kinds and the points along the cheapest path to the last stop."""
    stop = free = len(stops) - 1
    path, places = np.empty(stop, np.int64), np.empty(stop + 1, np.int64)
    places[stop] = stops[stop]
    while stop > 0:
        free -= 1
        path[free] = kind
        stop, kind = previous[stop, kind]
        places[free] = stops[stop]
    return path[free:].copy(), places[free:].copy()


@kernel
def _cheapest(costs: Floats, kind: int) -> int:
    """Return the cheapest kind of wall before one of a kind: two along the frame never follow each other."""
    chosen = FREE
    for before in range(KINDS - 1):
        if before != kind and costs[before] < costs[chosen]:
            chosen = before
    return chosen


@kernel
def _boxes(points: Floats, stops: Indices) -> Floats:
    """Return (least u, least v, largest u, largest v) of the outline from each stop to the next one."""
    boxes = np.empty((len(stops) - 1, 4))
    for i in range(len(boxes)):
        boxes[i, :2], boxes[i, 2:] = np.inf, -np.inf
        for point in range(stops[i], stops[i + 1] + 1):
            for k in range(2):
                boxes[i, k] = min(boxes[i, k], points[point, k])
                boxes[i, k + 2] = max(boxes[i, k + 2], points[point, k])
    return boxes


@kernel
def _costs(sums: Sums, box: Box, within: float) -> tuple[float, float, float]:
    """Return the integral of squared distances to the best line along, across and of any direction.

    Infinite where the box of the outline reaches farther than `within` from the line along or across.
    """
    if sums[LENGTH] <= 0.0:
        return 0.0, 0.0, 0.0
    u, v = sums[U] / sums[LENGTH], sums[V] / sums[LENGTH]
    uu, vv, uv = _spread(sums)
    along = vv if max(v - box[1], box[3] - v) <= within else np.inf
    across = uu if max(u - box[0], box[2] - u) <= within else np.inf
    return along, across, _least(uu, vv, uv)


@kernel
def _spread(sums: Sums) -> tuple[float, float, float]:
    """Return the integrals of u^2, v^2 and uv around the centroid."""
    u, v = sums[U] / sums[LENGTH], sums[V] / sums[LENGTH]
    return max(sums[UU] - u * sums[U], 0.0), max(sums[VV] - v * sums[V], 0.0), sums[UV] - u * sums[V]


@kernel
def _least(uu: float, vv: float, uv: float) -> float:
    """Return the integral of squared distances to the best line through the centroid."""
    return float(max((uu + vv) / 2.0 - np.sqrt(((uu - vv) / 2.0) ** 2 + uv * uv), 0.0))


@kernel
def _fit(sums: Sums) -> tuple[float, float, float]:
    """Return the centroid in the frame, and the direction there by total least squares."""
    if sums[LENGTH] <= 0.0:
        return 0.0, 0.0, 0.0
    uu, vv, uv = _spread(sums)
    return sums[U] / sums[LENGTH], sums[V] / sums[LENGTH], 0.5 * np.arctan2(2.0 * uv, uu - vv)


@kernel
def _leaves(points: Floats, start: int, stop: int, sums: Sums, within: float) -> bool:
    """Say whether a point between two others is farther than `within` from the freely fitted line."""
    u, v, turn = _fit(sums)
    nu, nv = -np.sin(turn), np.cos(turn)
    for i in range(start, stop + 1):
        if abs((points[i, 0] - u) * nu + (points[i, 1] - v) * nv) > within:
            return True
    return False


@kernel
def _integrate(points: Floats) -> Floats:
    """Return, at each point, the integrals up to there, as in Sums."""
    running = np.zeros((len(points), 6))
    for i in range(1, len(points)):
        edge = _edge(points[i - 1, 0], points[i - 1, 1], points[i, 0], points[i, 1])
        for k in range(6):
            running[i, k] = running[i - 1, k] + edge[k]
    return running


@kernel
def _edge(u: float, v: float, to_u: float, to_v: float) -> Sums:
    """Return the integrals along one straight edge."""
    length = np.sqrt((to_u - u) ** 2 + (to_v - v) ** 2)
    return (
        length,
        length * (u + to_u) / 2.0,
        length * (v + to_v) / 2.0,
        length * (u * u + u * to_u + to_u * to_u) / 3.0,
        length * (v * v + v * to_v + to_v * to_v) / 3.0,
        length * (2.0 * (u * v + to_u * to_v) + u * to_v + to_u * v) / 6.0,
    )


@kernel
def _between(points: Floats, running: Floats, start: int, stop: int, trim: float) -> Sums:
    """Return the integrals between two points of the outline, without the trimmed ends."""
    begin, end = running[start, LENGTH], running[stop, LENGTH]
    trim = min(trim, (end - begin) / 4.0)
    first, last = start, stop
    while running[first + 1, LENGTH] - begin < trim:
        first += 1
    while end - running[last - 1, LENGTH] < trim:
        last -= 1
    head = _part(points, running, first, first + 1, begin + trim)
    tail = _part(points, running, last, last - 1, end - trim)
    return (
        running[last, 0] - running[first, 0] - head[0] - tail[0],
        running[last, 1] - running[first, 1] - head[1] - tail[1],
        running[last, 2] - running[first, 2] - head[2] - tail[2],
        running[last, 3] - running[first, 3] - head[3] - tail[3],
        running[last, 4] - running[first, 4] - head[4] - tail[4],
        running[last, 5] - running[first, 5] - head[5] - tail[5],
    )


@kernel
def _part(points: Floats, running: Floats, here: int, there: int, place: float) -> Sums:
    """Return the integrals along an edge from its point `here` to a place along the outline."""
    whole = running[there, LENGTH] - running[here, LENGTH]
    share = (place - running[here, LENGTH]) / whole if whole != 0.0 else 0.0
    u, v = points[here, 0], points[here, 1]
    return _edge(u, v, u + share * (points[there, 0] - u), v + share * (points[there, 1] - v))


@kernel
def _roughness(points: Floats, running: Floats, window: float, share: float, smoothest: float) -> float:
    """Return the mean square distance of the outline from straight lines, where it is among the smoothest."""
    total = running[-1, LENGTH]
    window = min(window, share * total)
    found, count, start = np.empty(len(running)), 0, 0
    for stop in range(1, len(running)):
        if running[stop, LENGTH] - running[start, LENGTH] < window:
            continue
        uu, vv, uv = _spread(_between(points, running, start, stop, 0.0))
        found[count] = _least(uu, vv, uv) / (running[stop, LENGTH] - running[start, LENGTH])
        count += 1
        # Windows overlap by half.
        while running[stop, LENGTH] - running[start, LENGTH] >= window / 2.0:
            start += 1
    if count == 0:
        return 0.0
    sorted_ones = np.sort(found[:count])
    return float(sorted_ones[int(smoothest * count)])
