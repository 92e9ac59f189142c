"""Area measures of polygon sets, however they are divided into buildings: pixel IoU without a pixel grid."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvnext.metrics.counts import Counts
from geoconvnext.metrics.overlap import Floats, Polygons, find_overlaps


@dataclass(frozen=True)
class Placed:
    """Counts with an entry (n,) for each of n things, and where each one is (n, 2)."""

    counts: Counts
    places: Floats


def dissolve(polygons: Polygons) -> NDArray[np.object_]:
    """Return the separate parts of the area that polygons cover; no two of them overlap."""
    given = np.asarray(polygons, dtype=object)
    one, other = shapely.STRtree(given).query(given, predicate="intersects")
    # Most buildings meet no other one, and stay as they are.
    meeting = np.bincount(one[one != other], minlength=len(given)) > 0
    merged = shapely.union_all(given[meeting])
    parts: NDArray[np.object_] = shapely.get_parts(np.append(given[~meeting], merged))
    return parts


def boundary_bands(parts: Polygons, distance: float) -> NDArray[np.object_]:
    """Return what of each part lies within a distance of its boundary; parts as dissolve returns them."""
    bands: NDArray[np.object_] = shapely.difference(parts, shapely.buffer(parts, -distance))
    return bands


def count_areas(predicted: Polygons, reference: Polygons) -> Placed:
    """Compare two sets of parts none of which overlaps another of its set.

    What is wrong belongs to a predicted part, what is right or missed to one of the reference: first come the
    entries of the predicted, then those of the reference parts.
    """
    overlaps = find_overlaps(predicted, reference)
    count, other = len(overlaps.predicted_area), len(overlaps.reference_area)
    ours = np.bincount(overlaps.predicted, overlaps.shared, minlength=count).astype(np.float64)
    theirs = np.bincount(overlaps.reference, overlaps.shared, minlength=other).astype(np.float64)
    # Rounding may share a little more than there is.
    wrong = np.maximum(overlaps.predicted_area - ours, 0.0)
    missed = np.maximum(overlaps.reference_area - theirs, 0.0)
    return place(predicted, reference, wrong=wrong, right=theirs, missed=missed)


def place(
    predicted: Polygons, reference: Polygons, *, wrong: Floats, right: Floats, missed: Floats
) -> Placed:
    """Put what is wrong (P,) at the centres of predictions, what is right or missed (R,) at references."""
    here, there = np.zeros(len(predicted)), np.zeros(len(reference))
    centers = shapely.centroid(np.concatenate([np.asarray(part, object) for part in (predicted, reference)]))
    return Placed(
        Counts(
            tp=np.concatenate([here, right]),
            fp=np.concatenate([wrong, there]),
            fn=np.concatenate([here, missed]),
        ),
        np.stack([shapely.get_x(centers), shapely.get_y(centers)], axis=1),
    )
