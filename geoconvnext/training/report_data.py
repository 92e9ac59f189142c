"""What a report of a training run is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.targets import WHOLE
from geoconvnext.metrics.calibration import Calibration, calibrate_levels
from geoconvnext.metrics.ratio import ratio
from geoconvnext.training.pictures import Panel


@dataclass(frozen=True)
class Curve:
    """Values over training steps; both of one length, NaN where a value is undefined."""

    steps: Sequence[int] | NDArray[np.int64]
    values: Sequence[float] | NDArray[np.float64]

    def __post_init__(self) -> None:
        assert len(self.steps) == len(self.values), f"{len(self.steps)} steps, {len(self.values)} values"

    def defined(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the steps and the values that are finite."""
        steps, values = np.asarray(self.steps, np.int64), np.asarray(self.values, np.float64)
        finite = np.isfinite(values)
        return steps[finite], values[finite]


@dataclass(frozen=True)
class ValidationSet:
    """A validation set as the final weights do on it.

    scores: by measure, such as {"IoU": 0.71, "F1": 0.83}, in the order to show, the same ones in
    every set, NaN where undefined;
    building, background: int64 (255,), known pixels of either class by their body probability in 254ths
    (rounded).
    """

    name: str
    scores: Mapping[str, float]
    building: NDArray[np.int64]
    background: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert len(self.building) == len(self.background) == WHOLE + 1

    @property
    def pixels(self) -> int:
        """Number of known pixels."""
        return int(self.building.sum() + self.background.sum())

    @property
    def building_share(self) -> float:
        """Share of building among the known pixels; NaN without any."""
        return float(ratio(self.building.sum(), self.pixels))

    @cached_property
    def calibration(self) -> Calibration:
        """Precision, recall and reliability of the probabilities; NaN without building pixels."""
        return calibrate_levels(self.building, self.background, bins=20)

    def position(self, threshold: float) -> int | None:
        """Place of a threshold on the precision-recall curve; None: nothing reaches it, or is to be found."""
        reached = int((self.calibration.curve.threshold >= threshold).sum())
        return reached - 1 if reached and self.building.any() else None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What a report shows; every part but the title may be empty, and is left out then.

    settings: configuration, dotted key -> value; training_data: tile set -> size and licence; loss: part ->
    curve, "loss" their sum; learning_rate: of the heads, shown beneath the loss; validation: measure ("IoU",
    "F1") -> set -> curve; sets: final validation; threshold: body probability from which a pixel counted as
    building in the scores; best, worst: tiles, the most telling first.
    """

    title: str
    settings: Mapping[str, str] = field(default_factory=dict)
    training_data: Mapping[str, str] = field(default_factory=dict)
    loss: Mapping[str, Curve] = field(default_factory=dict)
    learning_rate: Curve | None = None
    validation: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    sets: Sequence[ValidationSet] = ()
    threshold: float = 0.5
    best: Sequence[Panel] = ()
    worst: Sequence[Panel] = ()
