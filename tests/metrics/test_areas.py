"""Areas and boundary bands against rasterised masks, and against areas known by construction."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvnext.metrics.areas import boundary_bands, count_areas, dissolve
from geoconvnext.metrics.counts import Counts
from geoconvnext.metrics.pixel import count_boundary_pixels, count_pixels

SQUARE = shapely.box(0, 0, 10, 10)


def total(placed):
    return Counts(*(float(np.sum(part)) for part in (placed.counts.tp, placed.counts.fp, placed.counts.fn)))


def compare(predicted, reference):
    return total(count_areas(dissolve(predicted), dissolve(reference)))


def test_the_division_into_buildings_does_not_matter():
    halves = [shapely.box(0, 0, 5, 10), shapely.box(5, 0, 10, 10), shapely.box(4, 0, 6, 10)]
    assert compare(halves, [SQUARE]) == Counts(100, 0, 0)
    assert compare([SQUARE], [shapely.box(5, 0, 15, 10)]) == Counts(50, 50, 50)
    assert compare([SQUARE], []) == Counts(0, 100, 0)
    assert compare([], []) == Counts(0, 0, 0)


def test_dissolved_parts():
    hole = shapely.box(20, 0, 30, 10) - shapely.box(22, 2, 28, 8)
    corner = shapely.box(10, 10, 12, 12)
    two = shapely.MultiPolygon([shapely.box(40, 0, 41, 1), shapely.box(43, 0, 44, 1)])
    parts = dissolve([SQUARE, SQUARE, hole, shapely.box(24, 4, 26, 6), corner, two])
    assert sorted(shapely.area(parts)) == pytest.approx([1, 1, 4, 4, 64, 100])


def draw(boxes, side=80):
    mask = np.zeros((side, side), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 1
    return mask.astype(bool)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_equals_masks_of_rectangles(seed, distance):
    """Rectangles on whole pixels: areas are equal; bands differ in the round inner corners only."""
    rng = np.random.default_rng(seed)
    sets = []
    for _ in range(2):
        corner, size = rng.integers(0, 60, (6, 2)), rng.integers(8, 20, (6, 2))
        sets.append(np.concatenate([corner, corner + size], axis=1).tolist())
    ours, theirs = (dissolve(shapely.box(*np.array(boxes, float).T)) for boxes in sets)
    masks = [draw(boxes) for boxes in sets]
    assert total(count_areas(ours, theirs)).iou == pytest.approx(float(count_pixels(*masks).iou))
    bands = [boundary_bands(parts, distance) for parts in (ours, theirs)]
    by_pixel = count_boundary_pixels(*masks, distance_px=distance)
    assert total(count_areas(*bands)).iou == pytest.approx(float(by_pixel.iou), abs=0.02)


def test_band_of_a_courtyard():
    """Inside and outside walls have a band each, round at inner corners; a narrow wing is band throughout."""
    yard = shapely.box(0, 0, 30, 30) - shapely.box(10, 10, 20, 20)
    assert boundary_bands([yard], 2)[0].area == pytest.approx(
        900 - 26**2 + 4 * 10 * 2 + np.pi * 2**2, abs=0.1
    )
    assert boundary_bands([shapely.box(0, 0, 3, 30)], 2)[0].area == 90


def test_places_of_errors():
    """A wrong building 100 m off is counted there, not where the others stand."""
    placed = count_areas(dissolve([SQUARE, shapely.box(100, 0, 110, 10)]), dissolve([SQUARE]))
    wrong = placed.places[np.asarray(placed.counts.fp) > 0]
    right = placed.places[np.asarray(placed.counts.tp) > 0]
    assert (wrong.tolist(), right.tolist()) == ([[105, 5]], [[5, 5]])
