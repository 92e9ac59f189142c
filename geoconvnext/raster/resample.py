"""Separable resampling whose result depends on the scene alone, never on the window that asks.

Area average where pixels become larger, cubic convolution (Keys 1981, a = -0.5) where they become smaller.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-4
"""More than what float32 sums of weights differ from one."""


@dataclass(frozen=True)
class AxisFilter:
    """The source pixels and their weights for a run of output pixels along one axis."""

    start: int
    """First source pixel needed."""
    stop: int
    """One past the last source pixel needed."""
    taps: NDArray[np.intp]
    """(taps, outputs) positions relative to `start`."""
    weights: NDArray[np.float32]
    """(taps, outputs), summing to one over the taps."""

    def apply(self, values: NDArray[np.number], axis: int) -> NDArray[np.float32]:
        """Filter an array that holds the source pixels `start:stop` along the axis."""
        shape = [1] * values.ndim
        shape[axis] = -1
        outputs = list(values.shape)
        outputs[axis] = self.taps.shape[1]
        total = np.zeros(outputs, np.float32)
        for tap, weight in zip(self.taps, self.weights, strict=True):
            total += values.take(tap, axis) * weight.reshape(shape)
        return total


def axis_filter(first: int, count: int, *, factor: float, length: int) -> AxisFilter:
    """Filter for outputs `first : first + count`, each `factor` of the `length` source pixels wide."""
    outputs = np.arange(first, first + count)
    if factor == 1:
        taps, weights = outputs[None], np.ones((1, count))
    elif factor > 1:
        taps, weights = _area(outputs, factor)
    else:
        taps, weights = _cubic(outputs, factor)
    taps = np.clip(taps, 0, length - 1)
    start = int(taps.min())
    return AxisFilter(start, int(taps.max()) + 1, taps - start, weights.astype(np.float32))


def _area(outputs: NDArray[np.intp], factor: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Weights by the share of an output that each source pixel covers."""
    left, right = outputs * factor, (outputs + 1) * factor
    taps = np.floor(left).astype(np.intp) + np.arange(math.ceil(factor) + 1)[:, None]
    covered = np.minimum(taps + 1, right) - np.maximum(taps, left)
    return taps, np.clip(covered, 0, None) / factor


def _cubic(outputs: NDArray[np.intp], factor: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Weights of the four source pixels around an output's centre."""
    centre = (outputs + 0.5) * factor - 0.5
    taps = np.floor(centre).astype(np.intp) + np.arange(-1, 3)[:, None]
    x = np.abs(taps - centre)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return taps, np.where(x <= 1, near, far)


def resample(
    values: NDArray[np.number], valid: NDArray[np.bool_] | None, down: AxisFilter, across: AxisFilter
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Filter the source pixels (bands, `down.start:stop`, `across.start:stop`) along both axes.

    Invalid pixels take no part; an output is valid where more than half of its weight is.
    """
    if valid is None or valid.all():
        return _filter(values, down, across), None if valid is None else np.ones(
            _shape(down, across), np.bool_
        )
    if not valid.any():
        return np.zeros((len(values), *_shape(down, across)), np.float32), np.zeros(
            _shape(down, across), np.bool_
        )
    share = _filter(valid.astype(np.float32)[None], down, across)
    # So that a pixel far from the gap is the same in windows with and without it.
    share[share > 1 - ROUNDING] = 1
    total = _filter(np.where(valid, values, 0), down, across)
    known = share[0] > 0.5
    return np.divide(total, share, out=np.zeros_like(total), where=known), known


def _filter(values: NDArray[np.number], down: AxisFilter, across: AxisFilter) -> NDArray[np.float32]:
    return across.apply(down.apply(values, axis=1), axis=2)


def _shape(down: AxisFilter, across: AxisFilter) -> tuple[int, int]:
    return down.weights.shape[1], across.weights.shape[1]
