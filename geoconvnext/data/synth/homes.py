"""Detached houses: suburbs, villages, desert villas."""

from dataclasses import replace
from math import pi

from geoconvnext.data.synth.canvas import Material
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.ground import ruin
from geoconvnext.data.synth.land import field, thicket
from geoconvnext.data.synth.plan import Pose, Rect, rect_points, shrink
from geoconvnext.data.synth.world import World

_POOL = Material((92, 178, 190), (120, 200, 205), 0.3, 0.1, pink=0.02, grain=0.01)


def parcels(dice: Dice, rect: Rect, width: float) -> list[tuple[Rect, bool]]:
    """Divide a block into two rows of parcels back to back; True for the row that faces the low-v street."""
    u0, v0, u1, v1 = rect
    deep = v1 - v0
    rows = (
        [(v0, v0 + deep / 2, True), (v0 + deep / 2, v1, False)] if deep > 34 else [(v0, v1, dice.chance(0.5))]
    )
    out: list[tuple[Rect, bool]] = []
    for low, high, front in rows:
        count = max(1, round((u1 - u0) / (width * dice.uniform(0.85, 1.2))))
        step = (u1 - u0) / count
        out += [((u0 + k * step, low, u0 + (k + 1) * step, high), front) for k in range(count)]
    return out


def garden(world: World, dice: Dice, pose: Pose, wide: float, deep: float, *, green: float) -> None:
    """Lay out ground, hedges, trees and things of a parcel centred on the pose."""
    palette = world.palette
    box = (-wide / 2, -deep / 2, wide / 2, deep / 2)
    look = (
        dice.pick((palette.lawn, palette.lawn, palette.meadow, palette.soil))
        if dice.chance(green)
        else dice.pick((palette.soil, palette.paving, palette.concrete))
    )
    world.patch(pose, box, replace(look, color=dice.vary(look.color, 0.1, 0.03), share=dice.random() * 0.8))
    kind = dice.below(4)
    if kind < 2:
        tall, thick = (1.5, dice.uniform(0.6, 1.3)) if kind else (1.3, 0.25)
        tone = dice.vary(dice.pick(palette.trees), 0.15) if kind else dice.vary((150, 136, 118), 0.2)
        edge = Material(tone, pink=0.16, grain=0.1)
        corners = rect_points(shrink(box, 0.3))
        for k in range(4):
            if dice.chance(0.6):
                world.wall(pose, corners[k - 1], corners[k], edge, thick=thick, tall=tall)
    trees = wide * deep * green * world.greenness / 65
    for _ in range(int(trees * dice.uniform(0.2, 1.6) + dice.random())):
        # trees stand in the gaps between houses more than on them
        a, b = dice.pick((-1, 1)) * wide * (0.5 - 0.3 * dice.random() ** 2), deep * dice.uniform(-0.5, 0.5)
        world.tree(dice, *pose.point(a, b), 1.2, 5.0 if wide > 12 else 3.5)
    for _ in range(dice.below(4)):
        world.litter(dice, *pose.point(dice.uniform(-wide / 2, wide / 2), dice.uniform(-deep / 2, deep / 2)))
    for _ in range(dice.below(6)):
        world.bush(dice, *pose.point(dice.uniform(-wide / 2, wide / 2), dice.uniform(-deep / 2, deep / 2)))


def shed(world: World, dice: Dice, pose: Pose, wide: float, deep: float) -> None:
    """Build a shed or garage centred on the pose."""
    half_w, half_d = wide / 2, deep / 2
    family = dice.weighted(
        {"metal_grey": 1, "tin": 1, "shingle": 1, "brown": 1, "dark": 0.7, "metal_light": 1}
    )
    box = (-half_w, -half_d, half_w, half_d)
    world.build(
        dice,
        pose,
        rect_points(box),
        form=dice.pick(("gable", "pent", "flat")),
        family=family,
        eave=dice.uniform(2.0, 2.7),
        wings=(box,),
        pitch=0.35,
    )


def suburb(world: World, dice: Dice, rect: Rect) -> None:
    """Detached houses on parcels with drives, pools, sheds; narrow ones with alley garages in old towns."""
    narrow = world.narrow
    world.ground(rect, world.palette.lawn)
    width = dice.uniform(8.5, 11.5) if narrow else dice.uniform(13, 24)
    for (u0, v0, u1, v1), front in parcels(dice, rect, width):
        pose = world.frame.pose((u0 + u1) / 2, (v0 + v1) / 2, 0.0 if front else pi)
        if world.canvas.sees(pose.x, pose.y, 45):
            _parcel(world, dice.child(), pose, u1 - u0, v1 - v0, narrow=narrow)


def _parcel(world: World, dice: Dice, pose: Pose, wide: float, deep: float, *, narrow: bool) -> None:
    """One parcel; its street lies at local y = -deep / 2."""
    palette = world.palette
    garden(world, dice, pose, wide, deep, green=0.85)
    if dice.chance(0.04):
        return
    w = wide - dice.uniform(1.6, 3.2) if narrow else min(wide - 2.0, dice.uniform(10, 19))
    d = min(deep * 0.62, dice.uniform(13, 21) if narrow else dice.uniform(8.5, 15))
    setback = min(dice.uniform(4, 7.5), deep - d - 1)
    y = -deep / 2 + setback + d / 2
    a = dice.uniform(-1, 1) * max(0.0, (wide - w) / 2 - 0.7)
    drive = palette.concrete if dice.chance(0.6) else palette.asphalt
    side = -1 if a > 0 else 1
    edge = side * (wide / 2 - 1.7)
    world.patch(
        pose, (edge - 1.5, -deep / 2 - 2, edge + 1.5, -deep / 2 + setback + dice.uniform(1, 6)), drive
    )
    if dice.chance(0.4):
        world.car(dice, pose.shifted(edge, -deep / 2 + setback * 0.5 + 1, pi / 2))
    if dice.chance(0.5):
        world.patch(pose, (a - w / 3, y + d / 2, a + w / 4, y + d / 2 + dice.uniform(2, 4)), palette.paving)
    turn = 0.0 if dice.chance(0.85) else dice.uniform(-0.15, 0.15)
    world.house(
        dice,
        pose.shifted(a, y, turn),
        w,
        d,
        form=dice.weighted({"gable": 0.5, "hip": 0.4, "flat": 0.06, "half-hip": 0.04}),
        family=dice.weighted(palette.families),
        eave=dice.uniform(3, 6),
        pitch=dice.uniform(0.3, 0.75),
    )
    _backyard(world, dice, pose, wide, deep, y + d / 2, narrow=narrow)


def _backyard(
    world: World, dice: Dice, pose: Pose, wide: float, deep: float, start: float, *, narrow: bool
) -> None:
    """Garage on the alley, pool or shed behind the house, whose rear wall lies at local y = start."""
    back = deep / 2 - start
    if narrow and dice.chance(0.7) and back > 9:
        spot = pose.shifted(dice.uniform(-0.1, 0.1) * wide, deep / 2 - 3.6)
        shed(world, dice, spot, min(wide - 1.2, 6), 5.8)
    elif back > 8:
        if dice.chance(0.1 + 0.25 * (world.greenness < 0.7)):
            half = dice.uniform(1.5, 2.6)
            u, v, edge = -wide * 0.15, deep / 2 - back * 0.5, 2 * half + 1
            world.patch(pose, (u - edge, v - half - 1, u + edge, v + half + 1), world.palette.paving)
            world.patch(pose, (u - half * 2, v - half, u + half * 2, v + half), _POOL)
        if dice.chance(0.35):
            turn = dice.pick((0.0, dice.uniform(-0.3, 0.3)))
            spot = pose.shifted(wide * dice.uniform(0.15, 0.3), deep / 2 - 2.8, turn)
            shed(world, dice, spot, dice.uniform(2.2, 4.5), dice.uniform(2, 3.4))


def village(world: World, dice: Dice, rect: Rect) -> None:
    """Set a few farmsteads among trees and fields, along the streets."""
    if dice.chance(0.5):
        field(world, dice, rect)
    else:
        world.ground(rect, dice.pick((world.palette.meadow, world.palette.lawn, world.palette.soil)))
        world.grove(dice, rect, dice.uniform(0, 0.4) * world.greenness, 1.5, 5)
        thicket(world, dice, rect, dice.uniform(0, 0.35) * world.greenness)
    world.wear(dice, rect, (rect[2] - rect[0]) * (rect[3] - rect[1]) * dice.uniform(0, 0.008))
    u0, v0, u1, v1 = rect
    count = int((u1 - u0 + v1 - v0) / dice.uniform(9, 40))
    for _ in range(count):
        along, near = dice.random(), dice.uniform(10, 30)
        spot = dice.below(4)
        u = u0 + (u1 - u0) * along if spot < 2 else (u0 + near if spot == 2 else u1 - near)
        v = v0 + (v1 - v0) * along if spot >= 2 else (v0 + near if spot == 0 else v1 - near)
        pose = world.frame.pose(u, v, dice.gauss(0, 0.25) + dice.pick((0.0, pi / 2)))
        part = dice.child()
        if world.canvas.sees(pose.x, pose.y, 30):
            _farm(world, part, pose)


def _farm(world: World, dice: Dice, pose: Pose) -> None:
    """Set a house, an outbuilding or two, a yard and trees."""
    palette = world.palette
    if dice.chance(0.12):
        ruin(world, dice, pose.shifted(dice.uniform(-16, 16), 17))
    if dice.chance(0.6):
        world.patch(pose, (-11, -9, 11, 9), dice.pick((palette.soil, palette.gravel, palette.lawn)))
    small = dice.chance(0.25)
    w, d = (
        (dice.uniform(5, 10), dice.uniform(4.5, 7.5))
        if small
        else (dice.uniform(9, 18), dice.uniform(7.5, 12))
    )
    world.house(
        dice,
        pose,
        w,
        d,
        form=dice.pick(("gable", "gable", "hip", "pent")),
        family=dice.weighted(palette.families),
        eave=dice.uniform(2.4, 5),
        pitch=dice.uniform(0.25, 0.8),
    )
    for _ in range(dice.pick((0, 0, 0, 1, 2))):
        a = dice.pick((-1, 1)) * (w / 2 + dice.uniform(4, 8))
        shed(
            world,
            dice,
            pose.shifted(a, dice.uniform(-6, 6), dice.pick((0.0, dice.uniform(-0.5, 0.5)))),
            dice.uniform(3, 9),
            dice.uniform(3, 6),
        )
    for _ in range(int(dice.uniform(0, 9) * world.greenness)):
        angle, far = dice.uniform(0, 6.3), dice.uniform(8, 18)
        world.tree(dice, *pose.shifted(0, 0, angle).point(far, 0), 1.5, 5.0)


def villas(world: World, dice: Dice, rect: Rect) -> None:
    """Walled compounds with flat roofs, paved courts and pools."""
    palette = world.palette
    world.ground(rect, palette.soil)
    for (u0, v0, u1, v1), front in parcels(dice, rect, dice.uniform(16, 28)):
        pose = world.frame.pose((u0 + u1) / 2, (v0 + v1) / 2, 0.0 if front else pi)
        part = dice.child()
        if not world.canvas.sees(pose.x, pose.y, 40) or part.chance(0.08):
            continue
        wide, deep = u1 - u0, v1 - v0
        garden(world, part, pose, wide, deep, green=0.25)
        ring = rect_points((-wide / 2 + 0.3, -deep / 2 + 0.3, wide / 2 - 0.3, deep / 2 - 0.3))
        bound = Material(part.vary((196, 184, 164), 0.1))
        for k in range(4):
            world.wall(pose, ring[k - 1], ring[k], bound, thick=0.3, tall=2.2)
        w, d = min(wide - 4, part.uniform(11, 18)), min(deep - 6, part.uniform(11, 20))
        world.house(
            part,
            pose.shifted(0, part.uniform(-0.5, 0.5) * (deep - d - 3)),
            w,
            d,
            form=part.pick(("flat", "flat", "hip")),
            family=part.weighted(palette.families),
            eave=part.uniform(4, 8),
            pitch=0.4,
        )
        if part.chance(0.3) and deep - d > 9:
            world.patch(pose, (-4, deep / 2 - 4.5, 3, deep / 2 - 1.2), _POOL)
