"""Which polygons of two sets share how much ground."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Polygons = Sequence[BaseGeometry] | NDArray[np.object_]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """All pairs of a predicted and a reference polygon that meet, by prediction, then by reference.

    predicted, reference: (n,) indices of each pair; shared: (n,) area that both cover, 0 where they
    only touch; predicted_area, reference_area: (P,), (R,) of the two sets.
    """

    predicted: Indices
    reference: Indices
    shared: Floats
    predicted_area: Floats
    reference_area: Floats

    @property
    def iou(self) -> Floats:
        """(n,) intersection over union of each pair."""
        both = self.predicted_area[self.predicted] + self.reference_area[self.reference]
        result: Floats = self.shared / (both - self.shared)
        return result


def find_overlaps(predicted: Polygons, reference: Polygons) -> Overlaps:
    """Intersect two sets of valid polygons with areas above 0."""
    ours, theirs = np.asarray(predicted, dtype=object), np.asarray(reference, dtype=object)
    right, left = shapely.STRtree(ours).query(theirs, predicate="intersects")
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    shared = shapely.area(shapely.intersection(ours[left], theirs[right]))
    return Overlaps(left, right, shared, shapely.area(ours), shapely.area(theirs))
