"""The only door for imagery: any raster that GDAL opens becomes 8-bit windows on the network's grid."""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.raster.color import Stretch, fit_stretch, to_grey
from geoconvnext.raster.grid import Window
from geoconvnext.raster.gsd import GroundPixel, NetworkGrid, ground_pixel, network_grid
from geoconvnext.raster.resample import axis_filter, resample
from geoconvnext.raster.source import Source
from geoconvnext.raster.validity import Validity, Values

CHUNK_PX = 2**23
"""A resampled window is made in pieces of about this many native pixels, to bound memory on coarse grids."""


@dataclass(frozen=True)
class Pixels:
    """What the network sees of a window."""

    pixels: NDArray[np.uint8]
    """(bands, height, width) grey values; 0 where the scene has no data."""
    valid: NDArray[np.bool_]
    """(height, width): False without data and outside the scene."""


class Scene:
    """A raster on the grid of a network. A context manager, made by `Scene.open`; one thread at a time."""

    def __init__(
        self, source: Source, pixel: GroundPixel | None, grid: NetworkGrid, warnings: tuple[str, ...]
    ) -> None:
        self._source = source
        self._grid = grid
        self._stretch = _stretch(source)
        self.path = source.path
        """File name or address."""
        self.height, self.width = grid.height, grid.width
        """Pixels of the network's grid."""
        self.bands = source.bands
        """1-based bands of the file, in the network's order."""
        self.crs: Any = source.dataset.crs
        """rasterio CRS, or None."""
        self.transform = _scaled(source.dataset.transform, grid)
        """From (column, row) of the network's grid to the CRS."""
        self.source_gsd_m = pixel.gsd_m if pixel else None
        """Ground sampling distance of the file in metres, or None where unknown."""
        shrink = (grid.across_factor * grid.down_factor) ** 0.5
        self.gsd_m = pixel.gsd_m * shrink if pixel else None
        """Ground sampling distance of the network's grid in metres, or None where unknown."""
        self.warnings = warnings
        """What a user should know about how the scene was understood."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        bands: Sequence[int] | None = None,
        band_count: int | None = None,
        gsd_range_m: tuple[float, float] | None = None,
        gsd_m: float | None = None,
        nodata: float | None = None,
    ) -> Self:
        """Open anything that GDAL opens, also `https://` addresses.

        bands: 1-based, in the network's order; by default red, green, blue, or the first `band_count`.
        gsd_range_m: what the network was made for; a scene outside is resampled to the nearest end.
        gsd_m: states the scene's own ground sampling distance, which it need not know.
        nodata: replaces the declared value. Raises SceneError.
        """
        source = Source(os.fspath(path), bands=bands, band_count=band_count, nodata=nodata)
        measured = _measure(source)
        pixel = measured if gsd_m is None else GroundPixel(gsd_m, gsd_m)
        grid = network_grid(source.height, source.width, pixel, gsd_range_m)
        notes = _notes(source, measured, pixel, gsd_range_m)
        return cls(source, pixel, grid, (*source.warnings, *notes))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.dataset.close()

    def reopened(self) -> Self:
        """Return the same scene behind a file handle of its own, for another thread. Raises SceneError."""
        twin = copy.copy(self)
        twin._source = self._source.reopened()  # noqa: SLF001 - its own kind
        return twin

    @property
    def block_px(self) -> tuple[int, int]:
        """Rows and columns of the network's grid under a block of the file, at least 1."""
        rows, cols = self._source.dataset.block_shapes[0]
        down, across = self._grid.down_factor, self._grid.across_factor
        return max(1, round(rows / down)), max(1, round(cols / across))

    def read(self, window: Window) -> Pixels:
        """Read a window; what lies beyond the scene is its reflection, and invalid.

        Raises SceneError where the file is truncated or damaged.
        """
        return read_reflected(self._read_inside, window, self.height, self.width)

    def _read_inside(self, window: Window) -> Pixels:
        grid, source = self._grid, self._source
        if grid.is_native:
            return self._grey(*source.read(window))
        down = axis_filter(window.row, window.height, factor=grid.down_factor, length=source.height)
        across = axis_filter(window.col, window.width, factor=grid.across_factor, length=source.width)
        wanted = Window(down.start, across.start, down.stop - down.start, across.stop - across.start)
        if wanted.height * wanted.width > CHUNK_PX and window.height > 1:
            upper = Window(window.row, window.col, window.height // 2, window.width)
            lower = Window(window.row + upper.height, window.col, window.height - upper.height, window.width)
            return _stacked(self._read_inside(upper), self._read_inside(lower))
        return self._grey(*resample(*source.read(wanted), down, across))

    def _grey(self, values: Values, valid: Validity) -> Pixels:
        """Bring values to 8 bits, and invalid ones to 0."""
        pixels = to_grey(values) if self._stretch is None else self._stretch(values)
        if valid is None:
            return Pixels(pixels, np.ones(pixels.shape[1:], np.bool_))
        if not valid.all():
            pixels[:, ~valid] = 0
        return Pixels(pixels, valid)


def read_reflected(read: Callable[[Window], Pixels], window: Window, height: int, width: int) -> Pixels:
    """Read a window of a scene of that size; what lies beyond the scene is its reflection, and invalid.

    read: gives windows inside the scene.
    """
    rows, rows_inside = reflected(window.row, window.height, height)
    cols, cols_inside = reflected(window.col, window.width, width)
    inner = Window(int(rows.min()), int(cols.min()), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    known = read(inner)
    if inner == window:
        return known
    rows, cols = rows - inner.row, cols - inner.col
    pixels = known.pixels.take(rows, axis=1).take(cols, axis=2)
    valid = known.valid.take(rows, axis=0).take(cols, axis=1)
    return Pixels(pixels, valid & rows_inside[:, None] & cols_inside)


def reflected(start: int, count: int, extent: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Positions inside the scene for a run that may leave it, and which of them did not leave it.

    Reflected once; where the scene is too small for that, its edge is repeated.
    """
    run = np.arange(start, start + count)
    folded = np.where(run < extent, np.abs(run), 2 * (extent - 1) - run)
    return np.clip(folded, 0, extent - 1), (run >= 0) & (run < extent)


def _stacked(upper: Pixels, lower: Pixels) -> Pixels:
    pixels = np.concatenate([upper.pixels, lower.pixels], axis=1)
    return Pixels(pixels, np.concatenate([upper.valid, lower.valid]))


def _stretch(source: Source) -> Stretch | None:
    """8-bit scenes pass untouched."""
    return None if source.dtype == np.uint8 else fit_stretch(*source.sample())


def _measure(source: Source) -> GroundPixel | None:
    if source.dataset.crs is None:
        return None
    return ground_pixel(source.dataset.crs, source.dataset.transform, source.height, source.width)


def _scaled(transform: Affine, grid: NetworkGrid) -> Affine:
    """Transform of a grid with the same corners and larger or smaller pixels."""
    a, b, c, d, e, f = transform[:6]
    across, down = grid.across_factor, grid.down_factor
    return Affine(a * across, b * down, c, d * across, e * down, f)


def _notes(
    source: Source,
    measured: GroundPixel | None,
    pixel: GroundPixel | None,
    gsd_range_m: tuple[float, float] | None,
) -> list[str]:
    """Say what a user should know about the georeference."""
    notes = []
    if source.dataset.crs is None:
        control = " It has ground control points: gdalwarp would use them." if source.dataset.gcps[0] else ""
        notes.append(f"no CRS: results are in pixel coordinates.{control}")
    if pixel is None:
        notes.append(
            "ground sampling distance unknown: pixels are used as they are; state gsd_m if you know it"
        )
    elif measured is not None and abs(measured.gsd_m / pixel.gsd_m - 1) > 0.05:
        notes.append(
            f"gsd_m says {pixel.gsd_m:.3g} m, the georeference {measured.gsd_m:.3g} m: gsd_m is used"
        )
    if pixel is not None and gsd_range_m is not None and pixel.gsd_m > 1.5 * gsd_range_m[1]:
        notes.append(
            f"{pixel.gsd_m:.3g} m pixels are coarser than the {gsd_range_m[0]:.3g} to {gsd_range_m[1]:.3g} m "
            "that the network was made for: expect missing buildings"
        )
    return notes
