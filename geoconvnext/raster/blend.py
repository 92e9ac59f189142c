"""Overlapping windows of probabilities become one: at each seam one fades into the other.

Every window is trusted up to half a halo from its edge, so neighbours have a halo of trusted pixels in
common, along both axes. There the weights of the two, integers that sum to FULL_WEIGHT, move from one to the
other. Where the windows agree on a pixel, the result is that value exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.raster.grid import FULL_WEIGHT, TileGrid, ramp

NODATA = 255
"""Value of a probability where the scene has no data; probabilities take 0..254."""

Probabilities = NDArray[np.uint8]
"""(channels, rows, columns): 0..254 = probability * 254, 255 = nodata."""


@dataclass(frozen=True)
class Trusted:
    """The trusted pixels of the windows of a grid along one axis, on a grid `scale` times finer."""

    starts: range
    """First pixels of the windows."""
    extent: int
    """Pixels of the scene."""
    tile: int
    halo: int
    scale: int

    @classmethod
    def rows(cls, grid: TileGrid, scale: int) -> "Trusted":
        """Rows of the tile rows."""
        return cls(grid.row_starts, grid.height, grid.tile, grid.halo, scale)

    @classmethod
    def cols(cls, grid: TileGrid, scale: int) -> "Trusted":
        """Columns of the windows."""
        return cls(grid.col_starts, grid.width, grid.tile, grid.halo, scale)

    def __getitem__(self, start: int) -> tuple[int, int]:
        """First and one past the last trusted pixel of the window that starts at a pixel of the scene."""
        first = start + self.halo // 2 if start else 0
        stop = start + self.tile - self.halo // 2 if start != self.starts[-1] else self.extent
        return first * self.scale, stop * self.scale

    @property
    def fade(self) -> int:
        """Pixels that neighbours have in common."""
        return self.halo * self.scale


def fade_in(before: Probabilities, after: Probabilities, first: int, length: int, axis: int) -> None:
    """Let `after` take over from `before`, in place of `after`, along axis 1 (rows) or 2 (columns).

    Both hold the same pixels, which begin `first` pixels into a seam of `length`. Where one of them is nodata
    the other counts alone.
    """
    weights = ramp(length)[first : first + after.shape[axis]]
    spread = np.empty(after.shape[1:], weights.dtype)
    spread[:] = weights if axis == 2 else weights[:, None]
    _mix(before, after, spread)


@kernel
def _mix(before: Probabilities, after: Probabilities, weights: NDArray[np.uint16]) -> None:
    """Mix in 16 bits, which hold NODATA * FULL_WEIGHT, and without a branch: many pixels at once."""
    full, half = np.uint16(FULL_WEIGHT), np.uint16(FULL_WEIGHT // 2)
    channels, rows, cols = after.shape
    for channel in range(channels):
        for row in range(rows):
            before_row, after_row, weights_row = before[channel, row], after[channel, row], weights[row]
            for col in range(cols):
                old, new, weight = np.uint16(before_row[col]), np.uint16(after_row[col]), weights_row[col]
                alone = np.uint16(0) if new == NODATA else weight
                weight = full if old == NODATA else alone
                mixed = np.uint16(old * np.uint16(full - weight)) + np.uint16(new * weight)
                after_row[col] = np.uint8(np.uint16(mixed + half) // full)


def cut(
    probabilities: Probabilities, valid: NDArray[np.bool_], row: int, col: int, out: Probabilities
) -> None:
    """Copy the pixels of a window from (row, col) on into `out`, nodata where the scene is not valid.

    valid: of the window's pixels (tile, tile); the probabilities may be on a finer grid.
    """
    out[:] = probabilities[:, row : row + out.shape[1], col : col + out.shape[2]]
    if not valid.all():
        _erase(out, valid, row, col, probabilities.shape[1] // valid.shape[0])


@kernel
def _erase(out: Probabilities, valid: NDArray[np.bool_], row: int, col: int, scale: int) -> None:
    channels, rows, cols = out.shape
    for i in range(rows):
        for j in range(cols):
            if not valid[(row + i) // scale, (col + j) // scale]:
                for channel in range(channels):
                    out[channel, i, j] = NODATA


@kernel
def drop_ground(probabilities: Probabilities, level: int, first: int, stop: int) -> None:
    """Set rows `first` to `stop` to 0 but where the body of a pixel or a neighbour is `level` or more.

    In place; what is dropped compresses to nothing, and no outline depends on it. Nodata stays. Rows
    `first - 1` and `stop` must be there. The outermost columns stay: their neighbours are not here.
    """
    channels, _, cols = probabilities.shape
    body = probabilities[0]
    column = np.empty(cols, np.uint8)
    near = np.ones((stop - first, cols), np.uint8)
    for row in range(first, stop):
        for col in range(cols):
            column[col] = (
                (body[row - 1, col] >= level) | (body[row, col] >= level) | (body[row + 1, col] >= level)
            )
        for col in range(1, cols - 1):
            near[row - first, col] = column[col - 1] | column[col] | column[col + 1]
    for channel in range(channels):
        for row in range(first, stop):
            for col in range(cols):
                probabilities[channel, row, col] *= near[row - first, col]
