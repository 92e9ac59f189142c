"""Open land: fields, woods, scrub, parks, water."""

from dataclasses import replace
from math import pi

from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.plan import Rect, shrink
from geoconvnext.data.synth.world import World


def field(world: World, dice: Dice, rect: Rect) -> None:
    """Plough, sow or leave a field: rectangles that are no buildings."""
    palette = world.palette
    base = dice.pick((palette.meadow, palette.soil, palette.lawn, palette.meadow))
    look = replace(
        base, color=dice.vary(base.color, 0.15, 0.05), share=dice.random(), blotch=dice.uniform(0.2, 0.8)
    )
    if dice.chance(0.6):
        look = replace(
            look,
            stripe=dice.uniform(0.7, 4.0),
            amplitude=dice.uniform(0.02, 0.12),
            angle=world.frame.pose(rect[0], rect[1]).angle + dice.pick((0, pi / 2)),
        )
    world.ground(rect, look)
    if dice.chance(0.3):
        world.grove(dice, rect, dice.uniform(0.01, 0.08), 1.5, 4.5)


def wood(world: World, dice: Dice, rect: Rect) -> None:
    """Plant a forest, or an orchard in rows."""
    world.ground(rect, replace(world.palette.meadow, color=dice.vary(world.palette.lawn.color, 0.15)))
    if dice.chance(0.2):
        pitch = dice.uniform(4, 8)
        u = rect[0] + pitch / 2
        while u < rect[2]:
            v = rect[1] + pitch / 2
            while v < rect[3]:
                if dice.chance(0.9):
                    world.tree(
                        dice, *world.frame.point(u + dice.uniform(-0.4, 0.4), v), pitch * 0.2, pitch * 0.45
                    )
                v += pitch
            u += pitch
        return
    if dice.chance(0.6):
        thicket(world, dice, rect, dice.uniform(0.2, 0.9))
    world.grove(dice, rect, dice.uniform(0.2, 1.6), dice.uniform(1.5, 3), dice.uniform(3.5, 6.5))


def thicket(world: World, dice: Dice, rect: Rect, cover: float) -> None:
    """Overgrow a street-space rectangle with scrub in drifts: low crowns that merge."""
    left = int((rect[2] - rect[0]) * (rect[3] - rect[1]) * cover / 7)
    tone = dice.vary(dice.pick(world.palette.trees), 0.15, 0.05)
    light = (tone[0] * 1.2, tone[1] * 1.2, tone[2] * 1.1)
    while left > 0:
        u, v = dice.uniform(rect[0], rect[2]), dice.uniform(rect[1], rect[3])
        drift = 1 + int(dice.random() ** 2 * 25)
        for _ in range(drift):
            x, y = world.frame.point(dice.gauss(u, 0.35 * drift), dice.gauss(v, 0.35 * drift))
            radius = dice.uniform(0.7, 2.6)
            world.canvas.tree(x, y, radius, dice.vary(light, 0.1, 0.04), tall=0.4 + 0.7 * radius, density=0.9)
        left -= drift


def park(world: World, dice: Dice, rect: Rect) -> None:
    """Lawns, paths, trees; now and then a pond."""
    world.ground(rect, world.palette.lawn)
    for _ in range(dice.below(4)):
        p, q = (
            world.frame.point(dice.uniform(rect[0], rect[2]), dice.uniform(rect[1], rect[3]))
            for _ in range(2)
        )
        world.canvas.line(p, q, dice.uniform(1.2, 3), dice.pick((world.palette.gravel, world.palette.paving)))
    if dice.chance(0.25):
        water(world, dice, shrink(rect, min(rect[2] - rect[0], rect[3] - rect[1]) * 0.25))
    world.grove(dice, rect, dice.uniform(0.1, 0.6), 2.0, 5.5)


def water(world: World, dice: Dice, rect: Rect) -> None:
    """Make a basin with a bank, or ponds of free shape; smooth and dark like some roofs."""
    inner = shrink(rect, dice.uniform(0.5, 3))
    if dice.chance(0.4):
        world.ground(rect, world.palette.soil)
        world.ground(inner, world.palette.water)
        return
    world.ground(rect, world.palette.meadow)
    half = min(inner[2] - inner[0], inner[3] - inner[1]) / 2
    for _ in range(1 + dice.below(4)):
        u, v = dice.uniform(inner[0] + half, inner[2] - half), dice.uniform(inner[1] + half, inner[3] - half)
        world.smudge(dice, *world.frame.point(u, v), half * dice.uniform(0.5, 0.9), world.palette.water, 1.0)
    world.grove(dice, rect, dice.uniform(0, 0.15), 1.0, 4.0)
