"""How likely a footprint is right: logistic regression on its features, fitted on validation data.

Right means that a reference building matches it at IoU 0.5, one to one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoconvnext.errors import ConfigError
from geoconvnext.vector.features import FEATURES

Numbers = NDArray[np.float64]

MIN_FOOTPRINTS = 30
"""Fewer validation footprints say nothing about features; nor does a precision taken over fewer of them."""

FOLDS = 5
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(20))
# Scenes differ more than the footprints of one: weak features should not be trusted across them.
PENALTY = 30.0
# Next to nothing, so that a fold without any wrong footprint has a finite optimum.
BIAS_PENALTY = 1e-3
MAX_NEWTON_STEPS = 100


@dataclass(frozen=True)
class OperatingPoint:
    """What keeping the footprints from a confidence on means.

    precision: share of them that are right; recall: share of the reference buildings that they find; both
    weighted; footprints: how many there were.
    """

    threshold: float
    precision: float
    recall: float
    footprints: int


@dataclass(frozen=True)
class Confidence:
    """The probability that a footprint is right: logistic(bias + coefficients . (features - means) / stds).

    features: names of what it looks at, in order; means, stds, coefficients: one per feature.
    table: by ascending threshold, cross-validated: no footprint was judged by a fit that had seen its scene.
    """

    features: tuple[str, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    coefficients: tuple[float, ...]
    bias: float
    table: tuple[OperatingPoint, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what this version cannot measure; ValueError."""
        if self.features != FEATURES:
            raise ValueError(f"it looks at {', '.join(self.features)}; known are {', '.join(FEATURES)}")
        numbers = np.array([self.means, self.stds, self.coefficients])
        if numbers.shape != (3, len(FEATURES)) or not np.isfinite(numbers).all() or min(self.stds) <= 0:
            raise ValueError("it needs finite means, positive stds and coefficients, one per feature")

    def __call__(self, features: Numbers) -> Numbers:
        """Return the probabilities (n,) of FEATURES (n, k)."""
        scaled = (features - np.array(self.means)) / np.array(self.stds)
        return _logistic(scaled @ np.array(self.coefficients) + self.bias)

    def threshold_for(self, precision: float) -> float:
        """Return the lowest threshold whose precision is high enough; ConfigError where none is."""
        for point in self.table:
            if point.precision >= precision:
                return point.threshold
        best = max(self.table, key=lambda point: point.precision)
        raise ConfigError(
            f"a precision of {precision:g} is not reachable with these weights: the best is"
            f" {best.precision:.3f}, from confidence {best.threshold:g} (recall {best.recall:.3f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for the weights file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read plain values; ValueError, TypeError or LookupError where they are malformed."""
        vectors = {name: tuple(values[name]) for name in ("features", "means", "stds", "coefficients")}
        table = tuple(OperatingPoint(**row) for row in values["table"])
        if not table:
            raise ValueError("its table is empty")
        return cls(**vectors, bias=float(values["bias"]), table=table)


def fit_and_tabulate(
    features: Numbers,
    right: NDArray[np.bool_],
    weight: Numbers,
    scene: NDArray[np.int64],
    *,
    buildings: float,
) -> Confidence | None:
    """Fit on all footprints, and make the table by cross-validation over scenes.

    features: FEATURES (n, k); right (n,); weight (n,): how much each footprint counts, 1 on average; scene
    (n,): number of its scene; buildings: how many there are in the reference, each with its weight.
    None where there are fewer than MIN_FOOTPRINTS, all are right or wrong, or all lie in one scene.
    """
    if len(right) < MIN_FOOTPRINTS or len(np.unique(right)) < 2 or len(np.unique(scene)) < 2:
        return None
    fold = _folds(scene)
    unseen = np.empty(len(right))
    for k in np.unique(fold):
        held_out, seen = fold == k, fold != k
        unseen[held_out] = fit(features[seen], right[seen], weight[seen])(features[held_out])
    table = tabulate(unseen, right, weight, buildings=buildings)
    return replace(fit(features, right, weight), table=table)


def fit(features: Numbers, right: NDArray[np.bool_], weight: Numbers) -> Confidence:
    """Fit the logistic regression: the most likely one, less PENALTY |coefficients|^2 / 2.

    features: FEATURES (n, k), scaled to mean 0 and standard deviation 1 for it; right, weight (n,).
    """
    means, stds = features.mean(axis=0), features.std(axis=0)
    stds[stds < 1e-9] = 1.0
    inputs = np.column_stack([(features - means) / stds, np.ones(len(right))])
    solution = _maximise(inputs, right, weight)
    return Confidence(
        features=FEATURES,
        means=tuple(means.tolist()),
        stds=tuple(stds.tolist()),
        coefficients=tuple(solution[:-1].tolist()),
        bias=float(solution[-1]),
    )


def tabulate(
    confidence: Numbers, right: NDArray[np.bool_], weight: Numbers, *, buildings: float
) -> tuple[OperatingPoint, ...]:
    """Return precision and recall from each of THRESHOLDS on that keeps MIN_FOOTPRINTS or more."""
    points = []
    for threshold in THRESHOLDS:
        kept = confidence >= threshold
        if kept.sum() >= MIN_FOOTPRINTS:
            found = float(weight[kept & right].sum())
            precision = found / float(weight[kept].sum())
            points.append(OperatingPoint(threshold, precision, found / buildings, int(kept.sum())))
    return tuple(points)


def _folds(scene: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a fold for each footprint: whole scenes, the largest first, to the smallest fold."""
    scenes, position, counts = np.unique(scene, return_inverse=True, return_counts=True)
    sizes = np.zeros(FOLDS, np.int64)
    fold_of = np.empty(len(scenes), np.int64)
    for i in np.argsort(-counts, kind="stable"):
        fold_of[i] = np.argmin(sizes)
        sizes[fold_of[i]] += counts[i]
    folds: NDArray[np.int64] = fold_of[position]
    return folds


def _maximise(inputs: Numbers, right: NDArray[np.bool_], weight: Numbers) -> Numbers:
    """Find the factors of the inputs (n, k + 1), of which the last is the constant 1, by Newton's method."""
    penalty = np.full(inputs.shape[1], PENALTY)
    penalty[-1] = BIAS_PENALTY

    def loss(factors: Numbers) -> float:
        score = inputs @ factors
        return float(weight @ (np.logaddexp(0.0, score) - score * right) + penalty @ factors**2 / 2.0)

    factors = np.zeros(inputs.shape[1])
    for _ in range(MAX_NEWTON_STEPS):
        probability = _logistic(inputs @ factors)
        gradient = inputs.T @ (weight * (probability - right)) + penalty * factors
        if np.abs(gradient).max() < 1e-9 * len(right):
            break
        curvature = (inputs.T * (weight * probability * (1.0 - probability))) @ inputs + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum a full step may overshoot.
        while loss(factors - step) > loss(factors) and np.abs(step).max() > 1e-9:
            step /= 2.0
        factors -= step
    return factors


def _logistic(score: Numbers) -> Numbers:
    """Return 1 / (1 + exp(-score)) without overflow."""
    probability: Numbers = np.exp(-np.logaddexp(0.0, -score))
    return probability
