"""Settlement styles: streets, ground and what fills the blocks between them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import hypot
from typing import TypeAlias

from geoconvnext.data.synth import blocks, ground, homes, informal, terraces
from geoconvnext.data.synth.canvas import Canvas, Material
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.palette import Palette, make_palette
from geoconvnext.data.synth.plan import Frame, Rect, shrink, split_rect
from geoconvnext.data.synth.world import World

Fill: TypeAlias = Callable[[World, Dice, Rect], None]


@dataclass(frozen=True)
class Style:
    """How a settlement is laid out.

    block: size in metres. street: narrowest width. climates, roofs: weights.
    other: share of blocks without houses. bend: how curved the streets are. green: range of tree density.
    flat, plot: ranges of the share of flat roofs and of plot sizes (m2) in informal quarters.
    """

    fill: Fill
    block: tuple[float, float]
    street: float
    climates: dict[str, float]
    roofs: dict[str, float]
    weight: float = 1.0
    other: float = 0.1
    bend: float = 1.0
    paved: bool = True
    green: tuple[float, float] = (0.4, 2.6)
    flat: tuple[float, float] = (0.0, 0.3)
    plot: tuple[float, float] = (45.0, 160.0)


_MILD = {"lush": 1.0, "temperate": 2.0, "autumn": 1.0, "dry": 1.0, "grey": 1.0}
_HOT = {"lush": 1.0, "dry": 1.0, "red": 2.0, "grey": 1.0}
_EURO = {"temperate": 1.0, "grey": 2.0, "dry": 0.5}

_ROOFS: dict[str, dict[str, float]] = {
    "suburb": {"shingle": 3, "clay": 1.5, "brown": 1, "slate": 1.5, "metal_light": 0.4, "metal_color": 0.3,
               "membrane": 0.2},
    "rows": {"clay": 2, "brown": 1.5, "slate": 2, "shingle": 1, "dark": 1, "membrane": 0.5},
    "perimeter": {"clay": 2, "slate": 2, "brown": 1, "gravel": 1, "dark": 0.7, "membrane": 0.8,
                  "metal_grey": 1, "concrete": 0.5},
    "informal": {"tin": 4, "metal_grey": 2, "metal_light": 1.2, "metal_color": 1.2, "concrete": 1,
                 "clay": 0.5},
    "bazaar": {"concrete": 4, "tin": 1.5, "metal_grey": 1, "metal_color": 1, "membrane": 1, "sand": 1,
               "clay": 1, "gravel": 1},
    "village": {"clay": 2, "brown": 1, "tin": 1.5, "metal_light": 1.5, "metal_grey": 1, "metal_color": 0.7,
                "slate": 1, "thatch": 0.5, "shingle": 1},
    "industrial": {"membrane": 3, "metal_light": 2, "metal_grey": 2, "metal_color": 1.5, "dark": 1,
                   "gravel": 1, "tin": 0.7},
    "villas": {"sand": 3, "membrane": 1, "concrete": 2, "clay": 0.8, "metal_light": 0.3},
    "towers": {"membrane": 2, "gravel": 2, "dark": 1.5, "concrete": 2, "metal_color": 0.7, "metal_light": 0.7,
               "clay": 0.7},
}  # fmt: skip

STYLES: dict[str, Style] = {
    "suburb": Style(homes.suburb, (150, 66), 6.5, {**_MILD, "desert": 0.5}, _ROOFS["suburb"], weight=1.8),
    "rows": Style(terraces.rows, (120, 55), 6, _MILD, _ROOFS["rows"], weight=0.9),
    "perimeter": Style(
        blocks.perimeter, (88, 68), 9, _EURO, _ROOFS["perimeter"], weight=0.9, other=0.08, bend=0.5
    ),
    "informal": Style(
        informal.informal, (70, 50), 2.2, _HOT, _ROOFS["informal"],
        weight=1.5, other=0.04, bend=1.4, paved=False,
    ),
    "bazaar": Style(
        informal.informal, (75, 55), 3, {**_HOT, "temperate": 1}, _ROOFS["bazaar"],
        weight=1.2, other=0.04, paved=False, green=(0.1, 0.8), flat=(0.4, 0.95), plot=(90, 260),
    ),
    "village": Style(
        homes.village, (120, 90), 4, {**_MILD, "red": 1, "lush": 2}, _ROOFS["village"],
        weight=1.3, other=0.25, bend=1.5, paved=False,
    ),
    "industrial": Style(
        blocks.industrial, (170, 130), 9, {**_MILD, "desert": 0.7, "red": 0.4}, _ROOFS["industrial"],
        weight=0.9, bend=0.3,
    ),
    "villas": Style(
        homes.villas, (120, 54), 6, {"desert": 3, "dry": 1}, _ROOFS["villas"],
        weight=0.7, bend=0.6, green=(0.1, 0.9),
    ),
    "towers": Style(
        blocks.towers, (130, 105), 9, {**_MILD, "desert": 0.5}, _ROOFS["towers"], weight=0.7, bend=0.6
    ),
}  # fmt: skip


def lay_out(dice: Dice, canvas: Canvas, name: str) -> World:
    """Divide the ground by streets into blocks and fill them; some scenes mix in a second style."""
    style = STYLES[name]
    palette = make_palette(dice, dice.weighted(style.climates), style.roofs)
    frame = Frame(dice, canvas.width_m / 2, canvas.height_m / 2, bend=style.bend * dice.pick((0.0, 0.5, 1.0)))
    world = World(canvas, palette, frame)
    world.greenness, world.flat = dice.uniform(*style.green), dice.uniform(*style.flat)
    world.rural = not style.paved
    world.plot, world.narrow = dice.uniform(*style.plot), dice.chance(0.35)
    world.kinds = {0: 1.0, 1: dice.pick((0.0, 0.05, 0.3)), 2: dice.pick((0.0, 0.0, 0.25, 0.6))}
    reach = hypot(canvas.width_m, canvas.height_m) / 2 + 60
    size = dice.uniform(0.75, 1.3)
    block = (style.block[0] * size, style.block[1] * dice.uniform(0.85, 1.2) * size)
    shift_u, shift_v = dice.uniform(0, 150), dice.uniform(0, 150)
    whole = (-reach - shift_u, -reach - shift_v, reach + 150 - shift_u, reach + 150 - shift_v)
    rects, streets = split_rect(dice, whole, block, style.street)
    world.ground(shrink(whole, -60), _roadbed(dice, palette, style))
    for start, end, width in streets:
        _corridor(world, dice.child(), start, end, width, paved=style.paved)
    mate = STYLES[dice.weighted({key: kind.weight for key, kind in STYLES.items()})]
    border = dice.uniform(-0.4, 0.4) * reach if dice.chance(0.25) else 2 * reach
    other = style.other * dice.uniform(0.2, 2.5)
    verge = (dice.uniform(0.0, 3.5), dice.pick((0.0, dice.uniform(3, 9))), dice.chance(0.6))
    for rect in rects:
        _block(
            world, dice.child(), rect, (mate if rect[0] > border else style).fill, other, verge, style.paved
        )
    return world


def _roadbed(dice: Dice, palette: Palette, style: Style) -> Material:
    """Draw what the streets are made of."""
    look = palette.asphalt
    if dice.chance(0.07 if style.paved else 0.75):
        look = dice.pick((palette.soil, palette.soil, palette.gravel))
    return replace(look, color=dice.vary(look.color, 0.08))


def _corridor(
    world: World,
    dice: Dice,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    *,
    paved: bool,
) -> None:
    """Make a street or, where it is wide, now and then a railway."""
    (u0, v0), (u1, v1) = start, end
    length, half = abs(u1 - u0) + abs(v1 - v0), width / 2
    rect = (u0, v0 - half, u1, v0 + half) if abs(u1 - u0) > abs(v1 - v0) else (u0 - half, v0, u0 + half, v1)
    if width > 9 and dice.chance(0.08):
        ground.railway(world, dice, start, end, width)
        return
    world.wear(dice, rect, length * (0.06 if paved else 0.12))
    ground.street(world, dice, start, end, width, busy=0.5 if paved else 0.15)


def _block(
    world: World,
    dice: Dice,
    rect: Rect,
    fill: Fill,
    other: float,
    verge: tuple[float, float, bool],
    paved: bool,
) -> None:
    """Fill one block within its pavement; verge: width, corner radius, trees along the street."""
    u, v = (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2
    if not world.canvas.sees(*world.frame.point(u, v), hypot(rect[2] - rect[0], rect[3] - rect[1]) * 0.75):
        return
    wide, chamfer, lined = verge
    if paved:
        palette = world.palette
        world.ground(rect, palette.concrete if dice.chance(0.8) else palette.lawn, chamfer=chamfer)
        if lined and world.greenness > 0.5:
            _avenue(world, dice, shrink(rect, wide * 0.5))
        rect = shrink(rect, wide)
    if min(rect[2] - rect[0], rect[3] - rect[1]) < 12 or dice.chance(other):
        ground.mixed_use(world, dice, rect)
        return
    fill(world, dice, rect)


def _avenue(world: World, dice: Dice, rect: Rect) -> None:
    """Plant trees along the pavement."""
    pitch = dice.uniform(8, 22)
    for side in range(4):
        low, high = (rect[0], rect[2]) if side < 2 else (rect[1], rect[3])
        at = low + dice.uniform(0, pitch)
        while at < high:
            u, v = (at, rect[1 if side == 0 else 3]) if side < 2 else (rect[0 if side == 2 else 2], at)
            if dice.chance(0.7):
                world.tree(dice, *world.frame.point(u, v), 1.2, 4.2)
            at += pitch
