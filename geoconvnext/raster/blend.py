"""Overlapping windows of probabilities become finished row bands; memory depends on the tile row alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.raster.grid import FULL_WEIGHT, TileGrid, Window

NODATA = 255
"""Value of a probability where the scene has no data; probabilities take 0..254."""


@dataclass(frozen=True)
class RowBand:
    """Finished rows of probabilities over the whole width of the scene."""

    row: int
    """First row, on the grid of the probabilities."""
    probabilities: NDArray[np.uint8]
    """(channels, rows, width): 0..254 = probability * 254, 255 = nodata."""


class Blender:
    """Crossfades windows at their seams with integer weights that sum to a constant.

    Windows come in the grid's order. A window without a single valid pixel may be left out: all that would be
    missing lies under it and is nodata. Where the windows agree on a pixel, the result is that value exactly.
    The bands handed out follow each other without gaps and cover the scene.
    """

    def __init__(self, grid: TileGrid, *, scale: int, channels: int) -> None:
        """Prepare for windows of `channels` probabilities, on a grid `scale` times finer than the scene's."""
        self._grid = grid
        self._scale = scale
        self._channels = channels
        self._ramp = grid.ramp(scale)
        self._near = grid.halo // 2 * scale
        self._far = self._near + len(self._ramp)
        self._tile_row = 0
        self._last_col = -1
        self._strip: NDArray[np.uint8] | None = None
        self._valid = np.zeros((grid.tile, grid.width), np.bool_)
        self._carry: NDArray[np.uint8] | None = None

    def add(
        self, window: Window, probabilities: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> list[RowBand]:
        """Take a window; return the bands above it that no later window touches.

        probabilities: uint8 (channels, scale * tile, scale * tile), 0..254. valid: bool (tile, tile), of the
        scene's pixels. Raises ValueError for windows that are not of the grid or out of order.
        """
        tile_row = self._check(window, probabilities, valid)
        bands = [self._finish_tile_row() for _ in range(self._tile_row, tile_row)]
        self._last_col = window.col
        self._blend_columns(window.col * self._scale, probabilities)
        stop = min(window.col + self._grid.tile, self._grid.width)
        self._valid[:, window.col : stop] = valid[:, : stop - window.col]
        return bands

    def finish(self) -> list[RowBand]:
        """Return what remains after the last window."""
        return [self._finish_tile_row() for _ in range(self._tile_row, len(self._grid.row_starts))]

    def _check(self, window: Window, probabilities: NDArray[np.uint8], valid: NDArray[np.bool_]) -> int:
        grid, side = self._grid, self._grid.tile * self._scale
        fits = window.height == window.width == grid.tile
        if not fits or window.row not in grid.row_starts or window.col not in grid.col_starts:
            raise ValueError(f"{window} is not a window of {grid}")
        tile_row = grid.row_starts.index(window.row)
        if (tile_row, window.col) <= (self._tile_row, self._last_col):
            raise ValueError(f"{window} came out of order")
        if probabilities.shape != (self._channels, side, side) or probabilities.dtype != np.uint8:
            found = f"{probabilities.dtype} {probabilities.shape}"
            raise ValueError(f"expected uint8 {(self._channels, side, side)}, got {found}")
        if valid.shape != (grid.tile, grid.tile):
            raise ValueError(f"expected validity of {(grid.tile, grid.tile)}, got {valid.shape}")
        return tile_row

    def _blend_columns(self, col: int, probabilities: NDArray[np.uint8]) -> None:
        """Lay a window over the strip: fade in over the ramp, replace what lies right of it."""
        width = self._grid.width * self._scale
        if self._strip is None:
            # New memory for every tile row, because the bands handed out are views of it.
            self._strip = np.zeros((self._channels, self._grid.tile * self._scale, width), np.uint8)
        strip = self._strip[:, :, col:]
        alone_from, stop = 0, min(probabilities.shape[2], width - col)
        if col:
            alone_from, fade = self._far, slice(self._near, self._far)
            strip[:, :, fade] = _crossfade(strip[:, :, fade], probabilities[:, :, fade], self._ramp)
        strip[:, :, alone_from:stop] = probabilities[:, :, alone_from:stop]

    def _finish_tile_row(self) -> RowBand:
        """Cut off the rows of the tile row that are final."""
        index, scale, starts = self._tile_row, self._scale, self._grid.row_starts
        first = self._near if index else 0
        stop = self._grid.stride * scale + self._near
        if index + 1 == len(starts):
            stop = (self._grid.height - starts[index]) * scale
        band = self._cut(first, stop)
        self._tile_row, self._last_col, self._strip = index + 1, -1, None
        self._valid = np.zeros_like(self._valid)
        return RowBand(starts[index] * scale + first, band)

    def _cut(self, first: int, stop: int) -> NDArray[np.uint8]:
        """Fade the strip in below the tile row above, keep what the next one needs, erase invalid pixels."""
        strip, scale = self._strip, self._scale
        if strip is None:
            self._carry = None
            shape = (self._channels, stop - first, self._grid.width * scale)
            return np.broadcast_to(np.uint8(NODATA), shape)
        if self._carry is not None:
            fade = strip[:, self._near : self._far]
            fade[...] = _crossfade(self._carry, fade, self._ramp[:, None])
        self._carry = strip[:, stop : stop + len(self._ramp)].copy()
        band = strip[:, first:stop]
        _erase(band, self._valid[first // scale : stop // scale], scale)
        return band


def _crossfade(
    before: NDArray[np.uint8], after: NDArray[np.uint8], weight: NDArray[np.uint16]
) -> NDArray[np.uint8]:
    """Mix with `weight` of FULL_WEIGHT for `after`; 255 * 256 + 128 still fits 16 bits."""
    mixed = before * (FULL_WEIGHT - weight) + after * weight
    return ((mixed + FULL_WEIGHT // 2) // FULL_WEIGHT).astype(np.uint8)


def _erase(band: NDArray[np.uint8], valid: NDArray[np.bool_], scale: int) -> None:
    """Set the band to nodata under invalid pixels of the scene."""
    if valid.all():
        return
    rows, cols = valid.shape
    blocks = band.reshape(len(band), rows, scale, cols, scale)
    assert np.shares_memory(blocks, band)
    np.copyto(blocks, np.uint8(NODATA), where=~valid[:, None, :, None])
