"""Object scores against an exhaustive assignment."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from geoconvnext.metrics.objects import ObjectScores, area_iou, match_objects, score_objects

SQUARE = shapely.box(0, 0, 10, 10)


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


def test_one_hit_one_miss_one_ghost():
    predicted = [shapely.box(1, 0, 11, 10), shapely.box(50, 50, 60, 60)]
    reference = [SQUARE, shapely.box(20, 0, 30, 10)]
    scores = score_objects(predicted, reference)
    assert scores == ObjectScores(tp=1, fp=1, fn=1, iou_sum=pytest.approx(90 / 110))
    assert scores.precision == scores.recall == scores.f1 == 0.5
    assert scores.mean_iou == pytest.approx(90 / 110)


def test_duplicates_are_false_positives():
    scores = score_objects([SQUARE, SQUARE, shapely.box(0, 0, 9, 10)], [SQUARE])
    assert (scores.tp, scores.fp, scores.fn, scores.mean_iou) == (1, 2, 0, 1.0)


def test_the_best_pair_wins_whatever_the_order():
    close, closer = shapely.box(0, 0, 8, 10), shapely.box(0, 0, 9, 10)
    matches = match_objects([close, closer], [SQUARE])
    assert matches.predicted.tolist() == [1]
    assert matches.reference.tolist() == [0]


def test_a_merged_pair_is_one_hit_at_most():
    halves = [shapely.box(0, 0, 6, 10), shapely.box(6, 0, 10, 10)]
    assert score_objects([SQUARE], halves) == ObjectScores(1, 0, 1, pytest.approx(0.6))
    assert score_objects([SQUARE], [shapely.box(0, 0, 4.9, 10), shapely.box(5.1, 0, 10, 10)]).tp == 0


def test_exactly_half_counts():
    assert score_objects([shapely.box(0, 0, 5, 10)], [SQUARE]).tp == 1
    assert score_objects([shapely.box(0, 0, 5, 10)], [SQUARE], min_iou=0.51).tp == 0


def test_empty_sets():
    nothing = score_objects([], [])
    assert nothing == ObjectScores()
    assert all(math.isnan(v) for v in (nothing.precision, nothing.recall, nothing.f1, nothing.mean_iou))
    assert score_objects([SQUARE], []) == ObjectScores(0, 1, 0)
    assert score_objects([], [SQUARE]) == ObjectScores(0, 0, 1)
    assert score_objects([SQUARE], []) + score_objects([], [SQUARE]) == ObjectScores(0, 1, 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12))
def test_equals_the_best_assignment_where_buildings_do_not_overlap(seed, count):
    rng = np.random.default_rng(seed)
    cells = rng.permutation(36)[:count]
    base = np.stack([cells % 6 * 10.0, cells // 6 * 10.0], axis=1)
    reference = [shapely.box(x, y, x + 8, y + 8) for x, y in base]
    shift = rng.uniform(-0.9, 0.9, (count, 2)) * rng.integers(0, 4, (count, 1))
    predicted = [shapely.box(x, y, x + 7, y + 7) for x, y in base + shift]
    table = np.array([[iou(a, b) for b in reference] for a in predicted])
    rows, cols = linear_sum_assignment(-np.where(table >= 0.5, table, 0))
    best = table[rows, cols]
    scores = score_objects(predicted, reference)
    if not any(a.overlaps(b) for i, a in enumerate(predicted) for b in predicted[:i]):
        assert scores.tp == (best >= 0.5).sum()
        assert scores.iou_sum == pytest.approx(best[best >= 0.5].sum())
    assert (scores.tp + scores.fp, scores.tp + scores.fn) == (count, count)


def test_area_iou_does_not_care_how_areas_are_divided():
    halves = [shapely.box(0, 0, 5, 10), shapely.box(5, 0, 10, 10), shapely.box(4, 0, 6, 10)]
    assert area_iou(halves, [SQUARE]) == pytest.approx(1.0)
    assert area_iou([SQUARE], [shapely.box(5, 0, 15, 10)]) == pytest.approx(1 / 3)
    assert area_iou([SQUARE], []) == 0.0
    assert math.isnan(area_iou([], []))
