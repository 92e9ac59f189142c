"""Average precision as COCO defines it: footprints ranked by confidence, matched greedily."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.metrics.overlap import Floats, Indices, Overlaps
from geoconvnext.metrics.ratio import ratio

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0.0, 1.0, 101)

RIGHT, WRONG, LEFT_OUT = 1, 0, -1
_UNMATCHED = -2


@dataclass(frozen=True)
class Ranking:
    """What became of each prediction at each of IOU_THRESHOLDS.

    confidence: (P,); outcome: int8 (10, P), RIGHT, WRONG or LEFT_OUT, which counts nowhere; references:
    number of buildings to be found.
    """

    confidence: Floats
    outcome: NDArray[np.int8]
    references: int

    @property
    def average_precision(self) -> Floats:
        """(10,) average precision at each threshold; NaN without references or with unknown confidences."""
        if self.references == 0 or np.isnan(self.confidence).any():
            return np.full(len(IOU_THRESHOLDS), np.nan)
        order = np.argsort(-self.confidence, kind="stable")
        return np.array([_average_precision(row[order], self.references) for row in self.outcome])


def pool(rankings: Sequence[Ranking]) -> Ranking:
    """Rank the predictions of several areas together."""
    return Ranking(
        np.concatenate([ranking.confidence for ranking in rankings]),
        np.concatenate([ranking.outcome for ranking in rankings], axis=1),
        sum(ranking.references for ranking in rankings),
    )


def rank(
    overlaps: Overlaps, confidence: Floats, *, area_range: tuple[float, float] = (0.0, np.inf)
) -> Ranking:
    """Match predictions of one scene in order of confidence, at each of IOU_THRESHOLDS.

    Each takes the free reference with the highest IoU, which must be the threshold at least. References whose
    area is not in area_range need not be found: who matches one is left out, and so is a prediction that
    matches nothing and is not in the range itself (pycocotools' COCOeval with areaRng, any number of
    detections).
    """
    low, high = area_range
    foreign = (overlaps.reference_area < low) | (overlaps.reference_area > high)
    outside = (overlaps.predicted_area < low) | (overlaps.predicted_area > high)
    place = np.empty(len(confidence), np.int64)
    place[np.argsort(-confidence, kind="stable")] = np.arange(len(confidence))
    # At equal IoU the last reference wins, as it does there.
    order = np.lexsort((overlaps.reference, foreign[overlaps.reference], place[overlaps.predicted]))
    pairs = (overlaps.predicted[order], overlaps.reference[order], overlaps.iou[order])
    outcome = _match_ranked(*pairs, foreign, IOU_THRESHOLDS, len(confidence))
    unmatched = np.where(outside, LEFT_OUT, WRONG).astype(np.int8)
    return Ranking(
        confidence, np.where(outcome == _UNMATCHED, unmatched, outcome), int(np.count_nonzero(~foreign))
    )


@kernel
def _match_ranked(
    predicted: Indices,
    reference: Indices,
    iou: Floats,
    foreign: NDArray[np.bool_],
    thresholds: Floats,
    count: int,
) -> NDArray[np.int8]:
    """Match pairs that stand by prediction, best first, and within it with foreign references last."""
    outcome = np.full((len(thresholds), count), _UNMATCHED, np.int8)
    for level in range(len(thresholds)):
        taken = np.zeros(len(foreign), np.bool_)
        first = 0
        while first < len(predicted):
            best = -1
            highest = min(thresholds[level], 1.0 - 1e-10)
            last = first
            while last < len(predicted) and predicted[last] == predicted[first]:
                other = reference[last]
                worse = best >= 0 and foreign[other] and not foreign[best]
                if not taken[other] and not worse and iou[last] >= highest:
                    best, highest = other, iou[last]
                last += 1
            if best >= 0:
                taken[best] = True
                outcome[level, predicted[first]] = LEFT_OUT if foreign[best] else RIGHT
            first = last
    return outcome


def _average_precision(outcome: NDArray[np.int8], references: int) -> float:
    """Mean over RECALL_POINTS of the best precision at that recall or a higher one; 0 beyond the last."""
    counted = outcome[outcome != LEFT_OUT]
    hits = np.cumsum(counted == RIGHT)
    precision = ratio(hits, np.arange(1, len(counted) + 1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(hits / references, RECALL_POINTS, side="left")
    return float(np.append(best, 0.0)[np.minimum(reached, len(best))].mean())
