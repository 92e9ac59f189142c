"""Straight walls put together: lines shared across junctions, corners where lines meet, a hard tolerance."""

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.arcs import Arcs, list_ends
from geoconvnext.vector.directions import Frames
from geoconvnext.vector.rings import around
from geoconvnext.vector.runs import root
from geoconvnext.vector.simplify import Drawn
from geoconvnext.vector.walls import ACROSS, ALONG, FREE, Walls

HARD = 1.5
"""Outlines move so many tolerances at most: a little more than the walls were fitted with, for their ends."""
SAME_LINE = 0.25
"""Parallel walls that meet at a junction become one line if no farther apart than so many tolerances."""
MIN_CROSSING = 0.3
"""Lines meet at a point if the sine of the angle between them is at least this."""
ON_LINE = 1e-6
"""A point so near to a line lies on it."""
HELD = 1e-3
"""Weight of a junction's own place against the lines that meet there, where they are not just two."""


def straighten(
    arcs: Arcs, walls: Walls, frames: Frames, tolerance: NDArray[np.float64]
) -> tuple[Drawn, NDArray[np.bool_]]:
    """Draw every arc as its walls; say of which (arcs,) a point moved farther than HARD tolerances."""
    walls_per_arc = np.diff(walls.starts)
    frame = np.repeat(frames.number, walls_per_arc)
    near = SAME_LINE * np.repeat(tolerance, walls_per_arc)
    lines = _fit_lines(walls, _refine(walls, frame, np.repeat(frames.angle, walls_per_arc)))
    lines = _share_lines(arcs.nodes, walls.starts, walls.kind, lines, walls.lengths, frame, near)
    junctions, steps = _place_junctions(
        arcs.coords, arcs.starts, arcs.nodes, walls.starts, lines, walls.lengths, near
    )
    coords, starts, far = _draw(
        arcs.coords,
        arcs.starts,
        arcs.nodes,
        walls.starts,
        walls.points,
        walls.kind,
        lines,
        junctions,
        steps,
        HARD * tolerance,
    )
    return (coords, starts), far


def _refine(walls: Walls, frame: NDArray[np.int64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle of each wall's frame (walls,), now the mean of the directions of all walls in it.

    The variance of a fitted direction falls with the cube of the length.
    """
    off = walls.directions - angle
    off -= np.round(off / (np.pi / 2.0)) * (np.pi / 2.0)
    weights = walls.lengths**3 * (walls.kind != FREE)
    total = np.bincount(frame, weights)
    mean = np.bincount(frame, weights * off) / np.where(total > 0.0, total, 1.0)
    refined: NDArray[np.float64] = angle + mean[frame]
    return refined


def _fit_lines(walls: Walls, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (nx, ny, c) (walls, 3) of the line nx * x + ny * y = c through each wall's centre."""
    normal = np.select(
        [walls.kind == ALONG, walls.kind == ACROSS],
        [angle + np.pi / 2.0, angle],
        walls.directions + np.pi / 2.0,
    )
    normals = np.column_stack([np.cos(normal), np.sin(normal)])
    return np.column_stack([normals, (normals * walls.centers).sum(axis=1)])


@kernel
def _end_walls(
    nodes: NDArray[np.int64], wall_starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each junction begins in the list of walls that end there, and that list."""
    offsets, ends = list_ends(nodes)
    for i in range(len(ends)):
        arc = ends[i] // 2
        ends[i] = wall_starts[arc] if ends[i] % 2 == 0 else wall_starts[arc + 1] - 1
    return offsets, ends


@kernel
def _share_lines(
    nodes: NDArray[np.int64],
    wall_starts: NDArray[np.int64],
    kind: NDArray[np.int64],
    lines: NDArray[np.float64],
    lengths: NDArray[np.float64],
    frame: NDArray[np.int64],
    distances: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give close walls of one frame and kind that meet at a junction their mean line."""
    parents, weights, shared = np.arange(len(kind)), lengths.copy(), lines.copy()
    offsets, ends = _end_walls(nodes, wall_starts)
    for junction in range(len(offsets) - 1):
        for i in range(offsets[junction], offsets[junction + 1]):
            for j in range(i + 1, offsets[junction + 1]):
                if kind[ends[i]] == FREE or kind[ends[i]] != kind[ends[j]]:
                    continue
                a, b = root(parents, ends[i]), root(parents, ends[j])
                near = abs(shared[a, 2] - shared[b, 2]) <= min(distances[ends[i]], distances[ends[j]])
                if a != b and near and frame[ends[i]] == frame[ends[j]]:
                    parents[b] = a
                    total = max(weights[a] + weights[b], 1e-300)
                    shared[a, 2] += (shared[b, 2] - shared[a, 2]) * weights[b] / total
                    weights[a] = total
    for wall in range(len(kind)):
        shared[wall] = shared[root(parents, wall)]
    return shared


@kernel
def _place_junctions(
    coords: NDArray[np.float64],
    starts: NDArray[np.int64],
    nodes: NDArray[np.int64],
    wall_starts: NDArray[np.int64],
    lines: NDArray[np.float64],
    lengths: NDArray[np.float64],
    distances: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the place of each junction (n, 2), and the wall (n,) that goes on into a step there, or NOBODY.

    Where two walls that run alike on different lines meet a third, it is the side of a step between them: the
    junction lies where the step ends, and the wall farther out reaches it along the third one's line.
    """
    offsets, ends = _end_walls(nodes, wall_starts)
    places, steps = np.empty((len(offsets) - 1, 2)), np.full(len(offsets) - 1, -1)
    inner = np.empty((len(lines), 2))
    for arc in range(len(nodes)):
        if nodes[arc, 0] >= 0:
            first, last = starts[arc], starts[arc + 1] - 1
            places[nodes[arc, 0]], places[nodes[arc, 1]] = coords[first], coords[last]
            inner[wall_starts[arc]] = inner[wall_starts[arc + 1] - 1] = coords[(first + last) // 2]
    for junction in range(len(places)):
        here = ends[offsets[junction] : offsets[junction + 1]]
        third = _find_third(here, lines, distances[here].min())
        if third >= 0:
            a, b = here[(third + 1) % 3], here[(third + 2) % 3]
            one, other = _cross(lines[a], lines[here[third]]), _cross(lines[b], lines[here[third]])
            # Along the third wall, from the junction on.
            x, y = inner[here[third], 0] - places[junction, 0], inner[here[third], 1] - places[junction, 1]
            is_farther = (one[0] - other[0]) * x + (one[1] - other[1]) * y > 0.0
            places[junction] = one if is_farther else other
            steps[junction] = here[third]
        else:
            places[junction] = _meet(lines[here], lengths[here], places[junction])
    return places, steps


@kernel
def _find_third(walls: NDArray[np.int64], lines: NDArray[np.float64], least: float) -> int:
    """Return which of three walls crosses the other two where they are more than `least` apart, or -1."""
    if len(walls) != 3:
        return -1
    for third in range(3):
        a, b = lines[walls[(third + 1) % 3]], lines[walls[(third + 2) % 3]]
        crossing = lines[walls[third]]
        crosses = min(abs(_sine(a, crossing)), abs(_sine(b, crossing))) >= MIN_CROSSING
        if crosses and abs(_sine(a, b)) < MIN_CROSSING and (a != b).any():
            (ax, ay), (bx, by) = _cross(a, crossing), _cross(b, crossing)
            return third if np.hypot(ax - bx, ay - by) > least else -1
    return -1


@kernel
def _meet(
    lines: NDArray[np.float64], lengths: NDArray[np.float64], place: NDArray[np.float64]
) -> tuple[float, float]:
    """Return where lines meet, or the place as near to all as can be."""
    first, second, others = lines[0], -1, False
    for i in range(1, len(lines)):
        if (lines[i] != first).any() and (second < 0 or (lines[i] != lines[second]).any()):
            others |= second >= 0
            second = i
    if second < 0:
        return _project(first, place)
    if not others and abs(_sine(first, lines[second])) >= MIN_CROSSING:
        return _cross(first, lines[second])
    return _nearest_to_all(lines, lengths, place)


@kernel
def _sine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the sine of the angle from one line to another."""
    return float(a[0] * b[1] - a[1] * b[0])


@kernel
def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Return where two lines meet."""
    sine = _sine(a, b)
    return (a[2] * b[1] - a[1] * b[2]) / sine, (a[0] * b[2] - a[2] * b[0]) / sine


@kernel
def _project(line: NDArray[np.float64], point: NDArray[np.float64]) -> tuple[float, float]:
    """Return the place on a line nearest to a point."""
    off = _off(line, point)
    return point[0] - off * line[0], point[1] - off * line[1]


@kernel
def _nearest_to_all(
    lines: NDArray[np.float64], lengths: NDArray[np.float64], point: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the place nearest to all lines by weighted squares, held where they leave it free."""
    weights = lengths / max(lengths.sum(), 1e-300)
    xx, xy, yy, x, y = HELD, 0.0, HELD, 0.0, 0.0
    for i in range(len(lines)):
        nx, ny = lines[i, 0], lines[i, 1]
        off = lines[i, 2] - nx * point[0] - ny * point[1]
        xx, xy, yy = xx + weights[i] * nx * nx, xy + weights[i] * nx * ny, yy + weights[i] * ny * ny
        x, y = x + weights[i] * nx * off, y + weights[i] * ny * off
    size = xx * yy - xy * xy
    return point[0] + (x * yy - xy * y) / size, point[1] + (xx * y - xy * x) / size


@kernel
def _draw(
    coords: NDArray[np.float64],
    starts: NDArray[np.int64],
    nodes: NDArray[np.int64],
    wall_starts: NDArray[np.int64],
    points: NDArray[np.int64],
    kind: NDArray[np.int64],
    lines: NDArray[np.float64],
    junctions: NDArray[np.float64],
    steps: NDArray[np.int64],
    tolerances: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the corners of every arc, where each arc begins among them, and which arcs moved too far."""
    drawn, drawn_starts = np.empty((2 * len(kind) + 4 * len(nodes), 2)), np.zeros(len(starts), np.int64)
    far = np.zeros(len(nodes), np.bool_)
    begins = np.empty(len(kind), np.int64)
    used = 0
    for arc in range(len(nodes)):
        outline = coords[starts[arc] : starts[arc + 1]]
        first, last = wall_starts[arc], wall_starts[arc + 1]
        is_open = nodes[arc, 0] >= 0
        corner = used
        # A closed arc begins with the corner between its last wall and its first one.
        for wall in range(first, last):
            before = wall - 1 if wall > first else last - 1
            if wall == first and is_open:
                drawn[used] = junctions[nodes[arc, 0]]
                used = _add_step(drawn, used + 1, lines, wall, steps[nodes[arc, 0]], junctions[nodes[arc, 0]])
            else:
                near = outline[points[wall, 0]]
                used = _add_corner(drawn, used, lines[before], lines[wall], kind[before], kind[wall], near)
            begins[wall - first] = used - 1 - corner
        if is_open:
            used = _add_step(drawn, used, lines, last - 1, steps[nodes[arc, 1]], junctions[nodes[arc, 1]])
            drawn[used] = junctions[nodes[arc, 1]]
            used += 1
        drawn_starts[arc + 1] = used
        far[arc] = used - corner < (2 if is_open else 3) or _is_far(
            outline, drawn[corner:used], points[first:last], begins, is_open, tolerances[arc]
        )
    return drawn[:used].copy(), drawn_starts, far


@kernel
def _add_step(
    drawn: NDArray[np.float64],
    used: int,
    lines: NDArray[np.float64],
    wall: int,
    step: int,
    junction: NDArray[np.float64],
) -> int:
    """Add the corner where a wall beside its junction reaches it; return their end."""
    if step < 0 or step == wall or abs(_off(lines[wall], junction)) < ON_LINE:
        return used
    drawn[used] = _cross(lines[wall], lines[step])
    return used + 1


@kernel
def _off(line: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """Return the signed distance of a point from a line."""
    return float(line[0] * point[0] + line[1] * point[1] - line[2])


@kernel
def _add_corner(
    drawn: NDArray[np.float64],
    used: int,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    kind_before: int,
    kind_after: int,
    point: NDArray[np.float64],
) -> int:
    """Add the corner between two walls near a point of the outline; return the end of the corners."""
    if abs(_sine(before, after)) >= MIN_CROSSING:
        drawn[used] = _cross(before, after)
        return used + 1
    ax, ay = _project(before, point)
    bx, by = _project(after, point)
    if FREE in (kind_before, kind_after):
        drawn[used, 0], drawn[used, 1] = (ax + bx) / 2.0, (ay + by) / 2.0
        return used + 1
    # Parallel walls with a step between them.
    drawn[used, 0], drawn[used, 1] = ax, ay
    drawn[used + 1, 0], drawn[used + 1, 1] = bx, by
    return used + 2


@kernel
def _is_far(
    outline: NDArray[np.float64],
    drawn: NDArray[np.float64],
    points: NDArray[np.int64],
    begins: NDArray[np.int64],
    is_open: bool,
    tolerance: float,
) -> bool:
    """Say whether a point of the outline is too far from the walls around it, or a corner from its point.

    Wall i runs along the points[i] of the outline, and is drawn from the corner begins[i] to the next one.
    """
    edges = len(drawn) - 1 if is_open else len(drawn)
    for wall in range(len(points)):
        corner = drawn[begins[wall]]
        off = np.hypot(corner[0] - outline[points[wall, 0], 0], corner[1] - outline[points[wall, 0], 1])
        if off > 2.0 * tolerance:
            return True
        steps = (points[wall, 1] - points[wall, 0]) % len(outline)
        for k in range(points[wall, 0], points[wall, 0] + steps + 1):
            i = around(k, len(outline))
            nearest = np.inf
            for near in (0, 1, -1, 2, -2):
                edge = begins[wall] + near
                if is_open and not 0 <= edge < edges:
                    continue
                start, end = edge % len(drawn), (edge + 1) % len(drawn)
                nearest = min(nearest, _distance(outline[i, 0], outline[i, 1], drawn, start, end))
                if nearest <= tolerance:
                    break
            if nearest > tolerance:
                return True
    return False


@kernel
def _distance(x: float, y: float, drawn: NDArray[np.float64], start: int, end: int) -> float:
    """Return the distance of a place from the segment between two points."""
    across, down = drawn[end, 0] - drawn[start, 0], drawn[end, 1] - drawn[start, 1]
    x, y = x - drawn[start, 0], y - drawn[start, 1]
    square = across * across + down * down
    share = min(max((x * across + y * down) / square, 0.0), 1.0) if square > 0.0 else 0.0
    return float(np.hypot(x - share * across, y - share * down))
