"""Object scores against an exhaustive assignment."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from geoconvnext.metrics.counts import Counts
from geoconvnext.metrics.objects import find_merges, find_splits, match_objects
from geoconvnext.metrics.overlap import find_overlaps

SQUARE = shapely.box(0, 0, 10, 10)


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


def score_objects(predicted, reference, **options):
    tp = len(match_objects(predicted, reference, **options).iou)
    return Counts(tp, len(predicted) - tp, len(reference) - tp)


def test_one_hit_one_miss_one_ghost():
    predicted = [shapely.box(1, 0, 11, 10), shapely.box(50, 50, 60, 60)]
    reference = [SQUARE, shapely.box(20, 0, 30, 10)]
    scores = score_objects(predicted, reference)
    assert scores == Counts(tp=1, fp=1, fn=1)
    assert scores.precision == scores.recall == scores.f1 == 0.5
    assert match_objects(predicted, reference).iou.tolist() == pytest.approx([90 / 110])


def test_duplicates_are_false_positives():
    assert score_objects([SQUARE, SQUARE, shapely.box(0, 0, 9, 10)], [SQUARE]) == Counts(1, 2, 0)


def test_the_best_pair_wins_whatever_the_order():
    close, closer = shapely.box(0, 0, 8, 10), shapely.box(0, 0, 9, 10)
    matches = match_objects([close, closer], [SQUARE])
    assert matches.predicted.tolist() == [1]
    assert matches.reference.tolist() == [0]


def test_a_merged_pair_is_one_hit_at_most():
    halves = [shapely.box(0, 0, 6, 10), shapely.box(6, 0, 10, 10)]
    assert score_objects([SQUARE], halves) == Counts(1, 0, 1)
    assert score_objects([SQUARE], [shapely.box(0, 0, 4.9, 10), shapely.box(5.1, 0, 10, 10)]).tp == 0


def test_exactly_half_counts():
    assert score_objects([shapely.box(0, 0, 5, 10)], [SQUARE]).tp == 1
    assert score_objects([shapely.box(0, 0, 5, 10)], [SQUARE], min_iou=0.51).tp == 0


def test_empty_sets():
    nothing = score_objects([], [])
    assert nothing == Counts()
    assert all(math.isnan(value) for value in (nothing.precision, nothing.recall, nothing.f1))
    assert score_objects([SQUARE], []) + score_objects([], [SQUARE]) == Counts(0, 1, 1)


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
    scores, matches = score_objects(predicted, reference), match_objects(predicted, reference)
    if not any(a.overlaps(b) for i, a in enumerate(predicted) for b in predicted[:i]):
        assert scores.tp == (best >= 0.5).sum()
        assert matches.iou.sum() == pytest.approx(best[best >= 0.5].sum())
    assert (scores.tp + scores.fp, scores.tp + scores.fn) == (count, count)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_splits_and_merges_by_brute_force(seed):
    """A building in several pieces, and several under one roof, counted pair by pair."""
    rng = np.random.default_rng(seed)
    sets = []
    for _ in range(2):
        corner, size = rng.uniform(0, 20, (12, 2)), rng.uniform(2, 12, (12, 2))
        sets.append(shapely.box(*np.concatenate([corner, corner + size], axis=1).T))
    ours, theirs = sets
    overlaps = find_overlaps(ours, theirs)
    splits = [sum(a.intersection(b).area / a.area > 0.5 for a in ours) >= 2 for b in theirs]
    merges = [sum(a.intersection(b).area / b.area > 0.5 for b in theirs) >= 2 for a in ours]
    assert find_splits(overlaps).tolist() == splits
    assert find_merges(overlaps).tolist() == merges


def test_a_split_and_a_merge():
    halves = [shapely.box(0, 0, 4, 10), shapely.box(5, 0, 10, 10)]
    apart = shapely.box(50, 0, 60, 10)
    cut = find_overlaps([*halves, apart], [apart, SQUARE])
    assert (find_splits(cut).tolist(), find_merges(cut).tolist()) == ([False, True], [False] * 3)
    joined = find_overlaps([apart, SQUARE], [*halves, apart])
    assert (find_splits(joined).tolist(), find_merges(joined).tolist()) == ([False] * 3, [False, True])
