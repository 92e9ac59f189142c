"""Terraces: row houses that share their walls."""

from math import pi

from geoconvnext.data.synth.canvas import Material, Point
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.homes import garden, parcels, shed
from geoconvnext.data.synth.plan import Pose, Rect
from geoconvnext.data.synth.world import World


def rows(world: World, dice: Dice, rect: Rect) -> None:
    """Terraces: units side by side with shared walls, gardens behind."""
    palette = world.palette
    world.ground(rect, palette.lawn if dice.chance(0.6) else palette.paving)
    for (u0, v0, u1, v1), front in parcels(dice, rect, dice.uniform(28, 70)):
        pose = world.frame.pose((u0 + u1) / 2, (v0 + v1) / 2, 0.0 if front else pi)
        if not world.canvas.sees(pose.x, pose.y, 60):
            continue
        part = dice.child()
        garden(world, part, pose, u1 - u0, v1 - v0, green=0.6)
        _terrace(world, part, pose, u1 - u0 - part.uniform(0.5, 5), v1 - v0)


def _terrace(world: World, dice: Dice, pose: Pose, length: float, deep: float) -> None:
    """Set a row of units along local x; neighbours share their walls, node for node."""
    unit, depth = dice.uniform(4.8, 8.5), min(dice.uniform(8, 12.5), deep * 0.7)
    count = max(2, int(length / unit))
    y0 = -deep / 2 + min(dice.uniform(0.5, 6), deep - depth - 0.5)
    even = dice.chance(0.5)
    depths = [depth if even else depth + dice.pick((0.0, 0.0, 2.5, -1.5)) for _ in range(count)]
    family, form = dice.weighted(world.palette.families), dice.pick(("gable", "gable", "hip", "flat"))
    form = "gable" if form == "hip" and count > 2 else form
    eave, pitch = dice.uniform(4.5, 8), dice.uniform(0.5, 0.9)
    for k in range(count):
        x0, x1 = -length / 2 + k * unit, -length / 2 + (k + 1) * unit
        own = depths[k]
        before, after = (depths[k - 1] if k else own), (depths[k + 1] if k + 1 < count else own)
        ring = [(x0, y0), (x1, y0)]
        ring += [(x1, y0 + after)] if after < own else []
        ring += [(x1, y0 + own), (x0, y0 + own)]
        ring += [(x0, y0 + before)] if before < own else []
        mine = family if dice.chance(0.85) else dice.weighted(world.palette.families)
        _unit(world, dice, pose, ring, (x0, y0, x1, y0 + own), depth, form, mine, eave, pitch)
        if dice.chance(0.3) and deep / 2 - y0 - own > 6:
            shed(
                world,
                dice,
                pose.shifted((x0 + x1) / 2, deep / 2 - 2),
                dice.uniform(1.8, 3),
                dice.uniform(1.8, 2.6),
            )
        world.wall(
            pose, (x1, y0 + own), (x1, deep / 2), Material((140, 122, 102), pink=0.1), thick=0.2, tall=1.5
        )


def _unit(
    world: World, dice: Dice, pose: Pose, ring: list[Point], box: Rect, depth: float, form: str, family: str,
    eave: float, pitch: float,
) -> None:  # fmt: skip
    """One unit of a terrace, its ridge along the row, an extension behind under its own roof."""
    x0, y0, x1, y1 = box
    wings: tuple[Rect, ...] = ((x0, y0, x1, min(y1, y0 + depth)),)
    if y1 > y0 + depth + 0.1:
        wings = (*wings, (x0, y0 + depth, x1, y1))
    if form == "flat":
        wings = (box,)
    world.build(
        dice,
        pose,
        ring,
        form="row" if form == "gable" else form,
        family=family,
        eave=eave + dice.uniform(-0.15, 0.15),
        wings=wings,
        pitch=pitch,
        clutter=0.5,
        rise=eave,
    )
