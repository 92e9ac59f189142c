"""Windows cut from slabs of rows that several threads read ahead, so that no block is decoded twice."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import local
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Pixels, Scene, read_reflected, reflected

SLAB_ROWS = 256
"""Rows read at a time, at least; whole blocks of the file."""
PIECE_PX = 2**21
"""A thread reads about this many pixels of a slab at a time; whole blocks of the file."""


@dataclass(frozen=True)
class Slab:
    """Rows over the whole width of a scene."""

    first: int
    """First row."""
    pixels: NDArray[np.uint8]
    """(bands, rows, width)."""
    valid: NDArray[np.bool_]
    """(rows, width)."""

    @property
    def stop(self) -> int:
        """One past the last row."""
        return self.first + len(self.valid)

    @classmethod
    def joined(cls, pieces: list[Pixels], first: int) -> Self:
        """Put pieces side by side."""
        if len(pieces) == 1:
            return cls(first, pieces[0].pixels, pieces[0].valid)
        pixels = np.concatenate([piece.pixels for piece in pieces], axis=2)
        return cls(first, pixels, np.concatenate([piece.valid for piece in pieces], axis=1))


class SlabReader:
    """Reads slabs of a scene in threads, each with a file handle of its own. A context manager."""

    def __init__(self, scene: Scene, threads: int) -> None:
        self._scene = scene
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._own = local()
        self._opened: list[Scene] = []
        block_rows, block_cols = scene.block_px
        self.rows = block_rows * -(-SLAB_ROWS // block_rows)
        """Rows of a slab; the last one may have fewer."""
        self._cols = block_cols * max(1, PIECE_PX // (self.rows * block_cols))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for scene in self._opened:
            scene.close()

    def read(self, numbers: Iterable[int]) -> Iterator[Slab]:
        """Slabs by their numbers from the top, ascending. Raises SceneError."""
        pieces = (piece for number in numbers for piece in self._pieces(number))
        waiting: deque[tuple[Window, Future[Pixels]]] = deque()
        row: list[Pixels] = []
        for piece in itertools.chain(pieces, [None]):
            if piece:
                waiting.append((piece, self._pool.submit(self._read, piece)))
            # Two pieces per thread are under way; what is done waits for its neighbours.
            while waiting and (piece is None or len(waiting) > 2 * self._threads):
                window, future = waiting.popleft()
                row.append(future.result())
                if window.col + window.width == self._scene.width:
                    yield Slab.joined(row, window.row)
                    row = []

    def _pieces(self, number: int) -> Iterator[Window]:
        """Windows that make up a slab, left to right."""
        first = number * self.rows
        rows = min(self.rows, self._scene.height - first)
        for col in range(0, self._scene.width, self._cols):
            yield Window(first, col, rows, min(self._cols, self._scene.width - col))

    def _read(self, window: Window) -> Pixels:
        if not hasattr(self._own, "scene"):
            self._own.scene = self._scene.reopened()
            self._opened.append(self._own.scene)
        own: Scene = self._own.scene
        return own.read(window)


def read_windows(scene: Scene, windows: Iterable[Window], *, threads: int) -> Iterator[tuple[Window, Pixels]]:
    """Read windows in the order of a TileGrid, each pixel of the file once. Raises SceneError.

    Windows without data are left out. Beyond the scene lies its reflection, invalid, as in Scene.read.
    """
    tile_rows = [list(row) for _, row in itertools.groupby(windows, key=lambda window: window.row)]
    with SlabReader(scene, threads) as reader:
        needed = [_slab_numbers(row[0], reader.rows, scene.height) for row in tile_rows]
        source = reader.read(sorted(set(itertools.chain.from_iterable(needed))))
        slabs: deque[Slab] = deque()
        for row, numbers in zip(tile_rows, needed, strict=True):
            while slabs and slabs[0].first < numbers[0] * reader.rows:
                slabs.popleft()
            while not slabs or slabs[-1].first < numbers[-1] * reader.rows:
                slabs.append(next(source))
            for window in row:
                pixels = read_reflected(partial(_cut, slabs), window, scene.height, scene.width)
                if pixels.valid.any():
                    yield window, pixels


def _slab_numbers(window: Window, rows: int, height: int) -> range:
    """Slabs that hold the rows of a window and of its reflection."""
    inside, _ = reflected(window.row, window.height, height)
    return range(int(inside.min()) // rows, int(inside.max()) // rows + 1)


def _cut(slabs: Iterable[Slab], window: Window) -> Pixels:
    """Cut a window inside the scene from slabs that hold its rows."""
    cols = slice(window.col, window.col + window.width)
    pixels, valid = [], []
    for slab in slabs:
        rows = slice(max(window.row - slab.first, 0), max(window.row + window.height - slab.first, 0))
        pixels.append(slab.pixels[:, rows, cols])
        valid.append(slab.valid[rows, cols])
    return Pixels(np.concatenate(pixels, axis=1), np.concatenate(valid))
