"""Pixel scores against counting by hand, torchmetrics, and boundary bands taken pixel by pixel."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

from geoconvnext.metrics.counts import Counts
from geoconvnext.metrics.pixel import boundary_band, count_boundary_pixels, count_pixels

PREDICTED = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
REFERENCE = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], bool)


def test_counts_and_scores():
    counts = count_pixels(PREDICTED, REFERENCE)
    assert counts == Counts(tp=2, fp=1, fn=1)
    assert counts.iou == 0.5
    assert counts.precision == counts.recall == counts.f1 == pytest.approx(2 / 3)


def test_ignored_pixels_count_nowhere():
    ignore = np.zeros((2, 4), bool)
    ignore[0, 2:] = True
    assert count_pixels(PREDICTED, REFERENCE, ignore=ignore) == Counts(2, 0, 0)


def test_undefined_is_nan():
    empty = np.zeros((2, 2), bool)
    counts = count_pixels(empty, empty)
    assert counts == Counts()
    assert all(math.isnan(value) for value in (counts.iou, counts.f1, counts.precision, counts.recall))


def test_arrays_of_counts():
    several = Counts(np.array([2.0, 0.0]), np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    assert several.iou.tolist() == pytest.approx([0.5, math.nan], nan_ok=True)
    assert several.f1.tolist() == pytest.approx([2 / 3, math.nan], nan_ok=True)


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_tiles_add_up_to_what_torchmetrics_says(seed):
    rng = np.random.default_rng(seed)
    ours, theirs, ignore = rng.random((3, 8, 6)) < 0.5
    parts = [
        count_pixels(ours[rows], theirs[rows], ignore=ignore[rows]) for rows in (slice(0, 3), slice(3, None))
    ]
    whole = sum(parts, Counts())
    assert whole == count_pixels(ours, theirs, ignore=ignore)
    preds, target = torch.from_numpy(ours[~ignore]).int(), torch.from_numpy(theirs[~ignore]).int()
    if (preds | target).any():
        assert whole.iou == pytest.approx(binary_jaccard_index(preds, target).item())
        assert whole.f1 == pytest.approx(binary_f1_score(preds, target).item())


def band_by_hand(mask, distance):
    """Pixels with a pixel outside the mask, or outside the image, in the square around them."""
    padded = np.pad(mask, distance)
    height, width = mask.shape
    side = 2 * distance + 1
    inner = [
        [padded[row : row + side, col : col + side].all() for col in range(width)] for row in range(height)
    ]
    return mask & ~np.array(inner)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_boundary_iou_by_hand(seed, distance):
    rng = np.random.default_rng(seed)
    ours, theirs = (np.kron(rng.random((3, 4)) < 0.6, np.ones((5, 4), bool)).astype(bool) for _ in range(2))
    a, b = band_by_hand(ours, distance), band_by_hand(theirs, distance)
    assert (boundary_band(ours, distance) == a).all()
    found = count_boundary_pixels(ours, theirs, distance_px=distance).iou
    assert found == pytest.approx((a & b).sum() / (a | b).sum() if (a | b).any() else math.nan, nan_ok=True)
