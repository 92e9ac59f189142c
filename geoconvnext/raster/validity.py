"""Which pixels of a raster hold data: nodata values, masks, transparency and NaN."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags

Values = NDArray[np.number]
Validity = NDArray[np.bool_] | None
"""(height, width), or None where every pixel is valid."""


@dataclass(frozen=True)
class ValidityRule:
    """What a pixel must fulfil to be valid."""

    nodata: tuple[Any, ...]
    """Per chosen band the value that means no data, in the band's sample format, or None."""
    mask_bands: tuple[int, ...]
    """Bands whose masks count; a pixel is valid where one of them says so."""
    alpha: int | None
    """Transparency: a pixel is valid where this band is not 0."""

    def __call__(self, dataset: Any, values: Values, where: dict[str, Any]) -> Validity:
        """Judge `values` (bands, height, width), which `dataset.read(..., **where)` gave."""
        conditions = list(self._conditions(dataset, values, where))
        return np.all(conditions, axis=0) if conditions else None

    def _conditions(self, dataset: Any, values: Values, where: dict[str, Any]) -> Iterator[NDArray[np.bool_]]:
        """Nothing is read for a file without mask or alpha."""
        if all(value is not None for value in self.nodata):
            # GDAL's rule for datasets: invalid where all bands are nodata; 0 in one of them may be just dark.
            pairs = zip(values, self.nodata, strict=True)
            yield np.asarray(np.any([band != nodata for band, nodata in pairs], axis=0))
        if values.dtype.kind == "f":
            yield np.asarray(np.isfinite(values).all(axis=0))
        if self.alpha is not None:
            yield dataset.read(self.alpha, **where) != 0
        if self.mask_bands:
            yield (dataset.read_masks(list(self.mask_bands), **where) != 0).any(axis=0)


def validity_rule(
    dataset: Any, bands: tuple[int, ...], *, alpha: int | None, nodata: float | None
) -> ValidityRule:
    """Rule of a rasterio dataset for the chosen bands; `nodata` replaces the declared values."""
    declared = [dataset.nodatavals[band - 1] if nodata is None else nodata for band in bands]
    values = tuple(_as_sample(value, np.dtype(dataset.dtypes[bands[0] - 1])) for value in declared)
    return ValidityRule(values, _mask_bands(dataset, bands), alpha)


def _mask_bands(dataset: Any, bands: tuple[int, ...]) -> tuple[int, ...]:
    """Bands with a mask of their own; one stands for all where the dataset has a common mask."""
    flags = [set(dataset.mask_flag_enums[band - 1]) for band in bands]
    derived = [{MaskFlags.all_valid}, {MaskFlags.nodata}, {MaskFlags.per_dataset, MaskFlags.alpha}]
    if any(kinds in derived for kinds in flags):
        return ()
    return bands[:1] if MaskFlags.per_dataset in flags[0] else tuple(dict.fromkeys(bands))


def _as_sample(nodata: float | None, dtype: np.dtype[Any]) -> Any:
    """Bring a nodata value into the sample format; None where no pixel can have it (-9999 in uint8)."""
    if nodata is None or np.isnan(nodata):
        return None  # NaN is never valid anyway
    if dtype.kind == "f":
        return dtype.type(nodata)
    limits = np.iinfo(dtype)
    return dtype.type(nodata) if nodata == int(nodata) and limits.min <= nodata <= limits.max else None
