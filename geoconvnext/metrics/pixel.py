"""Pixel measures of a building mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.metrics.ratio import ratio


@dataclass(frozen=True)
class PixelCounts:
    """Confusion counts of the class building; counts of several tiles add up.

    Scores are NaN where they are undefined: nothing predicted, nothing to find, or neither.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __add__(self, other: "PixelCounts") -> "PixelCounts":
        """Return the counts of both together."""
        return PixelCounts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def precision(self) -> float:
        """Share of the predicted building pixels that are building."""
        return ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the building pixels that are predicted."""
        return ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def iou(self) -> float:
        """Intersection over union of the building pixels."""
        return ratio(self.true_positive, self.true_positive + self.false_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return ratio(
            2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative
        )


def count_pixels(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], *, ignore: NDArray[np.bool_] | None = None
) -> PixelCounts:
    """Compare two masks of one shape; pixels where `ignore` is True count nowhere."""
    assert predicted.shape == reference.shape, f"masks of {predicted.shape} and {reference.shape}"
    code = predicted.astype(np.uint8) + 2 * reference.astype(np.uint8)
    counted = code.ravel() if ignore is None else code[~ignore]
    true_negative, false_positive, false_negative, true_positive = np.bincount(counted, minlength=4).tolist()
    return PixelCounts(true_positive, false_positive, false_negative, true_negative)
