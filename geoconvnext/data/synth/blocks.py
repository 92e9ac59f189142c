"""Large buildings: perimeter blocks, towers, halls and shopping with their parking."""

from dataclasses import replace
from itertools import pairwise
from math import pi

from geoconvnext.data.synth.canvas import Point
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.ground import parking, yard
from geoconvnext.data.synth.plan import Pose, Rect, rect_points, shrink
from geoconvnext.data.synth.world import World


def perimeter(world: World, dice: Dice, rect: Rect) -> None:
    """Close a block around a courtyard: one building with a hole, or units that share walls."""
    world.ground(rect, world.palette.paving)
    u0, v0, u1, v1 = rect
    pose = world.frame.pose((u0 + u1) / 2, (v0 + v1) / 2)
    half_w, half_d = (u1 - u0) / 2 - dice.uniform(0.3, 2), (v1 - v0) / 2 - dice.uniform(0.3, 2)
    if not world.canvas.sees(pose.x, pose.y, half_w + half_d + 20):
        return
    deep = min(dice.uniform(9, 15), half_w * 0.45, half_d * 0.45)
    inner = (-half_w + deep, -half_d + deep, half_w - deep, half_d - deep)
    _court(world, dice, pose, inner)
    eave = dice.uniform(9, 20)
    if dice.chance(0.3):
        outer = (-half_w, -half_d, half_w, half_d)
        world.build(
            dice,
            pose,
            rect_points(outer),
            form=dice.pick(("hip", "flat")),
            family=dice.weighted(world.palette.families),
            eave=eave,
            wings=_sides(outer, deep),
            holes=(rect_points(inner)[::-1],),
            pitch=0.6,
            clutter=0.6,
        )
        return
    for ring, wings in _ring_units(dice, half_w, half_d, deep):
        if dice.chance(0.05):
            continue
        form = dice.weighted({"row": 0.6, "flat": 0.4})
        world.build(
            dice,
            pose,
            ring,
            form=form,
            family=dice.weighted(world.palette.families),
            eave=eave + dice.uniform(-2, 2),
            wings=wings,
            pitch=dice.uniform(0.5, 0.9),
            clutter=0.6,
            rise=eave,
        )


def _court(world: World, dice: Dice, pose: Pose, inner: Rect) -> None:
    """Ground, trees and back buildings of a courtyard."""
    looks = (world.palette.lawn, world.palette.paving, world.palette.asphalt, world.palette.concrete)
    world.patch(pose, inner, dice.pick(looks))
    x0, y0, x1, y1 = inner
    for _ in range(int((x1 - x0) * (y1 - y0) * dice.uniform(0, 0.008))):
        world.tree(dice, *pose.point(dice.uniform(x0 + 2, x1 - 2), dice.uniform(y0 + 2, y1 - 2)), 1.5, 4)
    if min(x1 - x0, y1 - y0) > 24 and dice.chance(0.6):
        w, d = dice.uniform(8, 16), dice.uniform(6, 10)
        spot = pose.shifted(dice.uniform(-0.2, 0.2) * (x1 - x0), dice.uniform(-0.2, 0.2) * (y1 - y0))
        world.house(
            dice,
            spot,
            w,
            d,
            form=dice.pick(("flat", "gable", "pent")),
            family=dice.weighted(world.palette.families),
            eave=dice.uniform(3, 8),
            pitch=0.5,
        )


def _sides(outer: Rect, deep: float) -> tuple[Rect, ...]:
    x0, y0, x1, y1 = outer
    return (
        (x0, y0, x1, y0 + deep),
        (x0, y1 - deep, x1, y1),
        (x0, y0, x0 + deep, y1),
        (x1 - deep, y0, x1, y1),
    )


def _ring_units(
    dice: Dice, half_w: float, half_d: float, deep: float
) -> list[tuple[list[Point], tuple[Rect, ...]]]:
    """Divide a ring: four L corners and straight units between them; neighbours share exactly one wall."""
    out: list[tuple[list[Point], tuple[Rect, ...]]] = []
    arm = deep + dice.uniform(2, 8)
    arm_w, arm_d = min(arm, half_w * 0.8), min(arm, half_d * 0.8)
    for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x, y = sx * half_w, sy * half_d
        a, b = sx * (half_w - arm_w), sy * (half_d - arm_d)
        c, d = sx * (half_w - deep), sy * (half_d - deep)
        wings = (_ordered(x, y, a, d), _ordered(x, y, c, b))
        out.append(([(x, y), (a, y), (a, d), (c, d), (c, b), (x, b)], wings))
    for side in (-1, 1):
        for p, q in _steps(dice, half_w - arm_w):
            y, d = side * half_d, side * (half_d - deep)
            out.append(([(p, y), (q, y), (q, d), (p, d)], (_ordered(p, y, q, d),)))
        for p, q in _steps(dice, half_d - arm_d):
            x, c = side * half_w, side * (half_w - deep)
            out.append(([(x, p), (x, q), (c, q), (c, p)], (_ordered(x, p, c, q),)))
    return out


def _ordered(x0: float, y0: float, x1: float, y1: float) -> Rect:
    return (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _steps(dice: Dice, half: float) -> list[tuple[float, float]]:
    """Cut -half..half into units of 9 to 20 m."""
    count = max(1, int(2 * half / dice.uniform(9, 20)))
    marks = [-half + 2 * half * k / count for k in range(count + 1)]
    return list(pairwise(marks))


def industrial(world: World, dice: Dice, rect: Rect) -> None:
    """One or several large halls, loading yards, parking."""
    palette = world.palette
    base = dice.pick((palette.asphalt, palette.concrete, palette.gravel, palette.lawn, palette.soil))
    world.ground(rect, replace(base, color=dice.vary(base.color, 0.08)))
    lots = [shrink(rect, 3)]
    while lots:
        u0, v0, u1, v1 = lots.pop()
        wide, deep = u1 - u0, v1 - v0
        if wide * deep > dice.uniform(3000, 16000) and max(wide, deep) > 50:
            m = dice.uniform(0.35, 0.65)
            if wide > deep:
                lots += [(u0, v0, u0 + wide * m - 2, v1), (u0 + wide * m + 2, v0, u1, v1)]
            else:
                lots += [(u0, v0, u1, v0 + deep * m - 2), (u0, v0 + deep * m + 2, u1, v1)]
            continue
        pose = world.frame.pose((u0 + u1) / 2, (v0 + v1) / 2)
        part = dice.child()
        if world.canvas.sees(pose.x, pose.y, wide + deep) and min(wide, deep) > 14:
            _works(world, part, pose, wide, deep)


def _works(world: World, dice: Dice, pose: Pose, wide: float, deep: float) -> None:
    """One lot: a hall beside parking or a yard, or a yard alone."""
    box = (-wide / 2, -deep / 2, wide / 2, deep / 2)
    if dice.chance(0.12):
        yard(world, dice, pose, box)
        return
    share = dice.uniform(0.5, 0.9)
    low = -deep / 2 + deep * share
    open_side = (-wide / 2, low + 1, wide / 2, deep / 2)
    if dice.chance(0.6):
        parking(world, dice, pose, open_side, full=dice.random() ** 1.3)
    else:
        yard(world, dice, pose, open_side)
    hall(
        world,
        dice,
        pose.shifted(0, (low - deep / 2) / 2),
        wide * dice.uniform(0.7, 0.97),
        (low + deep / 2) * dice.uniform(0.75, 0.97),
    )
    for _ in range(dice.below(4)):
        world.tree(
            dice, *pose.point(dice.uniform(-wide / 2, wide / 2), dice.pick((-deep / 2, deep / 2))), 1.5, 4
        )


def hall(world: World, dice: Dice, pose: Pose, wide: float, deep: float) -> None:
    """Build a hall with low pitch or flat deck; sometimes notched, or in bays side by side."""
    family = dice.weighted(world.palette.families)
    eave = dice.uniform(5, 12)
    box = (-wide / 2, -deep / 2, wide / 2, deep / 2)
    form = dice.weighted({"flat": 0.5, "gable": 0.35, "pent": 0.15})
    if form == "gable" and deep > 30:
        bays = int(deep / dice.uniform(12, 25)) or 1
        wings = tuple(
            (box[0], box[1] + deep * k / bays, box[2], box[1] + deep * (k + 1) / bays) for k in range(bays)
        )
        world.build(
            dice,
            pose,
            rect_points(box),
            form="row",
            family=family,
            eave=eave,
            wings=wings,
            pitch=dice.uniform(0.1, 0.3),
        )
        return
    if dice.chance(0.4) and min(wide, deep) > 20:
        world.house(dice, pose, wide, deep, form=form, family=family, eave=eave, pitch=0.15)
        return
    world.build(
        dice,
        pose,
        rect_points(box),
        form=form,
        family=family,
        eave=eave,
        wings=(box,),
        pitch=0.15,
        clutter=dice.random(),
    )


def towers(world: World, dice: Dice, rect: Rect) -> None:
    """High blocks, slabs and towers on lawns and parking, low halls between."""
    palette = world.palette
    base = dice.pick((palette.lawn, palette.paving, palette.concrete, palette.lawn))
    world.ground(rect, base)
    u0, v0, u1, v1 = rect
    pitch_u, pitch_v = dice.uniform(26, 52), dice.uniform(25, 42)
    cells_u, cells_v = max(1, int((u1 - u0) / pitch_u)), max(1, int((v1 - v0) / pitch_v))
    slab = dice.chance(0.5)
    size = (
        (dice.uniform(30, 60), dice.uniform(11, 17)) if slab else (dice.uniform(18, 30), dice.uniform(17, 28))
    )
    tall = dice.uniform(6, 16) if dice.chance(0.4) else dice.uniform(14, 55)
    for i in range(cells_u):
        for j in range(cells_v):
            wide, deep = (u1 - u0) / cells_u, (v1 - v0) / cells_v
            pose = world.frame.pose(u0 + (i + 0.5) * wide, v0 + (j + 0.5) * deep)
            part = dice.child()
            if world.canvas.sees(pose.x, pose.y, 80):
                _plot(world, part, pose, (wide, deep), size, tall)


def _plot(
    world: World, dice: Dice, pose: Pose, room: tuple[float, float], size: tuple[float, float], tall: float
) -> None:
    """One plot of an estate: a tower, parking or a green."""
    wide, deep = room
    box = (-wide / 2 + 1, -deep / 2 + 1, wide / 2 - 1, deep / 2 - 1)
    if dice.chance(0.2):
        parking(world, dice, pose, box, full=dice.random())
        return
    for _ in range(int(dice.uniform(0, 14))):
        world.tree(dice, *pose.point(dice.uniform(-wide, wide) / 2, dice.uniform(-deep, deep) / 2), 1.5, 4)
    if dice.chance(0.08):
        return
    if dice.chance(0.5):
        parking(world, dice, pose, (box[0], deep / 2 - 8, box[2], deep / 2 - 1), full=0.6)
    w, d = min(size[0], wide - 8), min(size[1], deep - 9)
    form = dice.pick(("flat", "hip", "gable")) if tall < 16 else "flat"
    family = dice.weighted({k: v for k, v in world.palette.families.items() if k != "tin"})
    world.house(
        dice,
        pose.shifted(0, -2.0, pi if dice.chance(0.5) else 0.0),
        w,
        d,
        form=form,
        family=family,
        eave=tall * dice.uniform(0.7, 1.2),
        pitch=0.3,
    )
