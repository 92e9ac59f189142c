"""An open raster file: native values of the chosen bands, and which pixels are valid."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window as Area

from geoconvnext.errors import SceneError
from geoconvnext.raster.bands import choose_bands
from geoconvnext.raster.gdal import CACHE_BYTES, GDAL_ERRORS, environment, open_dataset
from geoconvnext.raster.grid import Window
from geoconvnext.raster.validity import Validity, Values, validity_rule

SAMPLE_PX = 1024
"""Side of the decimated image from which a scene's brightness is estimated."""
PATCHES, PATCH_PX = 8, 128
"""Large scenes without overviews are sampled by this many patches along each axis, of this side."""
CHEAP_PX = 2**24
"""Up to this many pixels, a decimated read of the whole scene costs little even without overviews."""
CACHED_ROWS = 1024
"""Rows of a file in full-width strips that stay in memory, so that a tile row decodes them once."""
MOST_CACHE_BYTES = 2**30


class Source:
    """Native pixels of a raster. Like GDAL's datasets it serves one thread at a time."""

    def __init__(
        self, path: str, *, bands: Sequence[int] | None, band_count: int | None, nodata: float | None
    ) -> None:
        """Open the file and choose its bands; `nodata` replaces the declared value. Raises SceneError."""
        self.path = path
        self.dataset = _open(path)
        self.height: int = self.dataset.height
        self.width: int = self.dataset.width
        self._cache_bytes = _strip_cache_bytes(self.dataset)
        try:
            colors, notes = self._colors(named=bands or ())
            choice = choose_bands(colors, bands=bands, band_count=band_count, path=path)
            self.bands, self.warnings = choice.bands, (*notes, *choice.warnings)
            self.dtype = _sample_format(self.dataset, self.bands, path)
        except SceneError:
            self.dataset.close()
            raise
        alpha = colors.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colors else None
        self._validity = validity_rule(self.dataset, self.bands, alpha=alpha, nodata=nodata)

    def reopened(self) -> Self:
        """Return the same pixels behind a dataset of its own, for another thread. Raises SceneError."""
        twin = copy.copy(self)
        twin.dataset = _open(self.path)
        return twin

    def read(self, window: Window) -> tuple[Values, Validity]:
        """Values (bands, height, width) and validity of a window inside the raster. Raises SceneError."""
        area = Area(window.col, window.row, window.width, window.height)
        with self._reading(str(window)):
            return self._read({"window": area})

    def sample(self) -> tuple[Values, NDArray[np.bool_]]:
        """Values (bands, pixels) and validity (pixels,) from all over the raster, about a million."""
        values, valid = [], []
        with self._reading("a sample of the scene"):
            for where in self._sample_places():
                pixels, known = self._read(where)
                values.append(pixels.reshape(len(pixels), -1))
                valid.append(np.ones(values[-1].shape[1], np.bool_) if known is None else known.ravel())
        return np.concatenate(values, axis=1), np.concatenate(valid)

    def _colors(self, named: Sequence[int]) -> tuple[list[ColorInterp], list[str]]:
        """Colour interpretation of all bands; alpha only where it is transparency."""
        colors, notes = list(self.dataset.colorinterp), []
        for number, color in enumerate(colors, start=1):
            if color == ColorInterp.alpha and number in named:
                colors[number - 1] = ColorInterp.undefined
            elif color == ColorInterp.alpha and self._varies(number):
                colors[number - 1] = ColorInterp.undefined
                notes.append(
                    f"band {number} is declared alpha but varies like an image: not used as transparency"
                )
        return colors, notes

    def _varies(self, band: int) -> bool:
        """Tell an infrared band, which GDAL declares alpha when writing, from transparency of 0 and 255."""
        with self._reading(f"a sample of band {band}"):
            values = np.concatenate([self.dataset.read(band, **at).ravel() for at in self._sample_places()])
        return bool(np.mean((values > 0) & (values < values.max())) > 0.5)

    def _sample_places(self) -> Iterator[dict[str, Any]]:
        """Arguments of `dataset.read`: a decimated image where that is cheap, else a grid of patches."""
        if self.dataset.overviews(1) or self.height * self.width <= CHEAP_PX:
            step = max(1, math.ceil(max(self.height, self.width) / SAMPLE_PX))
            yield {"out_shape": (math.ceil(self.height / step), math.ceil(self.width / step))}
            return
        height, width = min(PATCH_PX, self.height), min(PATCH_PX, self.width)
        for row in np.linspace(0, self.height - height, PATCHES).astype(int):
            for col in np.linspace(0, self.width - width, PATCHES).astype(int):
                yield {"window": Area(int(col), int(row), width, height)}

    def _read(self, where: dict[str, Any]) -> tuple[Values, Validity]:
        values = self.dataset.read(list(self.bands), **where)
        return values, self._validity(self.dataset, values, where)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            with environment(self.path, cache_bytes=self._cache_bytes):
                yield
        except GDAL_ERRORS as error:
            advice = "The file may be truncated or damaged; fetch it again."
            raise SceneError(f"{self.path}: cannot read {what}: {error}. {advice}") from error


def _open(path: str) -> Any:
    """Open a raster with at least one band."""
    try:
        dataset = open_dataset(path)
    except GDAL_ERRORS as error:
        raise SceneError(f"{path}: not a raster that GDAL can open: {error}") from error
    if dataset.count:
        return dataset
    parts = dataset.subdatasets
    dataset.close()
    raise SceneError(
        f"{path}: no image at the top level; open one of its parts: {', '.join(parts) or 'none'}"
    )


def _sample_format(dataset: Any, bands: tuple[int, ...], path: str) -> np.dtype[Any]:
    """Sample format that the bands have in common."""
    formats: set[str] = {dataset.dtypes[band - 1] for band in bands}
    found = ", ".join(sorted(formats))
    if len(formats) > 1:
        raise SceneError(f"{path}: bands {bands} mix sample formats ({found}); convert them to one first.")
    if "complex" in found:
        raise SceneError(f"{path}: bands {bands} hold complex numbers; convert them to amplitudes first.")
    return np.dtype(found)


def _strip_cache_bytes(dataset: Any) -> int:
    """Block cache that keeps a tile row of a file in full-width strips; tiled files need no more."""
    block_height, block_width = dataset.block_shapes[0]
    if block_width < dataset.width:
        return CACHE_BYTES
    rows = min(dataset.height, CACHED_ROWS + block_height)
    pixel_bytes = sum(np.dtype(name).itemsize for name in dataset.dtypes if not name.startswith("complex"))
    return int(min(rows * dataset.width * pixel_bytes, MOST_CACHE_BYTES))
