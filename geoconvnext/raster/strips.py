"""Strips of probabilities on disk, one for each tile row: the pieces from which a killed run goes on.

A strip is there complete or not at all. Strips overlap by the rows of a seam; blend_strips() joins them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoconvnext.errors import OutputError
from geoconvnext.output import replacement
from geoconvnext.raster.blend import NODATA, Probabilities, Trusted, cut, drop_ground, fade_in
from geoconvnext.raster.grid import TileGrid, Window

BLOCK_ROWS = 256
GAP_COLS = 2048
"""Columns of nodata between windows are written so many at a time."""
SCHEMA = pa.schema({"probabilities": pa.uint8()})
"""A strip is an Arrow file: left to right the columns that windows made final, cut into
blocks of BLOCK_ROWS rows, top to bottom, a block a batch. A raster of GDAL takes more CPU time."""
OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


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
        return self.folder / f"strip_{number:06}.arrow"

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
        with _place(self.path(number)) as part:
            part.touch()

    def read(self, number: int) -> Iterator[Probabilities]:
        """Pieces of BLOCK_ROWS rows or fewer, top to bottom. Raises OutputError where they are damaged."""
        first, stop = self.rows(number)
        heights = [min(BLOCK_ROWS, stop - row) for row in range(first, stop, BLOCK_ROWS)]
        if not self.path(number).stat().st_size:
            for height in heights:
                yield np.broadcast_to(np.uint8(NODATA), (self.channels, height, self.width))
            return
        try:
            with pa.OSFile(str(self.path(number))) as content, pa.ipc.open_file(content) as file:
                for place, height in enumerate(heights):
                    batches = range(place, file.num_record_batches, len(heights))
                    yield np.concatenate([self._block(file.get_batch(i), height) for i in batches], axis=2)
        except (pa.ArrowException, OSError) as error:
            raise OutputError(
                f"{self.path(number)}: a piece of an earlier run is damaged ({error}); give --overwrite"
            ) from error

    def _block(self, batch: pa.RecordBatch, height: int) -> Probabilities:
        values: Probabilities = batch[0].to_numpy()
        return values.reshape(self.channels, height, -1)


class StripWriter:
    """Joins the windows of a tile row, left to right, and writes them to an Arrow file; see write_strip()."""

    def __init__(self, strips: Strips, number: int, file: pa.RecordBatchFileWriter) -> None:
        self._strips = strips
        self._first, self._stop = strips.rows(number)
        self._inner = strips.inner_rows(number)
        self._cols = Trusted.cols(strips.grid, strips.scale)
        self._start = 0
        self._pending = self._nodata(0)
        self._file = file

    def add(self, window: Window, probabilities: Probabilities, valid: NDArray[np.bool_]) -> None:
        """Take the next window of the row; those without data may be left out.

        probabilities: uint8 (channels, scale * tile, scale * tile), 0..254. valid: bool (tile, tile), of the
        scene's pixels.
        """
        scale = self._strips.scale
        first, stop = self._cols[window.col]
        self.fill(first)
        ours = np.empty((self._strips.channels, self._stop - self._first, stop - first), np.uint8)
        cut(probabilities, valid, self._first - window.row * scale, first - window.col * scale, ours)
        shared = ours[:, :, : self._pending.shape[2]]
        fade_in(self._pending, shared, 0, self._cols.fade, axis=2)
        self._pending = ours

    def fill(self, until: int) -> None:
        """Write what is pending before a column, and nodata from there up to it."""
        while self._start < until:
            if not self._pending.shape[2]:
                self._pending = self._nodata(min(until - self._start, GAP_COLS))
            final = self._pending[:, :, : until - self._start]
            if self._strips.body_level is not None:
                drop_ground(final, self._strips.body_level, *self._inner)
            for row in range(0, final.shape[1], BLOCK_ROWS):
                block = pa.array(final[:, row : row + BLOCK_ROWS].ravel())
                self._file.write_batch(pa.record_batch([block], schema=SCHEMA))
            self._pending = self._pending[:, :, final.shape[2] :]
            self._start += final.shape[2]

    def _nodata(self, cols: int) -> Probabilities:
        return np.full((self._strips.channels, self._stop - self._first, cols), NODATA, np.uint8)


@contextmanager
def write_strip(strips: Strips, number: int) -> Iterator[StripWriter]:
    """Write a strip, which is in place after the block, unless an error left it. Raises OutputError."""
    with (
        _place(strips.path(number)) as part,
        part.open("wb") as content,
        pa.ipc.new_file(content, SCHEMA, options=OPTIONS) as file,
    ):
        writer = StripWriter(strips, number, file)
        yield writer
        writer.fill(strips.width)


@contextmanager
def _place(path: Path) -> Iterator[Path]:
    """Lend a name to write a strip under. Raises OutputError."""
    try:
        with replacement(path) as part:
            yield part
    except OSError as error:
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
