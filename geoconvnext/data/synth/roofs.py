"""Roofs: facets with heights, lit by the sun, and the walls that a leaning view shows."""

from dataclasses import replace
from math import atan2, hypot, pi
from typing import TypeAlias

from geoconvnext.data.synth.canvas import Canvas, Material, Point, Points, plane_of
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.palette import FLAT_ROOFS, Palette, roof_material
from geoconvnext.data.synth.plan import Building, Rect, centroid, inset, toward
from geoconvnext.data.synth.rooftop import add_details, equip_deck, furnish_terrace

Point3: TypeAlias = tuple[float, float, float]


def paint_building(canvas: Canvas, palette: Palette, b: Building) -> None:
    """Paint walls, roof and clutter of one building."""
    dice = Dice(b.seed)
    across = b.pose.angle + (pi / 2 if _lengthwise(b) else 0.0)
    look = roof_material(dice, palette, b.family, across)
    if b.form == "flat" or b.family in FLAT_ROOFS:
        _flat(canvas, dice, b, look)
    elif b.wings:
        for wing in b.wings:
            _wing(canvas, dice, b, wing, look)
        if b.eave > 3 and dice.chance(0.5):
            add_details(canvas, dice, b, look)
    else:
        _free(canvas, dice, b, look)


def _lengthwise(b: Building) -> bool:
    if not b.wings:
        return False
    x0, y0, x1, y1 = b.wings[0]
    return x1 - x0 < y1 - y0


def _facet(canvas: Canvas, b: Building, local: list[Point3], look: Material, *, gain: float = 1.0) -> None:
    """Paint a plane polygon given in the building's pose."""
    xy = b.pose.points([(p[0], p[1]) for p in local])
    corners = [(*q, p[2]) for p, q in zip(local, xy, strict=True)]
    plane = plane_of(*corners[:3])
    canvas.poly(xy, look, plane=plane, gain=gain * canvas.sun.facet(plane[1], plane[2]), at=b.outline[0])


def _wing(canvas: Canvas, dice: Dice, b: Building, wing: Rect, look: Material) -> None:
    """Roof one rectangle with a ridge along its longer side; lower wings vanish below higher ones."""
    x0, y0, x1, y1 = wing
    turned = x1 - x0 < y1 - y0
    if turned:
        x0, y0, x1, y1 = y0, x0, y1, x1
    half = (y1 - y0) / 2
    e, top, m = b.eave, b.eave + b.pitch * half, (y0 + y1) / 2
    tip = {"hip": half, "half-hip": half * 0.45}.get(b.form, 0.0)
    facets: list[list[Point3]]
    if b.form == "pent":
        top = e + b.pitch * half * 0.6
        facets = [[(x0, y0, e), (x1, y0, e), (x1, y1, top), (x0, y1, top)]]
    else:
        p, q = (x0 + tip, m, top), (x1 - tip, m, top)
        facets = [[(x0, y0, e), (x1, y0, e), q, p], [p, q, (x1, y1, e), (x0, y1, e)]]
        if tip:
            facets += [[(x1, y0, e), (x1, y1, e), q], [(x0, y1, e), (x0, y0, e), p]]
    for k, facet in enumerate(facets):
        local = [(y, x, z) for x, y, z in facet] if turned else facet
        bent = replace(look, angle=look.angle + pi / 2) if k >= 2 else look
        _facet(canvas, b, local, bent, gain=dice.uniform(0.96, 1.04))
    if b.form != "pent" and dice.chance(0.5):
        ends = ((m, x0 + tip), (m, x1 - tip)) if turned else ((x0 + tip, m), (x1 - tip, m))
        start, end = (b.pose.point(*point) for point in ends)
        canvas.line(start, end, dice.uniform(0.2, 0.4), look, z=top + 0.1, gain=dice.uniform(0.7, 1.3))


def _free(canvas: Canvas, dice: Dice, b: Building, look: Material) -> None:
    """Roof a convex quadrilateral or any other ring without wings: gable between two sides, or one slope."""
    ring = b.outline
    n = len(ring)
    axis = max(range(n), key=lambda k: hypot(ring[k][0] - ring[k - 1][0], ring[k][1] - ring[k - 1][1]))
    p, q = ring[axis - 1], ring[axis]
    look = replace(look, angle=atan2(q[1] - p[1], q[0] - p[0]))
    if n == 4 and b.form == "gable":
        r, s = ring[(axis + 1) % 4], ring[(axis + 2) % 4]
        m0 = ((p[0] + s[0]) / 2, (p[1] + s[1]) / 2)
        m1 = ((q[0] + r[0]) / 2, (q[1] + r[1]) / 2)
        top = b.eave + b.pitch * hypot(q[0] - r[0], q[1] - r[1]) / 2
        for side in ((p, q, m1, m0), (r, s, m0, m1)):
            plane = plane_of((*side[0], b.eave), (*side[1], b.eave), (*side[2], top))
            canvas.poly(side, look, plane=plane, gain=canvas.sun.facet(*plane[1:]), at=p)
        return
    middle = centroid(ring)
    rise = dice.uniform(0.0, 0.18) * dice.pick((-1, 1))
    length = hypot(q[0] - p[0], q[1] - p[1]) or 1.0
    gx, gy = -(q[1] - p[1]) / length * rise, (q[0] - p[0]) / length * rise
    plane = (b.eave - gx * middle[0] - gy * middle[1], gx, gy)
    canvas.poly(ring, look, plane=plane, gain=canvas.sun.facet(gx, gy), at=p, holes=b.holes)
    if b.family == "tin" and dice.chance(0.35):
        _patches(canvas, dice, ring, look, plane)


def _patches(
    canvas: Canvas, dice: Dice, ring: list[Point], look: Material, plane: tuple[float, float, float]
) -> None:
    """Lay odd sheets on a tin roof: parts of it in another colour."""
    x, y = centroid(ring)
    for _ in range(1 + dice.below(3)):
        p, q = ring[k := dice.below(len(ring))], ring[k - 1]
        t, s = dice.uniform(0.1, 0.5), dice.uniform(0.6, 1.0)
        a, c = toward(p, q, t), toward(p, q, s)
        deep = dice.uniform(0.3, 0.9)
        sheet = [a, c, toward(c, (x, y), deep), toward(a, (x, y), deep)]
        odd = replace(look, color=dice.vary(look.color, 0.25, 0.06), share=look.share * dice.uniform(0, 2))
        canvas.poly(sheet, odd, plane=(plane[0] + 0.03, *plane[1:]), at=a)


def _flat(canvas: Canvas, dice: Dice, b: Building, look: Material) -> None:
    """Paint a parapet as a rim above the deck, then what stands on the deck."""
    rim = dice.uniform(0.2, 0.45)
    deep = dice.pick((0.0, 0.3, 0.6, 1.0))
    tone = look.color if dice.chance(0.67) else (190.0, 186.0, 178.0)
    wall = replace(look, color=dice.vary(tone, 0.2), stripe=0.0)
    ring = b.outline
    canvas.poly(ring, wall, plane=(b.eave + deep, 0, 0), at=ring[0], holes=b.holes)
    inner = inset(ring, rim)
    holes = [inset(hole[::-1], -rim)[::-1] for hole in b.holes]
    canvas.poly(inner, look, plane=(b.eave, 0, 0), over=True, at=ring[0], holes=holes)
    if b.wings:
        for wing in b.wings:
            equip_deck(canvas, dice, b, wing)
    elif not b.holes:
        furnish_terrace(canvas, dice, b)


def paint_walls(canvas: Canvas, dice: Dice, ring: Points, lean: Point, eave: float) -> None:
    """Paint the facades that a leaning view shows, between the base of a roof and the roof as seen."""
    tone = dice.vary(dice.pick(((176, 170, 160), (150, 140, 128), (196, 190, 182), (128, 122, 118))), 0.1)
    look = Material(tone, pink=0.03, stripe=3.0, angle=atan2(lean[1], lean[0]), amplitude=0.25, duty=0.45)
    for k, (x, y) in enumerate(ring):
        p, q = ring[k - 1]
        base = [(x - lean[0] * eave, y - lean[1] * eave), (p - lean[0] * eave, q - lean[1] * eave)]
        gain = 0.7 + 0.4 * abs(hypot(x - p, 0) / (hypot(x - p, y - q) or 1.0))
        canvas.poly([(p, q), (x, y), *base], look, gain=gain, at=(x, y))
