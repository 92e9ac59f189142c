"""Colours of a scene: a climate's ground and vegetation, and the few roofs that a place favours."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from geoconvnext.data.synth.canvas import Material
from geoconvnext.data.synth.dice import Color, Dice

CLIMATES: dict[str, dict[str, Color]] = {
    "lush": {"lawn": (92, 118, 62), "dry": (140, 140, 88), "soil": (142, 118, 88), "tree": (58, 84, 44)},
    "temperate": {"lawn": (84, 102, 64), "dry": (132, 126, 92), "soil": (136, 118, 96), "tree": (54, 70, 44)},
    "autumn": {"lawn": (98, 96, 66), "dry": (134, 118, 86), "soil": (126, 106, 84), "tree": (92, 76, 52)},
    "dry": {"lawn": (122, 122, 78), "dry": (172, 156, 112), "soil": (176, 150, 116), "tree": (70, 82, 50)},
    "desert": {"lawn": (112, 122, 76), "dry": (198, 176, 142), "soil": (204, 178, 142), "tree": (66, 80, 52)},
    "red": {"lawn": (94, 106, 60), "dry": (148, 122, 82), "soil": (158, 114, 80), "tree": (52, 76, 38)},
    "grey": {"lawn": (84, 94, 68), "dry": (122, 118, 100), "soil": (150, 144, 130), "tree": (50, 64, 46)},
}

ROOFS: dict[str, tuple[Color, ...]] = {
    "clay": ((178, 94, 64), (198, 114, 80), (160, 82, 62), (152, 98, 78), (208, 134, 104), (140, 76, 58)),
    "brown": ((112, 88, 72), (128, 104, 88), (98, 78, 66), (142, 118, 98)),
    "slate": ((96, 99, 106), (74, 77, 84), (116, 116, 119), (60, 62, 66)),
    "shingle": ((124, 115, 106), (92, 88, 86), (146, 133, 118), (68, 65, 65), (108, 94, 82), (166, 160, 150)),
    "metal_light": ((214, 214, 210), (236, 236, 234), (196, 200, 204), (224, 216, 200)),
    "metal_grey": ((152, 157, 160), (174, 176, 176), (128, 133, 137), (104, 108, 112)),
    "metal_color": (
        (62, 106, 164), (84, 138, 186), (82, 126, 96), (124, 152, 108), (164, 62, 60), (192, 80, 82),
        (98, 74, 66), (60, 84, 78), (176, 150, 96), (112, 46, 48),
    ),
    "tin": (
        (172, 168, 160), (150, 146, 140), (190, 188, 184), (138, 116, 98), (118, 82, 64), (164, 148, 124),
        (112, 100, 88),
    ),
    "membrane": ((226, 226, 222), (198, 197, 192), (172, 171, 166), (140, 139, 136)),
    "dark": ((74, 74, 76), (58, 58, 60), (92, 90, 88)),
    "gravel": ((162, 156, 146), (142, 137, 128), (178, 170, 156)),
    "concrete": ((164, 160, 152), (140, 135, 126), (184, 178, 166), (118, 112, 104), (176, 160, 138)),
    "thatch": ((126, 106, 78), (106, 92, 72), (144, 126, 96)),
    "sand": ((204, 188, 160), (188, 172, 146), (216, 206, 186), (176, 158, 130)),
}  # fmt: skip
FLAT_ROOFS = frozenset({"membrane", "dark", "gravel", "concrete", "sand"})
_WATERS: tuple[Color, ...] = ((44, 58, 58), (62, 74, 60), (36, 40, 44), (88, 92, 74))
RUST: Color = (116, 78, 58)


@dataclass(frozen=True)
class Palette:
    """Materials of one scene. `families`: weight of each roof family here; `trees`: crown colours."""

    lawn: Material
    meadow: Material
    soil: Material
    gravel: Material
    asphalt: Material
    concrete: Material
    paving: Material
    water: Material
    trees: tuple[Color, ...]
    families: dict[str, float]
    favourites: dict[str, Color]
    bare: float
    weathering: float


def make_palette(dice: Dice, climate: str, families: Mapping[str, float]) -> Palette:
    """Draw a scene's materials; sharpened weights make a place favour few roofs."""
    base = {name: dice.vary(color, 0.12, 0.05) for name, color in CLIMATES[climate].items()}
    lawn, dry, soil = base["lawn"], base["dry"], base["soil"]
    grey = dice.uniform(78, 140)
    light = dice.uniform(150, 205)
    weights = {name: weight * dice.random() ** 1.5 + 0.01 for name, weight in families.items()}
    return Palette(
        lawn=Material(lawn, dry, dice.uniform(0, 0.5), 0.25, 0.4, pink=0.07, grain=0.06),
        meadow=Material(dry, lawn, dice.uniform(0.1, 0.8), 0.5, 0.5, pink=0.1, grain=0.08),
        soil=Material(soil, dice.vary(dry, 0.1), dice.uniform(0.1, 0.5), 0.2, 0.5, pink=0.07, grain=0.05),
        gravel=Material(dice.vary((light, light * 0.98, light * 0.92)), soil, 0.25, 0.25, 0.4, 0.07, 0.06),
        asphalt=Material(dice.vary((grey,) * 3, 0.05, 0.01), (grey * 1.2,) * 3, 0.3, 0.6, 0.3, 0.04, 0.03),
        concrete=Material(
            dice.vary((light, light * 0.985, light * 0.95)),
            (light * 0.87,) * 3,
            0.3,
            0.15,
            0.3,
            pink=0.05,
            grain=0.03,
            stripe=dice.pick((0.0, dice.uniform(3, 7))),
            amplitude=0.12,
            duty=0.04,
        ),
        paving=Material(
            dice.vary((148, 143, 134), 0.15), (122, 116, 108), 0.4, 0.15, 0.4, pink=0.08, grain=0.05
        ),
        water=Material(dice.pick(_WATERS), pink=0.03, grain=0.02),
        trees=tuple(dice.vary(base["tree"], 0.2, 0.08) for _ in range(4)),
        families=weights,
        favourites={name: dice.pick(ROOFS[name]) for name in ROOFS},
        bare=dice.uniform(0.3, 0.8) if climate == "autumn" else 1.0,
        weathering=dice.random(),
    )


def roof_material(dice: Dice, palette: Palette, family: str, angle: float) -> Material:
    """Draw one roof's material; `angle` is the direction across its corrugation or tile rows."""
    favoured = dice.chance(0.6)
    color = dice.vary(palette.favourites[family] if favoured else dice.pick(ROOFS[family]), 0.1, 0.03)
    worn = palette.weathering
    look = Material(color, pink=dice.uniform(0.02, 0.05 + 0.06 * worn), grain=dice.uniform(0.01, 0.05))
    if family in ("clay", "brown", "slate", "thatch"):
        return replace(
            look,
            other=dice.vary(color, 0.25, 0.05),
            share=0.35 * worn,
            blotch=0.04,
            stripe=dice.uniform(0.3, 0.42),
            angle=angle,
            amplitude=0.05,
        )
    if family == "shingle":
        return replace(look, other=dice.vary(color, 0.12), share=0.3, blotch=0.06, grain=0.07)
    if family.startswith("metal"):
        return _metal(dice, replace(look, angle=angle), worn)
    if family == "tin":
        return _tin(dice, replace(look, angle=angle), worn)
    stain = dice.vary(color, 0.3, 0.03)
    return replace(
        look,
        other=stain,
        share=dice.random() * 0.4,
        blotch=dice.uniform(0.03, 0.12),
        sharp=dice.uniform(0.3, 1.0),
        grain=0.03,
    )


def _metal(dice: Dice, look: Material, worn: float) -> Material:
    """Profiled sheet metal, painted or bright."""
    return replace(
        look,
        other=dice.vary(look.color, 0.2, 0.06),
        share=0.3 * worn * dice.random(),
        blotch=0.06,
        sheets=0.4 * worn * dice.random(),
        stripe=dice.uniform(0.4, 0.95),
        amplitude=dice.uniform(0.02, 0.1),
        duty=dice.pick((0.0, 0.25)),
    )


def _tin(dice: Dice, look: Material, worn: float) -> Material:
    """Corrugated iron, its sheets rusted unevenly."""
    return replace(
        look,
        other=dice.vary(RUST, 0.2, 0.05),
        share=0.9 * dice.random() ** 1.3 * (0.3 + 0.7 * worn),
        blotch=dice.uniform(0.015, 0.06),
        sharp=dice.uniform(0.3, 1.0),
        sheets=dice.uniform(0.1, 0.9),
        pink=0.08,
        grain=0.05,
        stripe=dice.uniform(0.6, 1.0),
        amplitude=dice.uniform(0.02, 0.09),
        duty=dice.pick((0.0, 0.3)),
    )
