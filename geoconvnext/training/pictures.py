"""Pictures of validation tiles: what the network sees, what it says, and where that is right."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from geoconvnext.data.targets import IGNORE, WHOLE
from geoconvnext.output import check_file, draft

HALF = WHOLE // 2
"""Level from which a pixel counts as building, predicted or true."""
UNDEFINED = "\N{EN DASH}"
VIEWS = ("image", "prediction", "comparison")
COLOURS = {
    "right": (38, 186, 104),
    "missed": (232, 49, 58),
    "false": (58, 134, 255),
    "unknown": (150, 150, 150),
}
COMPARISON_ALPHA = 0.7

CELL_PX, GAP_PX, MARGIN_PX = 320, 8, 20
TITLE_PX, HEADER_PX, CAPTION_PX = 40, 30, 28
DPI = 100
INK, FAINT_INK = "#1f2933", "#6b7785"
LONGEST_NAME = 80

Picture = NDArray[np.uint8]
"""(height, width, 3), red, green, blue."""


@dataclass(frozen=True)
class Panel:
    """A validation tile with its prediction.

    name: what to call the tile, such as "hot_oam / zanzibar_1"; image: uint8 (H, W, bands), any number of
    bands; probability: uint8 (sH, sW), of body, in 254ths; truth: uint8 (sH, sW), covered share in 254ths,
    255 where unknown; iou: of the tile's building pixels, NaN where there are none.
    """

    name: str
    image: NDArray[np.uint8]
    probability: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    iou: float

    def __post_init__(self) -> None:
        assert self.image.ndim == 3, f"image of shape {self.image.shape}"
        assert self.probability.shape == self.truth.shape, f"{self.probability.shape} != {self.truth.shape}"
        assert {self.image.dtype, self.probability.dtype, self.truth.dtype} == {np.dtype(np.uint8)}


def draw_tiles(path: Path, panels: Sequence[Panel], title: str) -> None:
    """Write the picture of compose_tiles, under a title, as PNG; whole or not at all. OutputError."""
    check_file(path, (".png",))
    content = encode(compose_tiles(panels, title), ".png")
    with draft(path) as part:
        part.write_bytes(content)


def compose_tiles(panels: Sequence[Panel], title: str = "") -> Picture:
    """Return a picture with a row per tile: its name and IoU, image, prediction and comparison."""
    rows = [tile_views(panel) for panel in panels]
    width = 2 * MARGIN_PX + len(VIEWS) * CELL_PX + (len(VIEWS) - 1) * GAP_PX
    top = MARGIN_PX // 2 + (TITLE_PX if title else 0)
    height = top + HEADER_PX + sum(CAPTION_PX + len(views[0]) for views in rows) + MARGIN_PX
    sheet = _Sheet(width, height)
    if title:
        sheet.write(MARGIN_PX, MARGIN_PX // 2 + TITLE_PX / 2, title, size_pt=13, weight="bold")
    _head(sheet, top + HEADER_PX / 2)
    y = top + HEADER_PX
    for panel, views in zip(panels, rows, strict=True):
        sheet.write(MARGIN_PX, y + CAPTION_PX / 2, _shorten(panel.name), weight="bold")
        sheet.write(width - MARGIN_PX, y + CAPTION_PX / 2, f"IoU {score_text(panel.iou)}", align="right")
        y += CAPTION_PX
        for column, view in enumerate(views):
            sheet.paste(_column_left(column), y, view)
        y += len(views[0])
    return sheet.render()


def tile_views(panel: Panel) -> tuple[Picture, Picture, Picture]:
    """Return image, prediction and comparison of a tile, each CELL_PX wide.

    Prediction: the probability of body as heat over the greyed image, with a line where it reaches one half.
    Comparison: COLOURS, of the pixels where prediction and truth reach one half.
    """
    size = (CELL_PX, max(1, round(CELL_PX * panel.truth.shape[0] / panel.truth.shape[1])))
    image = _resize(_rgb(panel.image), size)
    grey = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    probability = _resize(panel.probability, size) / WHOLE
    return image, _heat(grey, probability), _compare(grey, panel, size)


def score_text(score: float, form: str = ".3f") -> str:
    """Return a score in a format, a dash where it is undefined."""
    return UNDEFINED if math.isnan(score) else format(score, form)


def encode(picture: Picture, suffix: str) -> bytes:
    """Return the content of an image file (".png", ".jpg")."""
    # All of the colour: at half its resolution, thin lines fade.
    full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90, *full_colour] if suffix == ".jpg" else []
    _, content = cv2.imencode(suffix, picture[..., ::-1], quality)
    return content.tobytes()


class _Sheet:
    """A white picture to paste pixels and write text on; places in pixels from the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self.canvas: Any = FigureCanvasAgg(self.figure)
        self.pasted: list[tuple[int, int, Picture]] = []

    def paste(self, x: int, y: int, picture: Picture) -> None:
        self.pasted.append((x, y, picture))

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size_pt: float = 9.5,
        weight: str = "normal",
        align: str = "left",
        colour: str = INK,
    ) -> None:
        """Write a line of text, centred vertically at y."""
        place = (x / self.width, 1 - y / self.height)
        style: dict[str, Any] = {
            "fontsize": size_pt,
            "fontweight": weight,
            "ha": align,
            "va": "center",
            "color": colour,
        }
        self.figure.text(*place, text, parse_math=False, **style)

    def fill(self, x: float, y: float, side: float, colour: tuple[int, int, int]) -> None:
        """Fill a square whose upper left corner is x, y."""
        place = (x / self.width, 1 - (y + side) / self.height)
        sides = (side / self.width, side / self.height)
        rgb = tuple(value / 255 for value in colour)
        self.figure.add_artist(Rectangle(place, *sides, facecolor=rgb, transform=self.figure.transFigure))

    def render(self) -> Picture:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
            self.canvas.draw()
        picture = np.array(self.canvas.buffer_rgba())[..., :3].copy()
        for x, y, part in self.pasted:
            picture[y : y + part.shape[0], x : x + part.shape[1]] = part
        return picture


def _head(sheet: _Sheet, y: float) -> None:
    """Name the columns, and the colours of the last one."""
    for column, name in enumerate(VIEWS):
        sheet.write(_column_left(column), y, name, colour=FAINT_INK)
    x = _column_left(2) + 84.0
    for name, colour in COLOURS.items():
        sheet.fill(x, y - 5, 10, colour)
        sheet.write(x + 14, y, name, size_pt=8.5, colour=FAINT_INK)
        x += 18 + 7 * len(name)


def _column_left(column: int) -> int:
    return MARGIN_PX + column * (CELL_PX + GAP_PX)


def _shorten(name: str) -> str:
    """Cut the middle out of a name that would run into the score."""
    return name if len(name) <= LONGEST_NAME else f"{name[:30]}…{name[-(LONGEST_NAME - 31) :]}"


def _rgb(image: NDArray[np.uint8]) -> Picture:
    """Return the first three bands, or the first one as grey."""
    return image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)


def _resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to (width, height): averaged where it shrinks, smooth where it grows."""
    method = cv2.INTER_AREA if pixels.shape[1] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=method), np.uint8)


def _heat(grey: Picture, probability: NDArray[np.float64]) -> Picture:
    # The dark end of the map is left out: over a dim image it would read as shadow.
    heat = colormaps["inferno"](0.25 + 0.7 * probability)[..., :3] * 255
    alpha = 0.85 * np.sqrt(probability)[..., None]
    picture: Picture = np.rint(alpha * heat + (1 - alpha) * 0.75 * grey).astype(np.uint8)
    outlines, _ = cv2.findContours(
        (probability >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, outlines, -1, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def _compare(grey: Picture, panel: Panel, size: tuple[int, int]) -> Picture:
    """Colour the classes on the tile's own grid and average them, so that the fine ones stay true."""
    found, known = panel.probability >= HALF, panel.truth != IGNORE
    building = known & (panel.truth >= HALF)
    classes = {
        "right": found & building,
        "missed": ~found & building,
        "false": found & known & ~building,
        "unknown": ~known,
    }
    colours = np.zeros((*panel.truth.shape, 3), np.uint8)
    for name, where in classes.items():
        colours[where] = COLOURS[name]
    coloured = np.where(colours.any(axis=2), 255, 0).astype(np.uint8)
    share = _resize(coloured, size)[..., None] / 255
    # The resized colours are those times their share, as an average with black.
    picture = COMPARISON_ALPHA * _resize(colours, size) + (1 - COMPARISON_ALPHA * share) * grey
    return np.rint(picture).astype(np.uint8)
