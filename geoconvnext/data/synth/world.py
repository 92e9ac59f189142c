"""The world under construction: what the settlement styles draw into."""

from math import atan2, cos, hypot, sin

from geoconvnext.data.synth.canvas import Canvas, Material, Point, Points
from geoconvnext.data.synth.dice import Color, Dice
from geoconvnext.data.synth.palette import Palette
from geoconvnext.data.synth.plan import Building, Frame, Pose, Rect, area, rect_points
from geoconvnext.data.synth.rooftop import box

CARS: tuple[Color, ...] = (
    (222, 222, 222), (240, 240, 240), (38, 38, 40), (60, 62, 66), (130, 132, 136), (168, 170, 174),
    (128, 34, 32), (44, 60, 104), (90, 92, 96), (180, 170, 140),
)  # fmt: skip
WHITE = Material((215, 214, 208), pink=0.12, grain=0.06)
_GLASS = Material((40, 44, 50), pink=0.0, grain=0.0)


class World:
    """Canvas, palette, streets and the buildings of one scene. Ground is painted at once, buildings later."""

    def __init__(self, canvas: Canvas, palette: Palette, frame: Frame) -> None:
        self.canvas = canvas
        self.palette = palette
        self.frame = frame
        self.buildings: list[Building] = []
        self.greenness = 1.0
        self.kinds = {0: 1.0}
        self.rural = False
        self.narrow = False
        self.flat = 0.2
        self.plot = 60.0
        self._late: list[tuple[Pose, Rect, Material, float, float]] = []

    # ---- ground -------------------------------------------------------------------------------------------
    def ground(self, rect: Rect, look: Material, *, opacity: float = 1.0, chamfer: float = 0.0) -> None:
        """Cover a street-space rectangle."""
        ring = self.frame.ring(rect, chamfer=chamfer)
        self.canvas.poly(ring, look, at=ring[0], opacity=opacity)

    def patch(self, pose: Pose, rect: Rect, look: Material, *, opacity: float = 1.0) -> None:
        """Cover a rectangle in a pose."""
        ring = pose.points(rect_points(rect))
        self.canvas.poly(ring, look, at=ring[0], opacity=opacity)

    def stand(self, pose: Pose, rect: Rect, look: Material, tall: float, base: float = 0.0) -> None:
        """Stand a box that is no building: container, wall, hedge, plinth. Painted before the buildings."""
        self._late.append((pose, rect, look, base, tall))

    def wall(self, pose: Pose, p: Point, q: Point, look: Material, *, thick: float, tall: float) -> None:
        """Stand a wall, fence or hedge between two local points."""
        turn = atan2(q[1] - p[1], q[0] - p[0])
        length = hypot(q[0] - p[0], q[1] - p[1])
        self.stand(pose.shifted(*p, turn), (0, -thick / 2, length, thick / 2), look, tall)

    def paint_standing(self) -> None:
        """Paint all boxes; called once, after the ground."""
        for pose, rect, look, base, tall in self._late:
            box(self.canvas, pose, rect, look, base, tall)

    def smudge(self, dice: Dice, x: float, y: float, radius: float, look: Material, opacity: float) -> None:
        """Stain the ground with an irregular blot."""
        if not self.canvas.sees(x, y, radius):
            return
        turn, squash = dice.uniform(0, 3.2), dice.uniform(0.3, 1.0)
        c, s = cos(turn), sin(turn)
        ring = []
        for k in range(9):
            far = radius * dice.uniform(0.6, 1.1)
            a, b = far * cos(0.698 * k), far * squash * sin(0.698 * k)
            ring.append((x + c * a - s * b, y + s * a + c * b))
        self.canvas.poly(ring, look, at=(x, y), opacity=opacity)

    def wear(self, dice: Dice, rect: Rect, count: float) -> None:
        """Stain, trample and litter a street-space rectangle: blots, trails and small things."""
        palette = self.palette
        looks = (
            palette.soil,
            palette.meadow,
            palette.gravel,
            palette.asphalt,
            palette.concrete,
            palette.lawn,
        )
        for _ in range(int(count + dice.random())):
            x, y = self.frame.point(dice.uniform(rect[0], rect[2]), dice.uniform(rect[1], rect[3]))
            kind = dice.below(5)
            if kind < 2:
                self.smudge(dice, x, y, 1 + 7 * dice.random() ** 2, dice.pick(looks), dice.uniform(0.15, 0.7))
            elif kind == 2:
                turn, look, fade = dice.uniform(0, 6.3), dice.pick(looks), dice.uniform(0.2, 0.6)
                for _ in range(4):
                    turn += dice.gauss(0, 0.35)
                    p = (x + 6 * cos(turn), y + 6 * sin(turn))
                    self.canvas.line((x, y), p, dice.uniform(0.5, 1.2), look, opacity=fade)
                    x, y = p
            elif self.canvas.sees(x, y, 3):
                self.litter(dice, x, y)

    def litter(self, dice: Dice, x: float, y: float) -> None:
        """Put down a heap, crate, sheet, drum or bush."""
        if dice.chance(0.3):
            self.bush(dice, x, y)
            return
        half = 0.25 + 1.2 * dice.random() ** 2
        tone = dice.pick(
            ((205, 203, 198), (64, 62, 60), (120, 108, 94), (150, 140, 126), (70, 96, 140), (146, 84, 62))
        )
        pose = Pose(x, y, dice.uniform(0, 3.2))
        self.stand(
            pose,
            (-half, -half * 0.6, half, half * 0.6),
            Material(dice.vary(tone, 0.2), pink=0.08),
            dice.uniform(0.1, 1.4),
        )

    # ---- things -------------------------------------------------------------------------------------------
    def car(self, dice: Dice, pose: Pose, *, long: float | None = None) -> None:
        """Park a vehicle along the pose's x axis; lorries and buses when `long` says so."""
        length = long or dice.uniform(3.8, 5.0)
        half, wide = length / 2, dice.uniform(0.85, 1.0) * (1.3 if length > 6 else 1.0)
        paint = Material(dice.vary(dice.pick(CARS), 0.1), pink=0.02, grain=0.0)
        self.stand(pose, (-half, -wide, half, wide), paint, 1.3 if length < 6 else 2.8)
        if length < 6:
            front = dice.pick((-1.0, 1.0))
            a, b = sorted((front * half * 0.25, front * half * 0.55))
            self.stand(pose, (a, -wide * 0.85, b, wide * 0.85), _GLASS, 1.45)
            a, b = sorted((-front * half * 0.55, -front * half * 0.75))
            self.stand(pose, (a, -wide * 0.85, b, wide * 0.85), _GLASS, 1.4)

    def tree(self, dice: Dice, x: float, y: float, low: float, high: float) -> None:
        """Plant a tree of the scene's kinds with a crown radius between low and high."""
        radius = low + (high - low) * dice.random() ** 1.4
        color = dice.vary(dice.pick(self.palette.trees), 0.14, 0.05)
        kind = dice.weighted(self.kinds)
        density = self.palette.bare * dice.uniform(0.8, 1.4)
        tall = None if dice.chance(0.8) else 1.0 + 2.4 * radius
        self.canvas.tree(x, y, radius, color, tall=tall, density=1.0 if kind else density, kind=kind)

    def bush(self, dice: Dice, x: float, y: float) -> None:
        """Plant something low."""
        color = dice.vary(dice.pick(self.palette.trees), 0.2, 0.06)
        self.canvas.tree(
            x, y, dice.uniform(0.5, 1.4), (color[0] * 1.15, color[1] * 1.15, color[2] * 1.1), tall=1.2
        )

    def grove(self, dice: Dice, rect: Rect, cover: float, low: float = 2.0, high: float = 5.0) -> None:
        """Plant a street-space rectangle until crowns would cover that share of it."""
        size = (rect[2] - rect[0]) * (rect[3] - rect[1])
        each = 3.1 * (low + 0.4 * (high - low)) ** 2
        left = int(size * cover / each + dice.random())
        while left > 0:
            u, v = dice.uniform(rect[0], rect[2]), dice.uniform(rect[1], rect[3])
            group = 1 + int(dice.random() ** 3 * 9)
            for _ in range(group):
                a, b = dice.gauss(u, 1.1 * group), dice.gauss(v, 1.1 * group)
                if rect[0] < a < rect[2] and rect[1] < b < rect[3]:
                    self.tree(dice, *self.frame.point(a, b), low, high)
            left -= group

    # ---- buildings ----------------------------------------------------------------------------------------
    def build(
        self,
        dice: Dice,
        pose: Pose,
        local: Points,
        *,
        form: str,
        family: str,
        eave: float,
        wings: tuple[Rect, ...] = (),
        holes: tuple[Points, ...] = (),
        pitch: float = 0.5,
        clutter: float = 0.3,
        rise: float | None = None,
    ) -> None:
        """Add a building, its outline given in the pose; neighbours that share walls lean by one `rise`."""
        outline = pose.points(local)
        if area(outline) < 0:
            outline.reverse()
        rings = [pose.points(hole) for hole in holes]
        voids = tuple(ring if area(ring) < 0 else ring[::-1] for ring in rings)
        seed = dice.below(2**40)
        self.buildings.append(
            Building(outline, pose, form, family, eave, seed, wings, voids, pitch, clutter, rise or eave)
        )

    def house(
        self,
        dice: Dice,
        pose: Pose,
        wide: float,
        deep: float,
        *,
        form: str,
        family: str,
        eave: float,
        pitch: float,
    ) -> None:
        """Add a free-standing house of about wide x deep metres: a rectangle, L, T or cross of wings."""
        main = (-wide / 2, -deep / 2, wide / 2, deep / 2)
        shape = (
            dice.weighted({"rect": 0.5, "L": 0.28, "T": 0.15, "Z": 0.07}) if min(wide, deep) > 7 else "rect"
        )
        if shape == "rect":
            self.build(
                dice, pose, rect_points(main), form=form, family=family, eave=eave, wings=(main,), pitch=pitch
            )
            return
        local, wings = _winged(dice, main, shape)
        if dice.chance(0.5):
            local = [(-x, y) for x, y in local]
            wings = tuple((-x1, y0, -x0, y1) for x0, y0, x1, y1 in wings)
        self.build(dice, pose, local, form=form, family=family, eave=eave, wings=wings, pitch=pitch)


def _winged(dice: Dice, main: Rect, shape: str) -> tuple[list[Point], tuple[Rect, ...]]:
    """Outline and wings of an L, T or Z within the rectangle `main`."""
    x0, y0, x1, y1 = main
    wide, deep = x1 - x0, y1 - y0
    cut_x, cut_y = x0 + wide * dice.uniform(0.4, 0.62), y0 + deep * dice.uniform(0.4, 0.65)
    if shape == "L":
        local = [(x0, y0), (x1, y0), (x1, cut_y), (cut_x, cut_y), (cut_x, y1), (x0, y1)]
        return local, ((x0, y0, x1, cut_y), (x0, y0, cut_x, y1))
    if shape == "T":
        a, b = x0 + wide * dice.uniform(0.15, 0.35), x0 + wide * dice.uniform(0.62, 0.85)
        local = [(x0, y0), (x1, y0), (x1, cut_y), (b, cut_y), (b, y1), (a, y1), (a, cut_y), (x0, cut_y)]
        return local, ((x0, y0, x1, cut_y), (a, y0, b, y1))
    low = y0 + deep * dice.uniform(0.15, 0.35)
    local = [
        (x0, y0),
        (cut_x, y0),
        (cut_x, low),
        (x1, low),
        (x1, y1),
        (cut_x, y1),
        (cut_x, cut_y + deep * 0.1),
        (x0, cut_y + deep * 0.1),
    ]
    return local, ((x0, y0, cut_x, cut_y + deep * 0.1), (cut_x - wide * 0.02, low, x1, y1))
