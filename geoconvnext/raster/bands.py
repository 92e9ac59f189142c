"""Which bands of a scene the network sees."""

from collections.abc import Sequence
from dataclasses import dataclass

from rasterio.enums import ColorInterp

from geoconvnext.errors import SceneError

RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
WORLDVIEW_RGB = (5, 3, 2)
"""Red, green, blue of the eight WorldView-2 and -3 bands."""


@dataclass(frozen=True)
class BandChoice:
    """Bands in the network's order."""

    bands: tuple[int, ...]
    """1-based band numbers of the file."""
    warnings: tuple[str, ...] = ()
    """What was guessed."""


def choose_bands(
    colors: Sequence[ColorInterp], *, bands: Sequence[int] | None, band_count: int | None, path: str
) -> BandChoice:
    """Take the bands that were asked for, else red, green and blue, else the first ones.

    colors: colour interpretation of every band of the file. Raises SceneError where the file cannot serve.
    """
    if bands is not None:
        return BandChoice(_checked(colors, tuple(bands), band_count, path))
    data = tuple(number for number, color in enumerate(colors, start=1) if color != ColorInterp.alpha)
    wanted = min(3, len(data)) if band_count is None else band_count
    if len(data) < wanted:
        raise SceneError(
            f"{path}: the network takes {wanted} bands, the scene has {len(data)} (alpha does not count). "
            "Use another scene or other weights, or name the bands; a band may be named more than once."
        )
    palette = [number for number in data[:wanted] if colors[number - 1] == ColorInterp.palette]
    if palette:
        raise SceneError(
            f"{path}: band {palette[0]} holds indices into a colour table, not brightness. "
            "Expand it first: gdal_translate -expand rgb."
        )
    return _rgb(colors, data) if wanted == 3 else _first(data, wanted)


def _checked(
    colors: Sequence[ColorInterp], bands: tuple[int, ...], band_count: int | None, path: str
) -> tuple[int, ...]:
    if band_count is not None and len(bands) != band_count:
        raise SceneError(f"{path}: the network takes {band_count} bands, but bands {bands} were named.")
    missing = [number for number in bands if not 1 <= number <= len(colors)]
    if missing or not bands:
        raise SceneError(f"{path}: bands {bands} were named, the scene has bands 1 to {len(colors)}.")
    return bands


def _rgb(colors: Sequence[ColorInterp], data: tuple[int, ...]) -> BandChoice:
    if all(color in colors for color in RGB):
        declared = tuple(colors.index(color) + 1 for color in RGB)
        if len(data) < 8:
            return BandChoice(declared)
        # Writers mark the first three bands as RGB by default, also where they are coastal, blue and green.
        return BandChoice(declared, (_guess(declared, f"declared so, but check: it has {len(data)} bands"),))
    if len(data) == 8:
        return BandChoice(WORLDVIEW_RGB, (_guess(WORLDVIEW_RGB, "as in WorldView's eight bands"),))
    return BandChoice(data[:3], (_guess(data[:3], "the scene does not say which they are"),))


def _first(data: tuple[int, ...], wanted: int) -> BandChoice:
    bands = data[:wanted]
    if len(data) == wanted:
        return BandChoice(bands)
    return BandChoice(
        bands, (f"bands {bands} are used, the first {wanted} of {len(data)}; name others if wrong",)
    )


def _guess(bands: tuple[int, ...], reason: str) -> str:
    return f"bands {bands} are taken as red, green, blue ({reason}); name others if wrong"
