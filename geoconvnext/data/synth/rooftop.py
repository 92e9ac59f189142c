"""What stands on roofs: machines, tanks, panels, chimneys, dormers, lean-tos."""

from math import atan2, hypot

from geoconvnext.data.synth.canvas import Canvas, Material, plane_of
from geoconvnext.data.synth.dice import Color, Dice
from geoconvnext.data.synth.plan import Building, Pose, Rect, centroid, rect_points, toward

_MACHINES: tuple[Color, ...] = (
    (205, 205, 200), (150, 150, 148), (110, 108, 104), (170, 160, 145), (60, 60, 62),
)  # fmt: skip
_LEAN_TOS: tuple[Color, ...] = (
    (150, 146, 138), (170, 166, 160), (120, 84, 66), (74, 110, 160), (190, 186, 178), (150, 60, 54),
)  # fmt: skip
_THINGS: tuple[Color, ...] = (
    (40, 40, 42), (70, 110, 170), (205, 205, 200), (160, 60, 56), (120, 116, 110), (180, 150, 90),
)  # fmt: skip


def box(canvas: Canvas, pose: Pose, rect: Rect, look: Material, base: float, tall: float) -> None:
    """Stand a box on something of height `base`."""
    ring = pose.points(rect_points(rect))
    canvas.poly(ring, look, plane=(base + tall, 0, 0), over=True, at=ring[0])


def add_details(canvas: Canvas, dice: Dice, b: Building, look: Material) -> None:
    """Chimneys, skylights, dormers and panels on a pitched roof."""
    x0, y0, x1, y1 = b.wings[0]
    wide, deep = x1 - x0, y1 - y0
    ridge = b.eave + b.pitch * min(wide, deep) / 2
    for _ in range(dice.below(3)):
        u, v = dice.uniform(x0 + wide * 0.2, x1 - wide * 0.2), dice.uniform(y0 + deep * 0.2, y1 - deep * 0.2)
        half = dice.uniform(0.25, 0.5)
        color = dice.pick(((150, 110, 92), (120, 118, 115), (200, 200, 196), (70, 68, 66)))
        rect = (u - half, v - half, u + half, v + half)
        box(canvas, b.pose, rect, Material(color), ridge, dice.uniform(0.2, 1.0))
    if dice.chance(0.15):
        _dormers(canvas, dice, b, look)
    if dice.chance(0.35):
        for _ in range(1 + dice.below(4)):
            u, v = dice.uniform(x0 + 1, x1 - 1.6), dice.uniform(y0 + 1, y1 - 1.6)
            pane = Material(dice.pick(((52, 58, 66), (200, 210, 220))))
            canvas.poly(b.pose.points(rect_points((u, v, u + 0.7, v + 1.0))), pane)
    if dice.chance(0.06) and min(wide, deep) > 6:
        along = dice.uniform(0.3, 0.7)
        rect = (x0 + 1, y0 + 0.8, x0 + wide * along, y0 + deep * 0.42)
        if wide < deep:
            rect = (x0 + 0.8, y0 + 1, x0 + wide * 0.42, y0 + deep * along)
        canvas.poly(b.pose.points(rect_points(rect)), _solar(dice, b.pose))


def furnish_terrace(canvas: Canvas, dice: Dice, b: Building) -> None:
    """Stand a stair head, tanks, laundry, tarpaulins and lean-tos on a lived-in roof of any shape."""
    ring = b.outline
    x, y = centroid(ring)
    k = dice.below(len(ring))
    p, q = ring[k - 1], ring[k]
    turn = atan2(q[1] - p[1], q[0] - p[0])
    long = hypot(q[0] - p[0], q[1] - p[1])
    if dice.chance(b.clutter * 0.8) and long > 3:
        # a stair head or shack fills the corner between a wall and the middle
        s, t = dice.uniform(0.3, 0.6), dice.uniform(0.3, 0.8)
        end = toward(p, q, s)
        head = [p, end, toward(end, (x, y), t), toward(p, (x, y), t)]
        stripe = dice.pick((0.0, 0.8))
        tone = dice.vary(dice.pick(_LEAN_TOS), 0.15)
        sheet = Material(tone, pink=0.06, stripe=stripe, angle=turn, amplitude=0.08)
        canvas.poly(head, sheet, plane=(b.eave + dice.uniform(1.5, 2.6), 0, 0), at=p)
    for _ in range(int(6 * b.clutter * dice.random() + 0.5)):
        spot = toward((x, y), ring[dice.below(len(ring))], dice.uniform(0.1, 0.75))
        half = 0.3 + 0.8 * dice.random() ** 2
        thing = Material(dice.vary(dice.pick(_THINGS), 0.15))
        box(canvas, Pose(*spot, turn), (-half, -half, half, half), thing, b.eave, dice.uniform(0.1, 1.6))


def equip_deck(canvas: Canvas, dice: Dice, b: Building, wing: Rect) -> None:
    """Stand machines, stair heads, tanks, seams and panels on one flat wing."""
    x0, y0, x1, y1 = wing
    wide, deep = x1 - x0, y1 - y0
    if min(wide, deep) < 3:
        return
    size = wide * deep
    for _ in range(min(40, int(size * b.clutter * dice.uniform(0.0, 0.05)))):
        w, d = dice.uniform(0.6, 2.6), dice.uniform(0.6, 2.6)
        if dice.chance(0.12):
            w, d = w * 2, d * 1.5
        u, v = dice.uniform(x0 + 0.5, x1 - w - 0.5), dice.uniform(y0 + 0.5, y1 - d - 0.5)
        if u < x0 or v < y0:
            continue
        tone = dice.vary(dice.pick(_MACHINES), 0.15)
        box(canvas, b.pose, (u, v, u + w, v + d), Material(tone), b.eave, dice.uniform(0.4, 2.2))
    if dice.chance(b.clutter * 0.1) and size > 60:
        right = x1 - wide * dice.uniform(0.2, 0.6)
        _panels(canvas, dice, b.pose, (x0 + wide * 0.15, y0 + deep * 0.15, right, y1 - deep * 0.2), b.eave)
    if size > 250 and dice.chance(0.4):
        _seams(canvas, dice, b, wing)


def _seams(canvas: Canvas, dice: Dice, b: Building, wing: Rect) -> None:
    """Light strips or seams across a large roof, at a regular pitch."""
    x0, y0, x1, y1 = wing
    pitch, thick = dice.uniform(4, 12), dice.pick((0.25, 0.4, 1.2))
    tone = Material(dice.pick(((210, 210, 205), (120, 120, 118), (235, 238, 240), (88, 88, 88))))
    fade, inner = dice.uniform(0.2, 0.9), dice.uniform(0.03, 0.3) * (y1 - y0)
    u = x0 + pitch / 2
    while u < x1 - 1:
        p, q = b.pose.point(u, y0 + inner), b.pose.point(u, y1 - inner)
        canvas.line(p, q, thick, tone, z=b.eave + 0.02, opacity=fade)
        u += pitch


def _dormers(canvas: Canvas, dice: Dice, b: Building, look: Material) -> None:
    """Set small cross roofs halfway up both slopes of the first wing."""
    x0, y0, x1, y1 = b.wings[0]
    turned = x1 - x0 < y1 - y0
    if turned:
        x0, y0, x1, y1 = y0, x0, y1, x1
    half, top = dice.uniform(0.7, 1.2), b.eave + b.pitch * (y1 - y0) * 0.42
    u = x0 + dice.uniform(1.5, 3)
    while u + half < x1 - 1:
        for edge, ridge in ((y0, (y0 + y1) / 2), (y1, (y0 + y1) / 2)):
            near, far = edge + (ridge - edge) * 0.3, edge + (ridge - edge) * 0.85
            for side in (-half, half):
                local = [(u, near), (u, far), (u + side, far), (u + side, near)]
                ring = b.pose.points([(q, p) for p, q in local] if turned else local)
                plane = plane_of((*ring[0], top), (*ring[1], top), (*ring[2], top - half * 0.6))
                canvas.poly(ring, look, plane=plane, gain=canvas.sun.facet(plane[1], plane[2]), at=ring[0])
        u += dice.uniform(3, 5)


def _solar(dice: Dice, pose: Pose) -> Material:
    tone = dice.vary((44, 54, 84), 0.2)
    return Material(tone, pink=0.02, grain=0.02, stripe=1.05, angle=pose.angle, amplitude=0.25, duty=0.1)


def _panels(canvas: Canvas, dice: Dice, pose: Pose, rect: Rect, z: float) -> None:
    """Rows of dark blue solar panels."""
    x0, y0, x1, y1 = rect
    look = _solar(dice, pose)
    deep, pitch = dice.uniform(1.6, 3.4), dice.uniform(1.1, 1.8)
    v = y0
    while v + deep < y1 and x1 - x0 > 2:
        box(canvas, pose, (x0, v, x1, v + deep), look, z, 0.3)
        v += deep * pitch
