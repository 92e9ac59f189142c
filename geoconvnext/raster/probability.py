"""Probability rasters of this tool or any other, read row band by row band as the vector stage takes them."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.errors import ConfigError, SceneError
from geoconvnext.raster.blend import NODATA, Probabilities
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset
from geoconvnext.raster.grid import Window
from geoconvnext.raster.gsd import ground_pixel
from geoconvnext.raster.source import Source
from geoconvnext.raster.validity import Values

CHANNELS = ("body", "edge", "contact")
"""What the vector stage takes, in its order; bands of these names are found by them."""
TOP = 254
"""Level of the probability 1."""
BAND_ROWS = 512
"""Rows of a band, about: whole blocks, unless blocks have more than twice as many."""
PIECE_PX = 2**20
"""Values take many times the memory of levels, so they are read in pieces of about this many pixels."""


@dataclass(frozen=True)
class Channel:
    """One of CHANNELS in a file: level = value * factor + shift."""

    source: Source
    """Opened for one band."""
    factor: float
    shift: float

    @property
    def meaning(self) -> str:
        """How its values are read, in words."""
        one, zero = (TOP - self.shift) / self.factor, -self.shift / self.factor
        return f"{self.source.dtype}, {one:g} means 1" + (f", {zero:g} means 0" if self.shift else "")

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Levels of a window, NODATA where it has none. SceneError: damaged file, or no probabilities."""
        values, valid = self.source.read(window)
        levels = self._to_levels(values[0])
        known = np.ones(levels.shape, np.bool_) if valid is None else valid
        wrong = values[0][known & (levels == NODATA)]
        if wrong.size:
            raise SceneError(
                f"{self.source.path}: band {self.source.bands[0]} is read as probabilities ({self.meaning}),"
                f" but holds {wrong.min():g} to {wrong.max():g}. State with --max-value which value means 1,"
                " or with --nodata which one means no data; of logits, take the sigmoid first."
            )
        return np.where(known, levels, np.uint8(NODATA))

    def _to_levels(self, values: Values) -> NDArray[np.uint8]:
        """Round to levels; NODATA where they lie outside 0..TOP."""
        if values.dtype != np.uint8:
            return self._round(values)
        every = np.arange(256, dtype=np.uint8)
        table = self._round(every)
        return np.asarray(values if np.array_equal(table, every) else table[values], np.uint8)

    def _round(self, values: Values) -> NDArray[np.uint8]:
        with np.errstate(over="ignore", invalid="ignore"):  # of values that mean no data
            levels = np.rint(values * self.factor + self.shift)
        is_level = (levels >= 0) & (levels <= TOP)
        return np.where(is_level, levels, NODATA).astype(np.uint8)


class ProbabilityRaster:
    """Probabilities of buildings in a file. A context manager, made by `ProbabilityRaster.open`.

    They come as levels: uint8 of CHANNELS, 0..TOP = probability * TOP rounded, NODATA where the body has no
    data. Where there is no edge or no contact, it is 0.
    """

    def __init__(self, channels: Mapping[str, Channel], notes: tuple[str, ...]) -> None:
        self._channels = [(CHANNELS.index(name), channel) for name, channel in channels.items()]
        body = channels[CHANNELS[0]]
        self._dataset = dataset = body.source.dataset
        self.path = body.source.path
        """File name or address."""
        self.height, self.width = body.source.height, body.source.width
        self.crs: Any = dataset.crs
        """rasterio CRS, or None."""
        self.transform = Affine(*dataset.transform[:6])
        """From (column, row) to the CRS."""
        self.tags: dict[str, str] = dataset.tags()
        """What the file says of itself."""
        self.places = {name: channel.source.bands[0] for name, channel in channels.items()}
        """1-based bands, by what they hold."""
        self.meaning = body.meaning
        """How values are read, in words."""
        self.warnings = (*body.source.warnings, *notes)
        """What a user should know about how the file was understood."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        bands: Sequence[int] | None = None,
        nodata: float | None = None,
        max_value: float | None = None,
    ) -> Self:
        """Open anything that GDAL opens, also `https://` addresses.

        bands: 1-based, of body, edge and contact, the latter two if there are such; by default those of these
        names, else the first band is the body. nodata: replaces the declared value.
        max_value: the value that means 1. By default the declared scale and offset say so; without them it
        is 1, but 255 for 8-bit values of which any is larger than 1. To find out, the file is read as far as
        such a value: only of a mask of 0 and 1 all of it.
        Raises SceneError, and ConfigError where max_value is not above 0.
        """
        if max_value is not None and not 0 < max_value < math.inf:
            raise ConfigError(f"the value that means probability 1 must be above 0, got {max_value}")
        text = os.fspath(path)
        places, notes = _places(text, bands)
        sources = [Source(text, bands=(band,), band_count=None, nodata=nodata) for band in places.values()]
        for other in sources[1:]:  # behind one handle, so that blocks that bands share are decoded once
            other.dataset.close()
            other.dataset = sources[0].dataset
        try:
            byte_top = 1.0 if max_value is None and _is_mask(sources[0]) else 255.0
            channels = [Channel(source, *_scaling(source, max_value, byte_top)) for source in sources]
        except SceneError:
            sources[0].dataset.close()
            raise
        return cls(dict(zip(places, channels, strict=True)), notes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dataset.close()

    @property
    def gsd_m(self) -> float | None:
        """Ground sampling distance in metres, None where the georeference does not tell."""
        pixel = ground_pixel(self.crs, self.transform, self.height, self.width) if self.crs else None
        return pixel.gsd_m if pixel else None

    def bands(self) -> Iterator[Probabilities]:
        """All rows, top to bottom, in bands whose memory depends on the width alone.

        Raises SceneError where the file is damaged or holds what is no probability.
        """
        body = self._channels[0][1].source
        for row, rows in _bands(body):
            levels = np.zeros((len(CHANNELS), rows, self.width), np.uint8)
            for piece in _pieces(body, row, rows):
                top, left = piece.row - row, piece.col
                self._read(piece, levels[:, top : top + piece.height, left : left + piece.width])
            yield levels

    def _read(self, piece: Window, levels: Probabilities) -> None:
        """Read a piece into its part of a band."""
        for index, channel in self._channels:
            levels[index] = channel.read(piece)
        body, others = levels[0], levels[1:]
        others[others == NODATA] = 0
        others[:, body == NODATA] = NODATA


def _places(path: str, bands: Sequence[int] | None) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the band of each channel, body first, and what was guessed. SceneError: too many bands named."""
    if bands is not None and len(bands) > len(CHANNELS):
        raise SceneError(f"{path}: bands {tuple(bands)} were named; name those of {', '.join(CHANNELS)}")
    if bands is not None:
        return dict(zip(CHANNELS, bands, strict=False)), ()
    try:
        with open_dataset(path) as dataset:
            names, count = dataset.descriptions, dataset.count
    except GDAL_ERRORS:
        names, count = (), 0  # whoever opens it next says why
    if CHANNELS[0] in names:
        return {name: names.index(name) + 1 for name in CHANNELS if name in names}, ()
    guess = f"band 1 of {count} is taken as the probability of buildings; name others with --bands if wrong"
    return {CHANNELS[0]: 1}, (guess,) if count > 1 else ()


def _scaling(source: Source, max_value: float | None, byte_top: float) -> tuple[float, float]:
    """Return factor and shift from values to levels.

    byte_top: 8-bit value that means 1 where no scale is declared. SceneError: a scale makes no sense.
    """
    scale, offset = _declared(source)
    if max_value is not None:
        scale, offset = 1 / max_value, 0.0
    elif source.dtype == np.uint8 and (scale, offset) == (1.0, 0.0):
        scale = 1 / byte_top
    if not 0 < scale < math.inf:
        raise SceneError(
            f"{source.path}: band {source.bands[0]} declares a scale of {scale:g}, with which nothing can be"
            " probable; state with --max-value which value means 1"
        )
    return scale * TOP, offset * TOP


def _declared(source: Source) -> tuple[float, float]:
    """Return scale and offset, which are 1 and 0 where the file does not declare any."""
    place = source.bands[0] - 1
    return source.dataset.scales[place], source.dataset.offsets[place]


def _is_mask(body: Source) -> bool:
    """Say whether 8-bit values without a declared scale are 0 and 1 only; SceneError for a damaged file."""
    if body.dtype != np.uint8 or _declared(body) != (1.0, 0.0):
        return False
    for row, rows in _bands(body):
        for piece in _pieces(body, row, rows):
            values, valid = body.read(piece)
            if (values[0] > 1 if valid is None else (values[0] > 1) & valid).any():
                return False
    return True


def _bands(source: Source) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each band."""
    block, _ = source.dataset.block_shapes[0]
    step = BAND_ROWS if block > 2 * BAND_ROWS else max(1, BAND_ROWS // block) * block
    for row in range(0, source.height, step):
        yield row, min(step, source.height - row)


def _pieces(source: Source, row: int, rows: int) -> Iterator[Window]:
    """Windows that cover a band: side by side, or whole rows where blocks are as wide as the file."""
    _, block = source.dataset.block_shapes[0]
    if block >= source.width:
        step = max(1, PIECE_PX // source.width)
        for top in range(row, row + rows, step):
            yield Window(top, 0, min(step, row + rows - top), source.width)
        return
    step = max(1, PIECE_PX // rows // block) * block
    for left in range(0, source.width, step):
        yield Window(row, left, rows, min(step, source.width - left))
