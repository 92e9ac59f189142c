"""Informal quarters and bazaars: roofs at all angles, touching or nearly so."""

from math import exp

from geoconvnext.data.synth.canvas import Point
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.ground import ruin, yard
from geoconvnext.data.synth.plan import Pose, Rect, area, centroid, cut, inset, long_axis
from geoconvnext.data.synth.world import World

_DECKS = {"concrete": 4.0, "gravel": 1.0, "membrane": 1.0, "sand": 1.0}


def informal(world: World, dice: Dice, rect: Rect) -> None:
    """Divide a block by lanes at odd angles, down to plots, and roof them."""
    palette = world.palette
    world.ground(rect, dice.pick((palette.soil, palette.soil, palette.paving)))
    size = (rect[2] - rect[0]) * (rect[3] - rect[1])
    world.wear(dice, rect, size * dice.uniform(0.005, 0.03))
    if dice.chance(0.05):
        yard(
            world,
            dice,
            world.frame.pose((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2),
            (-15, -15, 15, 15),
        )
        return
    target, loose = world.plot * dice.uniform(0.75, 1.35), 0.4 * dice.random() ** 2
    todo = [(world.frame.ring(rect, step=999), _plot_size(dice, target))]
    while todo:
        ring, wanted = todo.pop()
        x, y = centroid(ring)
        size = abs(area(ring))
        if not world.canvas.sees(x, y, size**0.5 * 1.5):
            continue
        if size < wanted:
            _plot(world, dice.child(), ring, loose)
            continue
        lane = dice.uniform(0.5, 2.0) if size > target * 8 else dice.pick((0.0, 0.1, 0.3))
        parts = [inset(part, lane / 2) for part in _halves(dice, ring) if len(part) > 2]
        todo += [(part, _plot_size(dice, target)) for part in parts if abs(area(part)) > 6]


def _plot_size(dice: Dice, target: float) -> float:
    """Area below which a plot is divided no further; log-normal, so that a few buildings are large."""
    return target * exp(dice.gauss(0.05, 0.55))


def _halves(dice: Dice, ring: list[Point]) -> tuple[list[Point], list[Point]]:
    """Cut a convex ring across its long axis, not quite square and not quite in the middle."""
    x, y = centroid(ring)
    along = long_axis(ring)
    turn = dice.gauss(0, 0.08)
    reach = [(p[0] - x) * along[0] + (p[1] - y) * along[1] for p in ring]
    shift = dice.uniform(-0.17, 0.17) * (max(reach) - min(reach))
    normal = (along[0] - turn * along[1], along[1] + turn * along[0])
    return cut(ring, (x + along[0] * shift, y + along[1] * shift), normal)


def _plot(world: World, dice: Dice, ring: list[Point], loose: float) -> None:
    """Fill a convex plot with one roof, units that share walls or a court between wings; or leave it open."""
    if area(ring) < 0:
        ring.reverse()
    x, y = centroid(ring)
    if dice.chance(loose * 0.5) or len(ring) > 6:
        _open_plot(world, dice, x, y, ring)
        return
    gaps = [dice.pick((0.03, 0.05, 0.1, 0.4, 0.9)) * (0.5 + loose * 2) for _ in ring]
    body = inset(ring, gaps)
    if not 9 < area(body) < area(ring):
        return
    flat = dice.chance(world.flat)
    if area(body) > 150 and len(body) == 4 and dice.chance(0.5):
        units = _court(dice, body)
    else:
        units = _slices(dice, body)
    for unit in units:
        if area(unit) > 7:
            _roofed(world, dice, unit, flat=flat)


def _open_plot(world: World, dice: Dice, x: float, y: float, ring: list[Point]) -> None:
    """Trees, litter or unfinished walls."""
    kind = dice.below(4)
    if kind == 0:
        ruin(world, dice, Pose(x, y, dice.uniform(0, 3.1)))
        return
    for p, q in ring:
        t = dice.random()
        spot = (x + (p - x) * t, y + (q - y) * t)
        if kind == 1:
            world.tree(dice, *spot, 1.2, 4.0)
        else:
            world.litter(dice, *spot)


def _roofed(world: World, dice: Dice, unit: list[Point], *, flat: bool) -> None:
    """Roof one convex unit."""
    x, y = centroid(unit)
    families = _DECKS if flat and dice.chance(0.7) else world.palette.families
    form = "flat" if flat else dice.weighted({"pent": 0.5, "gable": 0.5})
    eave = dice.uniform(2.3, 4.2) + 9 * flat * dice.random() + 3 * (dice.random() < 0.1)
    world.build(
        dice,
        Pose(x, y, 0.0),
        [(p - x, q - y) for p, q in unit],
        form=form,
        family=dice.weighted(families),
        eave=eave,
        rise=3.0,
        pitch=dice.uniform(0.12, 0.45),
        clutter=dice.random(),
    )


def _slices(dice: Dice, body: list[Point]) -> list[list[Point]]:
    """Cut a plot across its long axis into units whose shared walls are the same edges."""
    if len(body) != 4 or area(body) < 40 or dice.chance(0.5):
        return [body]
    along = long_axis(body)
    reach = [p[0] * along[0] + p[1] * along[1] for p in body]
    count = dice.pick((2, 2, 3, 4)) if area(body) > 90 else 2
    parts: list[list[Point]] = []
    rest = body
    for k in range(1, count):
        at = min(reach) + (max(reach) - min(reach)) * (k + dice.uniform(-0.15, 0.15)) / count
        first, rest = cut(rest, (along[0] * at, along[1] * at), along)
        parts.append(first)
    return [part for part in (*parts, rest) if len(part) > 2]


def _court(dice: Dice, body: list[Point]) -> list[list[Point]]:
    """Wings along the sides of a plot, the middle left open."""
    wings: list[list[Point]] = []
    rest = body
    for k in range(4):
        p, q = body[k - 1], body[k]
        length = ((q[0] - p[0]) ** 2 + (q[1] - p[1]) ** 2) ** 0.5
        inward = (-(q[1] - p[1]) / length, (q[0] - p[0]) / length)
        deep = dice.uniform(3.5, 5.5)
        if dice.chance(0.2):
            continue
        wing, rest = cut(rest, (p[0] + inward[0] * deep, p[1] + inward[1] * deep), inward)
        if len(wing) > 2 and len(rest) > 2:
            wings += _slices(dice, inset(wing, 0.04))
        if len(rest) < 4 or abs(area(rest)) < 20:
            break
    return wings
