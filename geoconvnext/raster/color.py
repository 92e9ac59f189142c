"""Radiometric normalisation: any sample format becomes the 8 bits that the network sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.0
DARKEST, BRIGHTEST = 1.0, 255.0


@dataclass(frozen=True)
class Stretch:
    """A linear map per band from the scene's values to grey values, clipped to 1..255."""

    low: NDArray[np.float32]
    """(bands,) values that become 1."""
    high: NDArray[np.float32]
    """(bands,) values that become 255; larger than `low`."""

    def __post_init__(self) -> None:
        if self.low.shape != self.high.shape or not (self.low < self.high).all():
            raise ValueError(f"a stretch needs low < high for every band, got {self.low} and {self.high}")

    def __call__(self, values: NDArray[np.number]) -> NDArray[np.uint8]:
        """Grey values (bands, height, width) of values of that shape; NaN becomes 1."""
        gain = ((BRIGHTEST - DARKEST) / (self.high - self.low))[:, None, None]
        grey = (values.astype(np.float32) - self.low[:, None, None]) * gain + np.float32(DARKEST)
        return to_grey(np.nan_to_num(grey, copy=False, nan=DARKEST), darkest=DARKEST)


def fit_stretch(sample: NDArray[np.number], valid: NDArray[np.bool_]) -> Stretch:
    """Stretch between the 1st and 99th percentile of the valid pixels of a sample (bands, height, width)."""
    values = sample[:, valid].astype(np.float64)
    if not values.size:
        return Stretch(np.zeros(len(sample), np.float32), np.ones(len(sample), np.float32))
    low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE), axis=1).astype(np.float32)
    # A constant band has no contrast; any gain does, as long as the interval is not empty in float32.
    smallest = np.maximum(np.abs(low) * np.float32(1e-5), np.float32(1e-6))
    return Stretch(low, np.maximum(high, low + smallest))


def to_grey(values: NDArray[np.number], *, darkest: float = 0.0) -> NDArray[np.uint8]:
    """Round to grey values between `darkest` and 255; 8-bit values pass untouched."""
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    return np.asarray(np.clip(np.rint(values), darkest, BRIGHTEST), np.uint8)
