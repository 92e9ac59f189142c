"""Strips of probabilities on disk, one for each tile row: the pieces from which a killed run goes on.

A strip is there complete or not at all. Strips overlap by the rows of a seam; blend_strips() joins them.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.windows import Window as Area

from geoconvnext.errors import OutputError
from geoconvnext.raster.blend import NODATA, Probabilities, Trusted, cut, drop_ground, fade_in
from geoconvnext.raster.gdal import GDAL_ERRORS, environment, open_dataset
from geoconvnext.raster.grid import TileGrid, Window

BLOCK_ROWS, BLOCK_COLS = 256, 512


@dataclass(frozen=True)
class Strips:
    """The strips of a scene in a folder, one for each row of its grid of windows."""

    folder: Path
    grid: TileGrid
    scale: int
    """Probabilities per pixel of the scene along an axis."""
    channels: int
    body_level: int | None = None
    """What no outline at this level of the first channel depends on is dropped; None keeps all."""

    @property
    def width(self) -> int:
        """Columns of the probabilities."""
        return self.grid.width * self.scale

    def __len__(self) -> int:
        return len(self.grid.row_starts)

    def path(self, number: int) -> Path:
        """Where a strip is, or will be; a file without content is a strip without data."""
        return self.folder / f"strip_{number:06}.tif"

    def is_done(self, number: int) -> bool:
        """Whether a strip is there."""
        return self.path(number).exists()

    def inner_rows(self, number: int) -> tuple[int, int]:
        """First and one past the last row of a strip, in it, with neighbours that no other strip changes."""
        first, stop = self.rows(number)
        seam = Trusted.rows(self.grid, self.scale).fade
        above, below = seam if number else 0, seam if number + 1 < len(self) else 0
        return above + 1, max(above + 1, stop - first - below - 1)

    def rows(self, number: int) -> tuple[int, int]:
        """First and one past the last row of a strip, on the grid of the probabilities."""
        return Trusted.rows(self.grid, self.scale)[self.grid.row_starts[number]]

    def write_empty(self, number: int) -> None:
        """Note a strip without data. Raises OutputError."""
        _place(memoryview(b""), self.path(number))

    def read(self, number: int) -> Iterator[Probabilities]:
        """Pieces of BLOCK_ROWS rows or fewer, top to bottom. Raises OutputError where they are damaged."""
        first, stop = self.rows(number)
        heights = [min(BLOCK_ROWS, stop - row) for row in range(first, stop, BLOCK_ROWS)]
        if not self.path(number).stat().st_size:
            for height in heights:
                yield np.broadcast_to(np.uint8(NODATA), (self.channels, height, self.width))
            return
        try:
            with environment(), open_dataset(str(self.path(number))) as file:
                for place, height in enumerate(heights):
                    yield file.read(window=Area(0, place * BLOCK_ROWS, self.width, height))
        except GDAL_ERRORS as error:
            raise OutputError(
                f"{self.path(number)}: a piece of an earlier run is damaged ({error}); give --overwrite"
            ) from error


class StripWriter:
    """Joins the windows of a tile row, left to right. A context manager.

    The strip is in place after the block, unless an error left it. It is compressed in memory first, because
    GDAL does not always notice that a disk is full.
    """

    def __init__(self, strips: Strips, number: int) -> None:
        self._strips = strips
        self._path = strips.path(number)
        self._first, self._stop = strips.rows(number)
        self._inner = strips.inner_rows(number)
        self._cols = Trusted.cols(strips.grid, strips.scale)
        self._start = 0
        self._pending = self._nodata(0)
        self._memory = MemoryFile()
        self._file = self._memory.open(
            driver="GTiff", height=self._stop - self._first, width=strips.width, count=strips.channels,
            dtype="uint8", nodata=NODATA, tiled=True, blockxsize=BLOCK_COLS, blockysize=BLOCK_ROWS,
            interleave="band", compress="zstd", zstd_level=1, bigtiff="if_safer", sparse_ok=True,
            transform=Affine.translation(1, 1),  # any but the identity, of which GDAL warns
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write(self._strips.width)
        self._file.close()
        if error is None:
            _place(self._memory.getbuffer(), self._path)
        self._memory.close()

    def add(self, window: Window, probabilities: Probabilities, valid: NDArray[np.bool_]) -> None:
        """Take the next window of the row; those without data may be left out.

        probabilities: uint8 (channels, scale * tile, scale * tile), 0..254. valid: bool (tile, tile), of the
        scene's pixels.
        """
        scale, fade = self._strips.scale, self._cols.fade
        first, stop = self._cols[window.col]
        row, col = self._first - window.row * scale, first - window.col * scale
        self._write(first)
        there = self._start + self._pending.shape[2]
        self._pending = np.concatenate([self._pending, self._nodata(stop - there)], axis=2)
        ours = self._pending[:, :, first - self._start :]
        cut(probabilities, valid, row, col + fade, ours[:, :, fade:])
        seam = np.empty_like(ours[:, :, :fade])
        cut(probabilities, valid, row, col, seam)
        fade_in(ours[:, :, :fade], seam, 0, fade, axis=2)
        ours[:, :, :fade] = seam

    def _write(self, until: int) -> None:
        """Write what is pending before a column, in whole blocks where more follows."""
        there = self._start + self._pending.shape[2]
        stop = there if there <= until else max(self._start, until - until % BLOCK_COLS)
        if stop > self._start:
            final = self._pending[:, :, : stop - self._start]
            if self._strips.body_level is not None:
                drop_ground(final, self._strips.body_level, *self._inner)
            with environment():
                self._file.write(final, window=Area(self._start, 0, final.shape[2], final.shape[1]))
        self._pending = self._pending[:, :, stop - self._start :]
        self._start = until if there <= until else stop

    def _nodata(self, cols: int) -> Probabilities:
        return np.full((self._strips.channels, self._stop - self._first, cols), NODATA, np.uint8)


def _place(content: memoryview, path: Path) -> None:
    """Write a file that is there complete or not at all. Raises OutputError."""
    draft = path.with_suffix(".part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write to {path.parent}: {error.strerror}; make room, then run the same command again"
        ) from error


def blend_strips(strips: Strips, work: Iterator[object]) -> Iterator[Probabilities]:
    """Bands of BLOCK_ROWS rows or fewer that follow each other from the first row to the last.

    work: is advanced until the strip that comes next is done. Raises what it raises, and OutputError.
    """
    fade = Trusted.rows(strips.grid, strips.scale).fade
    above: list[Probabilities] = []
    for number in range(len(strips)):
        while not strips.is_done(number):
            next(work)
        first, stop = strips.rows(number)
        keep = stop - first - (fade if number + 1 < len(strips) else 0)
        carry, above, row = above, [], 0
        for piece in _faded(strips.read(number), carry, fade):
            if row < keep:
                yield piece[:, : keep - row]
            if row + piece.shape[1] > keep:
                above.append(piece[:, max(keep - row, 0) :].copy())  # a view would hold all of it
            row += piece.shape[1]


def _faded(pieces: Iterator[Probabilities], carry: list[Probabilities], fade: int) -> Iterator[Probabilities]:
    """Pieces of a strip whose first rows fade in from the last rows of the strip above."""
    before = np.concatenate(carry, axis=1) if carry else None
    row = 0
    for piece in pieces:
        shared = min(piece.shape[1], fade - row)
        if before is not None and shared > 0:
            piece = np.array(piece)  # noqa: PLW2901 - one without data cannot be written to
            fade_in(before[:, row : row + shared], piece[:, :shared], row, fade, axis=1)
        row += piece.shape[1]
        yield piece
