"""Does a stated probability mean what it says? Of pixels by probability level, and of footprints."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.metrics.ratio import ratio

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """What was stated against what came true, in bins of equal width over 0..1.

    stated: (bins,) mean stated probability; right: (bins,) share that came true, both NaN where a bin is
    empty; weight: (bins,) number of statements.
    """

    stated: Floats
    right: Floats
    weight: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of stated and true, by statements (arXiv 1706.04599)."""
        used = self.weight > 0
        gap = np.abs(self.stated - self.right)[used] * self.weight[used]
        return float(ratio(gap.sum(), self.weight.sum()))


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall of keeping what is stated as at least a threshold.

    threshold: (n,) falling, each value that was stated, once; precision, recall: (n,), recall is NaN where
    nothing was to be found.
    """

    threshold: Floats
    precision: Floats
    recall: Floats

    @property
    def average_precision(self) -> float:
        """Precision averaged over the steps of recall, without interpolation."""
        if len(self.recall) == 0 or np.isnan(self.recall[0]):
            return float("nan")
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))

    @property
    def f1(self) -> Floats:
        """(n,) harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return np.where(total == 0, 0.0, ratio(2 * self.precision * self.recall, total))

    @property
    def best(self) -> int | None:
        """Position of the highest F1, the highest threshold among equals; None where F1 is undefined."""
        return None if np.isnan(self.f1).all() else int(np.nanargmax(self.f1))


@dataclass(frozen=True)
class Calibration:
    """How stated probabilities came true. brier: their mean squared error."""

    reliability: Reliability
    curve: PrecisionRecall
    brier: float


def calibrate_levels(
    building: NDArray[np.int64], background: NDArray[np.int64], *, bins: int = 20
) -> Calibration:
    """Judge pixels: (levels,) numbers of building and of background pixels of each probability level.

    Level i of n states the probability i / (n - 1): 255 levels are the network's 254ths.
    """
    stated = np.linspace(0.0, 1.0, len(building))
    return _judge(stated, np.asarray(building, np.float64), np.asarray(background, np.float64), bins, None)


def calibrate_footprints(
    confidence: Floats, right: NDArray[np.bool_], *, references: int | None = None, bins: int = 10
) -> Calibration:
    """Judge footprints: (n,) stated probabilities, and whether each one is right.

    references: buildings that were to be found, the whole of recall; None: as many as are right.
    """
    hits = np.asarray(right, np.float64)
    return _judge(np.asarray(confidence, np.float64), hits, 1.0 - hits, bins, references)


def _judge(stated: Floats, true: Floats, false: Floats, bins: int, wanted: int | None) -> Calibration:
    """Statements of one value may stand in several places, with the weight that was true and was false."""
    weight = true + false
    squared = true * (1.0 - stated) ** 2 + false * stated**2
    return Calibration(
        reliability=_reliability(stated, true, weight, bins),
        curve=_curve(stated, true, weight, true.sum() if wanted is None else wanted),
        brier=float(ratio(squared.sum(), weight.sum())),
    )


def _reliability(stated: Floats, true: Floats, weight: Floats, bins: int) -> Reliability:
    place = np.minimum((stated * bins).astype(np.int64), bins - 1)
    in_bin = np.bincount(place, weight, minlength=bins).astype(np.float64)
    return Reliability(
        stated=ratio(np.bincount(place, weight * stated, minlength=bins), in_bin),
        right=ratio(np.bincount(place, true, minlength=bins), in_bin),
        weight=in_bin,
    )


def _curve(stated: Floats, true: Floats, weight: Floats, wanted: float) -> PrecisionRecall:
    used = weight > 0
    threshold, place = np.unique(stated[used], return_inverse=True)
    hits = np.cumsum(np.bincount(place, true[used], minlength=len(threshold))[::-1])
    kept = np.cumsum(np.bincount(place, weight[used], minlength=len(threshold))[::-1])
    return PrecisionRecall(threshold[::-1], precision=ratio(hits, kept), recall=ratio(hits, wanted))
