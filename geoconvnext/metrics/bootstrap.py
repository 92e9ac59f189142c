"""How far a score could have come out otherwise: bootstrap over scenes or blocks of ground."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000
LEVEL = 0.95
BLOCKS_PER_SIDE = 10
MIN_BLOCK_M = 50.0
"""Neighbouring buildings share their errors; smaller blocks would tear them apart."""


def resample(sums: Floats, *, seed: int, draws: int = DRAWS) -> Floats:
    """Draw as many units as there are, with replacement, again and again; return the totals (draws, ...).

    sums: (units, ...) what each unit adds to the totals. With less than two units all totals are NaN.
    """
    units = len(sums)
    totals = np.full((draws, *sums.shape[1:]), np.nan)
    if units > 1:
        rng = np.random.default_rng(seed)
        for draw in range(draws):
            times = np.bincount(rng.integers(units, size=units), minlength=units)
            totals[draw] = np.tensordot(times, sums, axes=1)
    return totals


def interval(values: Floats) -> tuple[float, float]:
    """Percentile interval of LEVEL of resampled scores; NaN where more than that share is undefined."""
    if np.isnan(values).mean() > 1 - LEVEL:
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def lay_blocks(places: Floats) -> NDArray[np.int64]:
    """(n,) number of the square block of ground in which each of the places (n, 2), in metres, lies.

    The blocks number BLOCKS_PER_SIDE along the longer side of what the places extend over, or fewer, so that
    none is smaller than MIN_BLOCK_M.
    """
    if len(places) == 0:
        return np.empty(0, np.int64)
    corner = places.min(axis=0)
    # A little more than the share, so that the last place lies in the last block.
    side = max(float(np.ptp(places, axis=0).max()) / BLOCKS_PER_SIDE * (1 + 1e-9), MIN_BLOCK_M)
    column, row = ((places - corner) // side).astype(np.int64).T
    return np.unique(row * (BLOCKS_PER_SIDE + 1) + column, return_inverse=True)[1]
