"""Windows with a halo that cover a scene of any size. Integers in, integers out, no files."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRIDE_PX = 32
"""Windows start at multiples of this, so that all show a pixel in the same phase of a stride-32 network."""

FULL_WEIGHT = 256
"""Integer weights of a pixel's windows sum to this along each axis."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels of the network's grid; it may reach beyond the scene."""

    row: int
    """First row; negative above the scene."""
    col: int
    """First column; negative left of the scene."""
    height: int
    """Rows, at least 1."""
    width: int
    """Columns, at least 1."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a window needs at least one pixel, got {self.height} x {self.width}")


@dataclass(frozen=True)
class TileGrid:
    """The fewest `tile` x `tile` windows that cover a scene, with neighbours overlapping by two halos.

    The seam between two windows lies in the middle of their overlap, one halo from the edge of either. Around
    it the weight moves from one to the other over the length of a halo, so the outer half of a halo is never
    trusted. The first window starts at the scene's own border, the last one may reach beyond it.
    """

    height: int
    """Rows of the scene."""
    width: int
    """Columns of the scene."""
    tile: int = 512
    """Rows and columns of every window, a multiple of 32."""
    halo: int = 64
    """Distance in pixels from a window's edge to the seam, a multiple of 32, 0 for no overlap."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a scene needs at least one pixel, got {self.height} x {self.width}")
        if self.tile % STRIDE_PX or self.halo % STRIDE_PX or self.halo < 0:
            raise ValueError(f"tile and halo are multiples of {STRIDE_PX}, got {self.tile} and {self.halo}")
        if self.tile <= 2 * self.halo:
            raise ValueError(f"the tile must be larger than two halos, got {self.tile} and {self.halo}")

    @property
    def stride(self) -> int:
        """Pixels from the start of one window to the start of the next."""
        return self.tile - 2 * self.halo

    @property
    def row_starts(self) -> range:
        """First rows of the tile rows."""
        return self._starts(self.height)

    @property
    def col_starts(self) -> range:
        """First columns of the windows in every tile row."""
        return self._starts(self.width)

    def rows(self) -> Iterator[tuple[Window, ...]]:
        """Yield the windows, one tuple per tile row, top to bottom and left to right."""
        for row in self.row_starts:
            yield tuple(Window(row, col, self.tile, self.tile) for col in self.col_starts)

    def __iter__(self) -> Iterator[Window]:
        """All windows in row-major order."""
        for row in self.rows():
            yield from row

    def __len__(self) -> int:
        return len(self.row_starts) * len(self.col_starts)

    def ramp(self, scale: int = 1) -> NDArray[np.uint16]:
        """Weights of a window over its predecessor, on a grid `scale` times finer.

        It applies from `halo / 2` to `3 * halo / 2` after the window's start: before it the predecessor
        counts alone (weight 0), after it the window alone (weight `FULL_WEIGHT`).
        """
        return ramp(self.halo * scale)

    def _starts(self, extent: int) -> range:
        beyond_first = max(0, extent - self.tile)
        count = 1 + -(-beyond_first // self.stride)
        return range(0, count * self.stride, self.stride)


def ramp(length: int) -> NDArray[np.uint16]:
    """Weights of a window over its predecessor along a seam of `length` pixels, of FULL_WEIGHT."""
    middles = (np.arange(length) + 0.5) / max(length, 1)
    return np.rint(middles * FULL_WEIGHT).astype(np.uint16)
