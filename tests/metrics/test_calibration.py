"""Calibration measures against torchmetrics, and against statements that are true by construction."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_average_precision, binary_calibration_error

from geoconvnext.metrics.calibration import calibrate_footprints, calibrate_levels


def draw(seed, count):
    """Statements on a coarse grid, so that equal ones occur, that come true more often than stated."""
    rng = np.random.default_rng(seed)
    stated = rng.integers(0, 33, count) / 32
    return stated, rng.random(count) < stated**0.5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 300))
def test_equals_torchmetrics(seed, count):
    stated, right = draw(seed, count)
    found = calibrate_footprints(stated, right, bins=7)
    preds, target = torch.tensor(stated), torch.tensor(right, dtype=torch.long)
    assert found.reliability.ece == pytest.approx(
        binary_calibration_error(preds, target, n_bins=7).item(), abs=1e-6
    )
    assert found.brier == pytest.approx(((stated - right) ** 2).mean())
    if right.any():
        average = binary_average_precision(preds, target).item()
        assert found.curve.average_precision == pytest.approx(average, abs=1e-6)


def test_levels_are_footprints_counted():
    stated, right = draw(3, 500)
    level = np.rint(stated * 254).astype(int)
    building, background = (np.bincount(level[chosen], minlength=255) for chosen in (right, ~right))
    ours, theirs = calibrate_levels(building, background, bins=10), calibrate_footprints(level / 254, right)
    for name in ("stated", "right", "weight"):
        assert np.allclose(getattr(ours.reliability, name), getattr(theirs.reliability, name), equal_nan=True)
    assert ours.brier == pytest.approx(theirs.brier)
    assert ours.curve.average_precision == pytest.approx(theirs.curve.average_precision)
    assert len(ours.curve.threshold) == len(np.unique(level))


def test_true_statements_are_calibrated():
    building = np.arange(255)
    perfect = calibrate_levels(building, building[::-1])
    assert perfect.reliability.ece == pytest.approx(0.0, abs=1e-12)
    assert np.allclose(perfect.reliability.stated, perfect.reliability.right)
    assert calibrate_levels(building[::-1], building).reliability.ece == pytest.approx(0.5, abs=0.01)


def test_best_threshold():
    """Keeping .9 and .7 gives three right of four, of five to be found."""
    stated = np.array([0.9, 0.9, 0.7, 0.7, 0.2, 0.2, 0.2, 0.2])
    right = np.array([1, 1, 1, 0, 0, 1, 0, 0], bool)
    curve = calibrate_footprints(stated, right, references=5).curve
    assert curve.threshold.tolist() == [0.9, 0.7, 0.2]
    assert curve.precision.tolist() == [1, 3 / 4, 4 / 8]
    assert curve.recall.tolist() == [2 / 5, 3 / 5, 4 / 5]
    assert curve.f1.tolist() == pytest.approx([4 / 7, 6 / 9, 8 / 13])
    assert curve.best == 1
    assert curve.average_precision == pytest.approx((2 + 3 / 4 + 1 / 2) / 5)


def test_without_statements_or_buildings():
    nothing = calibrate_footprints(np.zeros(0), np.zeros(0, bool))
    assert math.isnan(nothing.reliability.ece)
    assert math.isnan(nothing.brier)
    assert math.isnan(nothing.curve.average_precision)
    assert nothing.curve.best is None
    wrong = calibrate_footprints(np.array([0.5, 0.9]), np.zeros(2, bool))
    assert math.isnan(wrong.curve.average_precision)
    assert wrong.curve.best is None
    missed = calibrate_footprints(np.array([0.5]), np.zeros(1, bool), references=3).curve
    assert (missed.average_precision, missed.best, missed.f1.tolist()) == (0, 0, [0])
