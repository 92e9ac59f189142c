"""Pixel scores against counting by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoconvnext.metrics.pixel import PixelCounts, count_pixels

PREDICTED = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
REFERENCE = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], bool)


def test_counts_and_scores():
    counts = count_pixels(PREDICTED, REFERENCE)
    assert counts == PixelCounts(true_positive=2, false_positive=1, false_negative=1, true_negative=4)
    assert counts.iou == 0.5
    assert counts.precision == counts.recall == counts.f1 == pytest.approx(2 / 3)


def test_ignored_pixels_count_nowhere():
    ignore = np.zeros((2, 4), bool)
    ignore[0, 2:] = True
    assert count_pixels(PREDICTED, REFERENCE, ignore=ignore) == PixelCounts(2, 0, 0, 4)


def test_undefined_is_nan():
    empty = np.zeros((2, 2), bool)
    counts = count_pixels(empty, empty)
    assert counts.true_negative == 4
    assert all(math.isnan(value) for value in (counts.iou, counts.f1, counts.precision, counts.recall))


@given(st.integers(0, 10**6))
def test_tiles_add_up_to_the_whole(seed):
    rng = np.random.default_rng(seed)
    ours, theirs, ignore = rng.random((3, 8, 6)) < 0.5
    parts = [
        count_pixels(ours[rows], theirs[rows], ignore=ignore[rows]) for rows in (slice(0, 3), slice(3, None))
    ]
    assert sum(parts, PixelCounts()) == count_pixels(ours, theirs, ignore=ignore)
    both, either = (ours & theirs & ~ignore).sum(), ((ours | theirs) & ~ignore).sum()
    assert sum(parts, PixelCounts()).iou == pytest.approx(both / either if either else math.nan, nan_ok=True)
