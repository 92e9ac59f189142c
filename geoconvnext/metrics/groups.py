"""Buildings by size, and by how near the next one stands."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvnext.metrics.overlap import Floats, Polygons

SIZES = {"small": (0.0, 100.0), "medium": (100.0, 500.0), "large": (500.0, np.inf)}
"""Areas in m2, the lower end included."""
ADJACENCIES = ("touching", "near", "isolated")
TOUCHING_M, NEAR_M = 0.3, 3.0


def size_class(area_m2: Floats) -> NDArray[np.int8]:
    """(n,) position in SIZES of buildings with these areas."""
    return np.digitize(area_m2, [low for low, _ in SIZES.values()][1:]).astype(np.int8)


def adjacency_class(buildings: Polygons) -> NDArray[np.int8]:
    """(n,) position in ADJACENCIES of buildings, in metres, by the distance to the nearest other one.

    Nearer than TOUCHING_M is touching, nearer than NEAR_M near, else isolated.
    """
    polygons = np.asarray(buildings, dtype=object)
    one, other = shapely.STRtree(polygons).query(polygons, predicate="dwithin", distance=NEAR_M)
    one, other = one[one != other], other[one != other]
    nearest = np.full(len(polygons), np.inf)
    np.minimum.at(nearest, one, shapely.distance(polygons[one], polygons[other]))
    classes: NDArray[np.int8] = np.digitize(nearest, [TOUCHING_M, NEAR_M]).astype(np.int8)
    return classes
