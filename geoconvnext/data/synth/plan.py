"""Plan geometry in metres: poses, street frames, rectangles, cuts of convex polygons."""

from dataclasses import dataclass
from math import atan2, cos, hypot, pi, sin
from typing import TypeAlias

from geoconvnext.data.synth.canvas import Point, Points
from geoconvnext.data.synth.dice import Dice

Rect: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Pose:
    """A rigid placement: local coordinates turned by `angle`, then moved to x, y."""

    x: float
    y: float
    angle: float

    def points(self, local: Points) -> list[Point]:
        """Local points in world metres."""
        c, s = cos(self.angle), sin(self.angle)
        return [(self.x + c * a - s * b, self.y + s * a + c * b) for a, b in local]

    def point(self, a: float, b: float) -> Point:
        """One local point in world metres."""
        c, s = cos(self.angle), sin(self.angle)
        return (self.x + c * a - s * b, self.y + s * a + c * b)

    def shifted(self, a: float, b: float, turn: float = 0.0) -> "Pose":
        """Return a pose whose origin is a local point of this one."""
        x, y = self.point(a, b)
        return Pose(x, y, self.angle + turn)


@dataclass(slots=True)
class Building:
    """A footprint and how it is roofed.

    outline (area() > 0), holes (< 0): world metres.
    wings: rectangles (in `pose`) whose union is the outline, or none for a free shape.
    form: flat, gable, hip, pent. eave: metres above ground. clutter: how much stands on a flat roof, 0..1.
    rise: height that moves the roof where the view leans.
    """

    outline: list[Point]
    pose: Pose
    form: str
    family: str
    eave: float
    seed: int
    wings: tuple[Rect, ...] = ()
    holes: tuple[list[Point], ...] = ()
    pitch: float = 0.5
    clutter: float = 0.3
    rise: float = 0.0


class Frame:
    """Street space to world: a rotation and a gentle wave, so that straight streets become curved ones."""

    def __init__(self, dice: Dice, x: float, y: float, *, bend: float) -> None:
        self.x, self.y = x, y
        self.angle = dice.pick((0.0, dice.uniform(-pi, pi), dice.uniform(-pi, pi)))
        self._long = tuple(dice.uniform(260, 520) for _ in range(2))
        self._size = tuple(bend * length * dice.uniform(0.02, 0.055) for length in self._long)
        self._phase = tuple(dice.uniform(0, 2 * pi) for _ in range(2))

    def point(self, u: float, v: float) -> Point:
        """World metres of a street-space point."""
        a = u + self._size[0] * sin(2 * pi * v / self._long[0] + self._phase[0])
        b = v + self._size[1] * sin(2 * pi * u / self._long[1] + self._phase[1])
        c, s = cos(self.angle), sin(self.angle)
        return (self.x + c * a - s * b, self.y + s * a + c * b)

    def pose(self, u: float, v: float, turn: float = 0.0) -> Pose:
        """Rigid placement at a street-space point, turned with the local street."""
        x, y = self.point(u, v)
        p, q = self.point(u + 0.5, v)
        return Pose(x, y, atan2(q - y, p - x) + turn)

    def ring(self, rect: Rect, *, step: float = 25.0, chamfer: float = 0.0) -> list[Point]:
        """Outline of a street-space rectangle, long sides subdivided to follow the curve, corners cut off."""
        corners = rounded(rect, chamfer) if chamfer else rect_points(rect)
        out: list[Point] = []
        for k, (u, v) in enumerate(corners):
            end = corners[(k + 1) % len(corners)]
            parts = max(1, int(hypot(end[0] - u, end[1] - v) / step)) if self._size[0] else 1
            out += [
                self.point(u + (end[0] - u) * i / parts, v + (end[1] - v) * i / parts) for i in range(parts)
            ]
        return out


def rect_points(rect: Rect) -> list[Point]:
    """Corners of a rectangle (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = rect
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def rounded(rect: Rect, radius: float) -> list[Point]:
    """Corners of a rectangle, each replaced by three points of an arc."""
    x0, y0, x1, y1 = rect
    r = min(radius, (x1 - x0) / 3, (y1 - y0) / 3)
    s = r * 0.293
    return [
        (x0, y0 + r), (x0 + s, y0 + s), (x0 + r, y0), (x1 - r, y0), (x1 - s, y0 + s), (x1, y0 + r),
        (x1, y1 - r), (x1 - s, y1 - s), (x1 - r, y1), (x0 + r, y1), (x0 + s, y1 - s), (x0, y1 - r),
    ]  # fmt: skip


def toward(p: Point, q: Point, share: float) -> Point:
    """Point that far on the way from p to q."""
    return (p[0] + (q[0] - p[0]) * share, p[1] + (q[1] - p[1]) * share)


def shrink(rect: Rect, by: float) -> Rect:
    """Return the rectangle, smaller on all sides."""
    return (rect[0] + by, rect[1] + by, rect[2] - by, rect[3] - by)


def split_rect(
    dice: Dice, rect: Rect, size: tuple[float, float], gap: float
) -> tuple[list[Rect], list[tuple[Point, Point, float]]]:
    """Divide a rectangle by streets until blocks are about `size`.

    Returns the blocks, and the streets as (start, end, width).
    """
    blocks: list[Rect] = []
    streets: list[tuple[Point, Point, float]] = []
    todo = [(rect, 2.1)]
    while todo:
        (x0, y0, x1, y1), wide = todo.pop()
        over_x, over_y = (x1 - x0) / size[0], (y1 - y0) / size[1]
        if max(over_x, over_y) < dice.uniform(1.2, 1.7):
            blocks.append((x0, y0, x1, y1))
            continue
        half = gap * max(1.0, wide) * 0.5
        at = dice.uniform(0.38, 0.62) if max(over_x, over_y) < 5 else dice.uniform(0.3, 0.7)
        if over_x > over_y:
            m = x0 + (x1 - x0) * at
            streets.append(((m, y0), (m, y1), 2 * half))
            todo += [((x0, y0, m - half, y1), wide * 0.75), ((m + half, y0, x1, y1), wide * 0.75)]
        else:
            m = y0 + (y1 - y0) * at
            streets.append(((x0, m), (x1, m), 2 * half))
            todo += [((x0, y0, x1, m - half), wide * 0.75), ((x0, m + half, x1, y1), wide * 0.75)]
    return blocks, streets


def area(points: Points) -> float:
    """Signed area of a simple ring."""
    total = 0.0
    x0, y0 = points[-1]
    for x, y in points:
        total += x0 * y - x * y0
        x0, y0 = x, y
    return total / 2


def centroid(points: Points) -> Point:
    """Mean of the corners."""
    n = len(points)
    return (sum(p[0] for p in points) / n, sum(p[1] for p in points) / n)


def cut(points: Points, at: Point, normal: Point) -> tuple[list[Point], list[Point]]:
    """Cut a convex ring by a line; the two parts share the cut's end points exactly."""
    left: list[Point] = []
    right: list[Point] = []
    side = [(x - at[0]) * normal[0] + (y - at[1]) * normal[1] for x, y in points]
    for k, p in enumerate(points):
        q, a, b = points[(k + 1) % len(points)], side[k], side[(k + 1) % len(points)]
        (left if a < 0 else right).append(p)
        if (a < 0) != (b < 0):
            t = a / (a - b)
            crossing = (p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t)
            left.append(crossing)
            right.append(crossing)
    return left, right


def inset(points: Points, by: float | list[float]) -> list[Point]:
    """Move each side of a ring with area() > 0 inwards by `by` metres: one value, or one per side."""
    n = len(points)
    lines = []
    for k in range(n):
        (x0, y0), (x1, y1) = points[k], points[(k + 1) % n]
        length = hypot(x1 - x0, y1 - y0) or 1e-9
        nx, ny = -(y1 - y0) / length, (x1 - x0) / length
        step = by if isinstance(by, (int, float)) else by[k]
        lines.append((nx, ny, nx * x0 + ny * y0 + step))
    out: list[Point] = []
    for k in range(n):
        a0, b0, c0 = lines[k - 1]
        a1, b1, c1 = lines[k]
        det = a0 * b1 - a1 * b0
        if abs(det) < 1e-6:
            x, y = points[k]
            shift = c1 - a1 * x - b1 * y
            out.append((x + a1 * shift, y + b1 * shift))
        else:
            out.append(((c0 * b1 - c1 * b0) / det, (a0 * c1 - a1 * c0) / det))
    return out


def long_axis(points: Points) -> Point:
    """Return the unit vector along the longest side."""
    best, axis = 0.0, (1.0, 0.0)
    for k, (x, y) in enumerate(points):
        p, q = points[(k + 1) % len(points)]
        length = hypot(p - x, q - y)
        if length > best:
            best, axis = length, ((p - x) / length, (q - y) / length)
    return axis
