"""What a validation counts, over all processes, and the scores made of it."""

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from geoconvnext.data.dataset import ValidationSamples
from geoconvnext.data.targets import IGNORE, WHOLE
from geoconvnext.metrics.counts import Counts

BUILDING = WHOLE // 2
"""Level from which a pixel counts as building, predicted or true."""
LEVELS = WHOLE + 1
MEASURES = ("iou", "f1", "precision", "recall")
STAND_IN = ""
"""Set of a sample that is there for the sake of order only."""
TELLING_SHARE = 0.01
"""Share of building pixels from which the IoU of a single sample says something."""

Histogram = NDArray[np.int64]
"""(2, 255): known pixels of background and of building by their predicted level."""


def probability_levels(logits: Tensor) -> Tensor:
    """Probabilities in 254ths, uint8."""
    return logits.float().sigmoid().mul_(WHOLE).round_().to(torch.uint8)


def count_levels(levels: Tensor, truth: Tensor) -> NDArray[np.int64]:
    """Histograms (N, 2, 255) of samples (N, H, W), uint8; truth: covered share in 254ths, or IGNORE."""
    bins = 2 * LEVELS + 1  # the last one for what is unknown
    code = levels + LEVELS * (truth >= BUILDING).int()
    code[truth == IGNORE] = bins - 1
    code += bins * torch.arange(len(code), device=code.device).view(-1, 1, 1)
    counts = torch.bincount(code.flatten(), minlength=bins * len(code)).cpu().numpy()
    return counts.reshape(-1, bins)[:, :-1].reshape(-1, 2, LEVELS)


def confusion(histogram: Histogram) -> Counts:
    """Count where every level from BUILDING on is a predicted building."""
    found, missed = histogram[:, BUILDING:].sum(axis=1), histogram[:, :BUILDING].sum(axis=1)
    return Counts(tp=int(found[1]), fp=int(found[0]), fn=int(missed[1]))


def score(histogram: Histogram) -> dict[str, float]:
    """IoU, F1, precision and recall of the building pixels; all NaN where there is no building to find."""
    if not histogram[1].any():
        return dict.fromkeys(MEASURES, math.nan)
    counts = confusion(histogram)
    return {measure: float(getattr(counts, measure)) for measure in MEASURES}


def mean_known(values: Iterable[float]) -> float:
    """Mean of those that are not NaN; NaN where all are."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


@dataclass
class Tally:
    """What a validation has counted: a histogram per set, and the IoU of each sample that has buildings.

    Samples are known by their number: process `rank` of `world` sees every world-th, in order.
    """

    rank: int = 0
    world: int = 1
    seen: int = 0
    sets: dict[str, Histogram] = field(default_factory=dict)
    ious: dict[int, float] = field(default_factory=dict)

    def add(self, sources: Sequence[str], levels: Tensor, truth: Tensor) -> None:
        """Count the next samples: their sets or STAND_IN, predicted levels and truth, uint8 (N, H, W)."""
        for source, histogram in zip(sources, count_levels(levels, truth), strict=True):
            number = self.rank + self.seen * self.world
            self.seen += 1
            if source == STAND_IN:
                continue
            self.sets[source] = self.sets.get(source, np.int64(0)) + histogram
            if histogram[1].sum() >= TELLING_SHARE * max(1, histogram.sum()):
                self.ious[number] = float(confusion(histogram).iou)

    def gathered(self) -> "Tally":
        """Put the counts of all processes together."""
        if not distributed.is_initialized():
            return self
        parts: list[Tally] = [self] * self.world
        distributed.all_gather_object(parts, self)
        whole = Tally()
        for part in parts:
            whole.ious |= part.ious
            for source, histogram in part.sets.items():
                whole.sets[source] = whole.sets.get(source, np.int64(0)) + histogram
        return whole

    def scores(self) -> dict[str, dict[str, float]]:
        """Scores of every set by measure."""
        return {source: score(histogram) for source, histogram in self.sets.items()}

    def known_scores(self) -> dict[str, dict[str, float]]:
        """Scores without those that are NaN."""
        known = {
            source: {measure: value for measure, value in values.items() if not math.isnan(value)}
            for source, values in self.scores().items()
        }
        return {source: values for source, values in known.items() if values}

    def mean_scores(self) -> dict[str, float]:
        """Mean of every measure over the sets that have buildings; NaN where none has."""
        scores = self.scores().values()
        return {measure: mean_known(each[measure] for each in scores) for measure in MEASURES}

    def ranked(self) -> list[int]:
        """Return the numbers of the samples that have buildings, the best first."""
        return sorted(self.ious, key=lambda index: (-self.ious[index], index))


def own_share(samples: ValidationSamples, *, rank: int, world: int) -> ValidationSamples:
    """Every world-th validation sample, those of process `rank`.

    All shares are equally long, since processes wait for each other: the first sample of all, with STAND_IN
    for its set, is at the end of those that would be shorter.
    """
    own = copy(samples)
    folder, record, _, crop = samples.crops[0]
    missing = -len(samples.crops) % world
    own.crops = [*samples.crops, *[(folder, record, STAND_IN, crop)] * missing][rank::world]
    return own
