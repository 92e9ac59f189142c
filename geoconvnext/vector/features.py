"""What tells a right footprint from a wrong one: a few numbers per building, measured while it is drawn."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.outline import NODATA
from geoconvnext.vector.rings import Polygons

RASTER_FEATURES = ("body", "spread", "contrast", "wall_edge", "inner_edge", "party_wall")
"""Measured on the pixels of a building by describe(), all in 0..1:
body, spread: mean and standard deviation of the body probability;
contrast: how much the body probability drops from the last pixel inside to the first one outside;
wall_edge: mean edge probability of the pixels on both sides of the outline;
inner_edge: mean edge probability of all its pixels: high where walls were seen that nothing was drawn along;
party_wall: share of the outline that it shares with other buildings.
Contrast and wall_edge look at the free part of the outline: not at party walls, nodata or the scene's border.
"""
SHAPE_FEATURES = ("log_area", "compactness")
"""Measured on the polygon by describe_shapes():
log_area: natural logarithm of the area in square metres;
compactness: 4 pi area / perimeter^2, 1 for a circle.
"""
FEATURES = (*RASTER_FEATURES, *SHAPE_FEATURES)


@kernel
def describe(
    probabilities: NDArray[np.uint8], labels: NDArray[np.int32], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return RASTER_FEATURES (count, 6) of the buildings 1..count, and whether each one lies beside nodata.

    probabilities uint8 (K >= 2, h, w): body, edge in 0..254, 255 being nodata; labels int32 (h, w),
    0 outside buildings, the outermost pixels 0.
    """
    height, width = labels.shape
    pixels, sides, free = np.zeros(count), np.zeros(count), np.zeros(count)
    sums = np.zeros((count, 6))
    touches = np.zeros(count, np.bool_)
    steps = np.arange(256) / 254.0
    for row in range(1, height - 1):
        for col in range(1, width - 1):
            label = labels[row, col]
            if label == 0:
                continue
            i = label - 1
            body, edge = steps[probabilities[0, row, col]], min(steps[probabilities[1, row, col]], 1.0)
            pixels[i] += 1.0
            sums[i, 0] += body
            sums[i, 1] += body * body
            sums[i, 4] += edge
            is_inner = (labels[row - 1, col] == label) & (labels[row + 1, col] == label)
            if is_inner & (labels[row, col - 1] == label) & (labels[row, col + 1] == label):
                continue
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                beside = labels[row + down, col + right]
                if beside == label:
                    continue
                sides[i] += 1.0
                outside = probabilities[0, row + down, col + right]
                if beside > 0:
                    sums[i, 5] += 1.0
                elif outside == NODATA:
                    touches[i] = True
                else:
                    free[i] += 1.0
                    sums[i, 2] += body - steps[outside]
                    outer_edge = min(steps[probabilities[1, row + down, col + right]], 1.0)
                    sums[i, 3] += (edge + outer_edge) / 2.0
    return _to_means(sums, pixels, sides, free), touches


@kernel
def _to_means(
    sums: NDArray[np.float64],
    pixels: NDArray[np.float64],
    sides: NDArray[np.float64],
    free: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Divide sums by what they were taken over; a mean over nothing is 0."""
    means = np.empty_like(sums)
    for i in range(len(sums)):
        means[i] = sums[i] / pixels[i]
        means[i, 1] = np.sqrt(max(means[i, 1] - means[i, 0] ** 2, 0.0))
        means[i, 2:4] = sums[i, 2:4] / max(free[i], 1.0)
        means[i, 5] = sums[i, 5] / sides[i]
    return means


def describe_shapes(polygons: Polygons, area_m2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return SHAPE_FEATURES (n, 2) of polygons, whose pixels are about square, and of their true areas."""
    compactness = 4.0 * np.pi * shapely.area(polygons) / shapely.length(polygons) ** 2
    return np.stack([np.log(area_m2), compactness], axis=1)
