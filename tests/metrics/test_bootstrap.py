"""Bootstrap against what is known of means."""

import numpy as np
import pytest
from scipy import stats

from geoconvnext.metrics.bootstrap import MIN_BLOCK_M, interval, lay_blocks, resample


def test_spread_is_that_of_a_mean():
    values = np.random.default_rng(0).normal(10, 2, 400)
    low, high = interval(resample(np.stack([values, np.ones(400)], axis=1), seed=0)[:, 0] / 400)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Of 100 intervals for the share of a coin, about 95% hold the true one."""
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(100):
        low, high = interval(resample((rng.random((150, 1)) < 0.3) * 1.0, seed=seed, draws=400)[:, 0] / 150)
        held += low <= 0.3 <= high
    assert stats.binomtest(held, 100, 0.94).pvalue > 0.001


def test_a_seed_gives_the_same_draws():
    sums = np.random.default_rng(0).random((20, 3, 2))
    once, again, other = (resample(sums, seed=seed) for seed in (5, 5, 6))
    assert once.shape == (2000, 3, 2)
    assert (once == again).all()
    assert (once != other).any()
    assert once.mean(axis=0) == pytest.approx(sums.sum(axis=0), rel=0.02)


@pytest.mark.parametrize("units", [0, 1])
def test_too_little_to_draw_from(units):
    assert np.isnan(interval(resample(np.ones((units, 1)), seed=0)[:, 0])).all()


def test_mostly_undefined_scores_have_no_interval():
    values = np.linspace(0, 1, 100)
    assert interval(np.where(values < 0.03, np.nan, values)) == pytest.approx((0.05, 0.98), abs=0.02)
    assert np.isnan(interval(np.where(values < 0.1, np.nan, values))).all()


def test_blocks_keep_neighbours_together():
    places = np.random.default_rng(0).uniform(0, 1000, (5000, 2))
    blocks = lay_blocks(places)
    assert sorted(set(blocks)) == list(range(100))
    for block in (0, 55, 99):
        assert (np.ptp(places[blocks == block], axis=0) <= 100 + 1e-6).all()


def test_blocks_of_small_and_empty_places():
    small = np.random.default_rng(0).uniform(0, 2 * MIN_BLOCK_M, (500, 2))
    assert len(set(lay_blocks(small))) == 4
    assert lay_blocks(np.zeros((3, 2))).tolist() == [0, 0, 0]
    assert len(lay_blocks(np.empty((0, 2)))) == 0
