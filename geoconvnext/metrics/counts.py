"""Right, wrong and missed: what every ratio of this room is made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.metrics.ratio import ratio

Number = float | NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Pixels, areas or buildings that are right (tp), wrong (fp) and missed (fn); counts add up.

    Each may be an array, say with an entry per scene; the ratios are float64 arrays of that shape, () for
    plain numbers, and NaN where they are undefined: nothing predicted, nothing to find, or neither.
    """

    tp: Number = 0
    fp: Number = 0
    fn: Number = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Return the counts of both together."""
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of what is predicted that is right."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of what was to be found that is found."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union."""
        return ratio(self.tp, self.tp + self.fp + self.fn)
