"""Object measures of building polygons: every building is found once, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geoconvnext.metrics.ratio import ratio

Polygons = Sequence[BaseGeometry] | NDArray[np.object_]


@dataclass(frozen=True)
class ObjectScores:
    """Matches between predicted and reference buildings; scores of several areas add up.

    tp: matched pairs; fp: predicted buildings without a match, duplicates among them; fn: reference buildings
    without a match; iou_sum: sum of the matched pairs' IoU. Ratios are NaN where they are undefined.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: "ObjectScores") -> "ObjectScores":
        """Return the scores of both areas together."""
        return ObjectScores(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou_sum + other.iou_sum
        )

    @property
    def precision(self) -> float:
        """Share of the predicted buildings that are right."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the reference buildings that are found."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the matched pairs."""
        return ratio(self.iou_sum, self.tp)


@dataclass(frozen=True)
class Matches:
    """One-to-one matches, best first.

    predicted, reference: int64 (n,), indices into the two sets; iou: float64 (n,).
    """

    predicted: NDArray[np.int64]
    reference: NDArray[np.int64]
    iou: NDArray[np.float64]


def match_objects(predicted: Polygons, reference: Polygons, *, min_iou: float = 0.5) -> Matches:
    """Match valid polygons one to one at IoU >= min_iou, the pair with the highest IoU first.

    Where no two polygons of one set overlap, at most one partner can exceed IoU 0.5, and the matches are the
    only ones possible. Where they overlap, or below 0.5, taking the best pair first may miss a match that
    another assignment would have allowed. Equal IoUs go to the earlier prediction, then to the earlier
    reference.
    """
    ours, theirs = np.asarray(predicted, dtype=object), np.asarray(reference, dtype=object)
    left, right = shapely.STRtree(theirs).query(ours, predicate="intersects")
    shared = shapely.area(shapely.intersection(ours[left], theirs[right]))
    union = shapely.area(ours[left]) + shapely.area(theirs[right]) - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0.0)
    order = np.lexsort((right, left, -iou))
    chosen = _take_best(left, right, order[iou[order] >= min_iou])
    return Matches(predicted=left[chosen], reference=right[chosen], iou=iou[chosen])


def score_objects(predicted: Polygons, reference: Polygons, *, min_iou: float = 0.5) -> ObjectScores:
    """Count matches and misses; see match_objects. Both sets are clipped to the same area by the caller."""
    matches = match_objects(predicted, reference, min_iou=min_iou)
    tp = len(matches.iou)
    return ObjectScores(tp, len(predicted) - tp, len(reference) - tp, float(matches.iou.sum()))


def area_iou(predicted: Polygons, reference: Polygons) -> float:
    """Return the IoU of the areas that the two sets cover, however they are divided; NaN for empty sets."""
    ours, theirs = shapely.union_all(predicted), shapely.union_all(reference)
    shared = shapely.area(shapely.intersection(ours, theirs))
    return ratio(float(shared), float(shapely.area(ours) + shapely.area(theirs) - shared))


def _take_best(left: NDArray[np.int64], right: NDArray[np.int64], order: NDArray[np.int64]) -> list[int]:
    """Return the pairs, in order, both sides of which are still free."""
    used_left: set[int] = set()
    used_right: set[int] = set()
    chosen = []
    for pair in order.tolist():
        if left[pair] not in used_left and right[pair] not in used_right:
            used_left.add(int(left[pair]))
            used_right.add(int(right[pair]))
            chosen.append(pair)
    return chosen
