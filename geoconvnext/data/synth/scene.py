"""Scenes with exact footprints: draw a settlement, paint it, expose it."""

from dataclasses import dataclass
from math import cos, pi, radians, sin, tan

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from geoconvnext.data.synth.canvas import Canvas, Sun
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.plan import Building
from geoconvnext.data.synth.roofs import paint_building, paint_walls
from geoconvnext.data.synth.sensor import expose
from geoconvnext.data.synth.styles import STYLES, lay_out
from geoconvnext.errors import ConfigError

_SLIVER = 0.05
"""Area in pixels below which what the image border leaves of a footprint is dropped."""
_GRID = 1024
"""Footprints lie on a lattice of 1/1024 pixel, so that walls cut by the image border still match."""


@dataclass(frozen=True)
class SynthScene:
    """A scene and its footprints, a valid coverage, in pixels: x right, y down, image corner at 0, 0.

    image: uint8 (3, H, W). Footprints are the roof outlines as seen, clipped to it; trees may hide parts.
    """

    image: NDArray[np.uint8]
    footprints: tuple[Polygon, ...]
    gsd_m: float
    style: str
    seed: int


def make_scene(seed: int, *, height: int, width: int, gsd_m: float, style: str | None = None) -> SynthScene:
    """Make the scene of a seed; the same seed and ground extent give the same world at any `gsd_m`.

    height, width: pixels. gsd_m: metres per pixel, 0.05 to 2. style: one of STYLES, or drawn from the seed.
    Raises ConfigError for values out of range.
    """
    if not (0.05 <= gsd_m <= 2 and min(height, width) >= 8):
        raise ConfigError(
            f"no scene of {height} x {width} px at {gsd_m} m: ask for 8 x 8 px or more at 0.05 to 2 m"
        )
    if style is not None and style not in STYLES:
        raise ConfigError(f"no style {style!r}: use one of {', '.join(STYLES)}")
    dice = Dice(seed)
    drawn = dice.weighted({name: kind.weight for name, kind in STYLES.items()})
    name = style or drawn
    canvas = Canvas(width * gsd_m, height * gsd_m, _sun(dice))
    world = lay_out(dice.child(), canvas, name)
    lean = _lean(dice, name)
    seen = _footprints(world.buildings, lean, (height, width), gsd_m)
    world.paint_standing()
    for building, _ in seen if lean != (0.0, 0.0) else []:
        paint_walls(canvas, Dice(building.seed + 1), building.outline, lean, building.rise)
    for building, _ in seen:  # roofs after all walls: no facade hides a part of a footprint
        paint_building(canvas, world.palette, building)
    deep = dice.uniform(0.22, 0.6)
    cool = dice.uniform(0.0, 0.12)
    image = canvas.render(gsd_m, (deep * (1 - cool), deep, deep * (1 + cool)))
    pixels = expose(image, dice.child())
    rings = tuple(part for _, shape in seen for part in shape)
    return SynthScene(np.ascontiguousarray(pixels.transpose(2, 0, 1)), rings, gsd_m, name, seed)


def _sun(dice: Dice) -> Sun:
    """Sun-synchronous morning light mostly: shadows to the north-west or north-east, or anywhere."""
    azimuth = dice.uniform(-pi, pi) if dice.chance(0.4) else dice.uniform(-0.8 * pi, -0.2 * pi)
    return Sun(azimuth, radians(dice.uniform(26, 72)))


def _lean(dice: Dice, style: str) -> tuple[float, float]:
    """Relief displacement in metres per metre of height; for tall settlements seen off nadir."""
    slant, turn = tan(radians(dice.uniform(2, 22))), dice.uniform(0, 2 * pi)
    if style not in ("towers", "perimeter") or dice.chance(0.4):
        return (0.0, 0.0)
    return (slant * cos(turn), slant * sin(turn))


def _footprints(
    buildings: list[Building], lean: tuple[float, float], size: tuple[int, int], gsd_m: float
) -> list[tuple[Building, list[Polygon]]]:
    """Footprints in pixels per building that stands; what would overlap an earlier one is not built."""
    if lean != (0.0, 0.0):
        _lean_over(buildings, lean)
    shapes = np.array([Polygon(b.outline, b.holes) for b in buildings], dtype=object)
    if not len(shapes):
        return []
    shapes = _on_lattice(shapes, 1 / gsd_m)
    keep = _disjoint(shapes, shapely.is_valid(shapes) & (shapely.area(shapes) * gsd_m**2 > 3))
    clipped = shapes.copy()
    clipped[keep] = _on_lattice(shapely.intersection(shapes[keep], shapely.box(0, 0, size[1], size[0])), 1.0)
    out = []
    for k in np.flatnonzero(keep):
        parts = [
            p
            for p in shapely.get_parts(clipped[k])
            if p.geom_type == "Polygon" and p.area > _SLIVER and p.is_valid
        ]
        out.append((buildings[k], parts))
    return out


def _on_lattice(shapes: NDArray[np.object_], scale: float) -> NDArray[np.object_]:
    """Scale, and round the corners to the lattice: equal points stay equal."""
    return np.asarray(shapely.transform(shapes, lambda xy: np.round(xy * (scale * _GRID)) / _GRID))


def _lean_over(buildings: list[Building], lean: tuple[float, float]) -> None:
    """Move roofs away from the nadir by their height; neighbours that share walls keep one common shift."""
    for b in buildings:
        dx, dy = lean[0] * b.rise, lean[1] * b.rise
        b.outline = [(x + dx, y + dy) for x, y in b.outline]
        b.holes = tuple([(x + dx, y + dy) for x, y in hole] for hole in b.holes)
        b.pose = type(b.pose)(b.pose.x + dx, b.pose.y + dy, b.pose.angle)


def _disjoint(shapes: NDArray[np.object_], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark which shapes stay when of two with common interior the later goes."""
    keep = usable.copy()
    tree = shapely.STRtree(shapes)
    first, second = tree.query(shapes, predicate="intersects")
    pairs = first < second
    first, second = first[pairs], second[pairs]
    deep = shapely.relate_pattern(shapes[first], shapes[second], "T********")
    for a, b in sorted(zip(first[deep].tolist(), second[deep].tolist(), strict=True)):
        if keep[a]:
            keep[b] = False
    return keep
