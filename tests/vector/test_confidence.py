"""Calibration: the fit against a general optimiser, the table by hand, and whether the promise is kept."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from geoconvnext.errors import ConfigError
from geoconvnext.vector import confidence as module
from geoconvnext.vector.confidence import (
    MIN_FOOTPRINTS,
    Confidence,
    OperatingPoint,
    fit,
    fit_and_tabulate,
    tabulate,
)
from geoconvnext.vector.features import FEATURES


def make_population(count, seed=0, *, slope=1.5):
    """Features, the true probability that follows from two of them, and what came of it."""
    rng = np.random.default_rng(seed)
    features = rng.normal(3, 2, (count, len(FEATURES))) * np.arange(1, len(FEATURES) + 1)
    first, second = (features[:, 0] - 3) / 2, (features[:, 3] - 12) / 8
    probability = 1 / (1 + np.exp(-(slope * first - second + 0.5)))
    return features, probability, rng.random(count) < probability


def calibration_error(stated, right, bins=10):
    """Expected calibration error: mean distance of stated and true share of right ones, by tenths."""
    which = np.minimum((stated * bins).astype(int), bins - 1)
    return sum(abs((stated - right)[which == i].sum()) for i in range(bins)) / len(right)


def test_the_fit_is_the_optimum():
    features, _, right = make_population(300)
    weight = np.random.default_rng(1).uniform(0.2, 1.8, 300)
    ours = fit(features, right, weight)
    scaled = np.column_stack([(features - features.mean(0)) / features.std(0), np.ones(300)])

    def loss(factors):
        probability = 1 / (1 + np.exp(-scaled @ factors))
        likelihood = weight @ np.log(np.where(right, probability, 1 - probability))
        penalties = np.array([module.PENALTY] * len(FEATURES) + [module.BIAS_PENALTY])
        return -likelihood + penalties @ factors**2 / 2

    best = minimize(loss, np.zeros(len(FEATURES) + 1), method="BFGS", options={"gtol": 1e-7}).x
    np.testing.assert_allclose([*ours.coefficients, ours.bias], best, atol=1e-4)
    np.testing.assert_allclose(ours(features), 1 / (1 + np.exp(-scaled @ best)), atol=1e-4)


def test_a_weight_of_two_is_a_footprint_twice():
    features, _, right = make_population(100)
    weight = np.where(np.arange(100) < 30, 2.0, 1.0)
    twice = np.concatenate([np.arange(100), np.arange(30)])
    # The scaling knows no weights, so that only shares are compared: same features, same scaling.
    scaled = np.column_stack([features, np.ones(100)])
    one = module._maximise(scaled, right, weight)
    other = module._maximise(scaled[twice], right[twice], np.ones(130))
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("penalty", [30.0, 1e-4])
def test_separable_footprints_have_a_finite_fit(monkeypatch, penalty):
    monkeypatch.setattr(module, "PENALTY", penalty)
    features, probability, _ = make_population(200)
    right = probability > 0.5
    ours = fit(features, right, np.ones(200))
    assert np.isfinite(ours.coefficients).all()
    assert ((ours(features) > 0.5) == right).mean() > 0.9
    assert fit(features, np.ones(200, bool), np.ones(200))(features).min() > 0.95


def test_constant_features_do_no_harm():
    features, _, right = make_population(200)
    features[:, 2] = 7.0
    ours = fit(features, right, np.ones(200))
    assert ours.coefficients[2] == pytest.approx(0, abs=1e-9)


def test_what_is_stated_comes_true():
    """Fitted on one population, right on another."""
    features, probability, right = make_population(3000, seed=1)
    scene = np.arange(3000) // 100
    ours = fit_and_tabulate(features, right, np.ones(3000), scene, buildings=3000)
    other_features, other_probability, other_right = make_population(20_000, seed=2)
    stated = ours(other_features)
    assert calibration_error(stated, other_right) < 0.02
    assert np.abs(stated - other_probability).mean() < 0.02
    assert calibration_error(np.full(20_000, 0.9), other_right) > 0.2  # the measure sees what is wrong
    for point in ours.table:
        kept = stated >= point.threshold
        assert point.precision == pytest.approx(other_right[kept].mean(), abs=0.03)
        assert point.recall == pytest.approx(other_right[kept].sum() / 20_000, abs=0.03)
    assert calibration_error(1 - probability, right) > 0.2


def test_the_table_is_not_fooled_by_what_a_fit_has_seen(monkeypatch):
    """Features that say nothing: the fit itself promises something, the table must not."""
    rng = np.random.default_rng(0)
    features, right = rng.normal(size=(80, len(FEATURES))), rng.random(80) < 0.5
    scene = np.arange(80) // 4
    monkeypatch.setattr(module, "PENALTY", 1e-6)
    ours = fit_and_tabulate(features, right, np.ones(80), scene, buildings=80)
    stated = ours(features)
    seen = right[stated >= 0.5].mean()
    unseen = next(point.precision for point in ours.table if point.threshold == 0.5)
    assert seen > unseen + 0.05


def test_scenes_are_not_torn_apart():
    scene = np.repeat(np.arange(13), np.arange(1, 14))
    fold = module._folds(scene)
    assert all(len(np.unique(fold[scene == number])) == 1 for number in range(13))
    assert np.ptp(np.bincount(fold)) <= 13
    assert len(np.unique(module._folds(np.array([0, 0, 1])))) == 2


def test_table_by_hand(monkeypatch):
    monkeypatch.setattr(module, "MIN_FOOTPRINTS", 2)
    confidence = np.array([0.1, 0.3, 0.5, 0.72, 0.9])
    right = np.array([False, True, False, True, True])
    table = {p.threshold: p for p in tabulate(confidence, right, np.ones(5), buildings=6)}
    assert table[0.0] == OperatingPoint(0.0, 3 / 5, 3 / 6, 5)
    assert table[0.5] == OperatingPoint(0.5, 2 / 3, 2 / 6, 3)
    assert table[0.7] == OperatingPoint(0.7, 1.0, 2 / 6, 2)
    assert max(table) == 0.7  # from 0.75 on a single one is left
    weighted = tabulate(confidence, right, np.array([1.0, 3, 1, 1, 1]), buildings=10)
    assert weighted[0] == OperatingPoint(0.0, 5 / 7, 5 / 10, 5)


@pytest.mark.parametrize("spoil", ["few", "all right", "all wrong", "one scene"])
def test_too_little_to_learn_from(spoil):
    features, _, right = make_population(60)
    scene = np.arange(60)
    if spoil == "few":
        features, right, scene = (array[: MIN_FOOTPRINTS - 1] for array in (features, right, scene))
    elif spoil == "one scene":
        scene = np.zeros(60, np.int64)
    else:
        right = np.full(60, spoil == "all right")
    assert fit_and_tabulate(features, right, np.ones(len(right)), scene, buildings=60) is None


@pytest.fixture(scope="module")
def calibrated():
    features, _, right = make_population(400)
    return fit_and_tabulate(features, right, np.ones(400), np.arange(400) // 10, buildings=500)


def test_the_lowest_threshold_that_is_precise_enough(calibrated):
    for precision in (0.0, 0.6, 0.8):
        enough = [point.threshold for point in calibrated.table if point.precision >= precision]
        assert calibrated.threshold_for(precision) == enough[0]
    best = max(point.precision for point in calibrated.table)
    with pytest.raises(ConfigError, match=rf"not reachable.*best is {best:.3f}"):
        calibrated.threshold_for(best + 0.001)


def test_round_trip_through_text(calibrated):
    again = Confidence.from_dict(json.loads(json.dumps(calibrated.to_dict())))
    assert again == calibrated
    features, _, _ = make_population(50, seed=5)
    np.testing.assert_array_equal(again(features), calibrated(features))


@pytest.mark.parametrize(
    "damage",
    [
        {"features": ["body"]},
        {"means": [1.0]},
        {"stds": [0.0] * len(FEATURES)},
        {"coefficients": [float("nan")] * len(FEATURES)},
        {"coefficients": None},
        {"table": []},
        {"table": [{"threshold": 0.5}]},
        {"bias": "much"},
    ],
)
def test_malformed_calibrations(calibrated, damage):
    with pytest.raises((ValueError, TypeError, LookupError)):
        Confidence.from_dict(calibrated.to_dict() | damage)
