"""Object measures of building polygons: every building is found once, or not at all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.metrics.overlap import Floats, Indices, Overlaps, Polygons, find_overlaps

MIN_IOU = 0.5
MOSTLY = 0.5
"""More than this share of a building's area is most of it."""


@dataclass(frozen=True)
class Matches:
    """One-to-one matches, best first.

    predicted, reference: (n,), indices into the two sets; iou: (n,).
    """

    predicted: Indices
    reference: Indices
    iou: Floats


def match_objects(predicted: Polygons, reference: Polygons, *, min_iou: float = MIN_IOU) -> Matches:
    """Match valid polygons one to one at IoU >= min_iou; see match_best.

    Both sets are clipped to the same area by the caller.
    """
    return match_best(find_overlaps(predicted, reference), min_iou=min_iou)


def match_best(overlaps: Overlaps, *, min_iou: float = MIN_IOU) -> Matches:
    """Match one to one at IoU >= min_iou, the pair with the highest IoU first.

    Where no two polygons of one set overlap, at most one partner can exceed IoU 0.5, and the matches are the
    only ones possible. Where they overlap, or below 0.5, taking the best pair first may miss a match that
    another assignment would have allowed. Equal IoUs go to the earlier prediction, then to the earlier
    reference.
    """
    left, right, iou = overlaps.predicted, overlaps.reference, overlaps.iou
    order = np.lexsort((right, left, -iou))
    chosen = _take_best(left, right, order[iou[order] >= min_iou])
    return Matches(predicted=left[chosen], reference=right[chosen], iou=iou[chosen])


def find_splits(overlaps: Overlaps) -> NDArray[np.bool_]:
    """(R,) True for a reference building in which several predictions mostly lie: it came in parts."""
    inside = overlaps.shared > MOSTLY * overlaps.predicted_area[overlaps.predicted]
    return _several(overlaps.reference[inside], len(overlaps.reference_area))


def find_merges(overlaps: Overlaps) -> NDArray[np.bool_]:
    """(P,) True for a prediction that covers several reference buildings mostly: they came as one."""
    covered = overlaps.shared > MOSTLY * overlaps.reference_area[overlaps.reference]
    return _several(overlaps.predicted[covered], len(overlaps.predicted_area))


def _several(indices: Indices, count: int) -> NDArray[np.bool_]:
    return np.bincount(indices, minlength=count) > 1


def _take_best(left: Indices, right: Indices, order: Indices) -> list[int]:
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
