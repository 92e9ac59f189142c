"""All scores of footprints against reference footprints; those of several scenes can be pooled."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geoconvnext.metrics import ranking, shape
from geoconvnext.metrics.areas import Placed, boundary_bands, count_areas, dissolve, place
from geoconvnext.metrics.bootstrap import interval, lay_blocks, resample
from geoconvnext.metrics.counts import Counts
from geoconvnext.metrics.groups import ADJACENCIES, SIZES, adjacency_class, size_class
from geoconvnext.metrics.objects import Matches, find_merges, find_splits, match_best
from geoconvnext.metrics.overlap import Floats, Overlaps, find_overlaps
from geoconvnext.metrics.ranking import Ranking
from geoconvnext.metrics.ratio import ratio

Polygons = NDArray[np.object_]
Flags = NDArray[np.bool_]
Classes = NDArray[np.int8]

BOUNDARY_M = 1.0
"""Width of the band along walls that boundary IoU compares: three pixels of 0.3 m."""
MIN_SCENES = 10
"""Fewer scenes than that are too few to draw from; blocks of ground are drawn then."""

TableT = TypeVar("TableT")


@dataclass(frozen=True)
class Predictions:
    """Predicted buildings. right: matched at IoU 0.5; merged: several references in one; size: see SIZES."""

    right: Flags
    merged: Flags
    size: Classes


@dataclass(frozen=True)
class References:
    """Reference buildings. found: matched at IoU 0.5; split: in several predictions."""

    found: Flags
    split: Flags
    size: Classes
    adjacency: Classes


@dataclass(frozen=True)
class Shapes:
    """How alike the matched pairs are: IoU, and the measures of metrics.shape, in metres and degrees."""

    matched_iou: Floats
    c_iou: Floats
    n_ratio: Floats
    polis_m: Floats
    polis_compat_m: Floats
    max_tangent_deg: Floats
    direction_deg: Floats


@dataclass(frozen=True)
class Scores:
    """Scores of one scene, or of several together: what was counted, so that ratios are of sums.

    ground: for each scene (blocks, 3, 3) area, boundary area and buildings that are right, wrong and missed
    in each block of ground; rankings: of all buildings, then for each of SIZES.
    """

    ground: tuple[Floats, ...]
    predictions: Predictions
    references: References
    shapes: Shapes
    rankings: tuple[Ranking, ...]

    @property
    def objects(self) -> Counts:
        """Buildings, matched one to one at IoU 0.5."""
        right, found = self.predictions.right, self.references.found
        return Counts(int(found.sum()), int((~right).sum()), int((~found).sum()))

    @property
    def area(self) -> Counts:
        """Area that both sets cover, and one of them."""
        return _counts(sum(units.sum(axis=0) for units in self.ground))[0]

    @property
    def is_ranked(self) -> bool:
        """Whether the confidence of all predictions is known, as average precision needs."""
        return not bool(np.isnan(self.rankings[0].confidence).any())

    def to_dict(self) -> dict[str, float]:
        """Return all numbers by name; ratios are NaN where they are undefined."""
        area, boundary, _ = _counts(sum(units.sum(axis=0) for units in self.ground))
        objects, average_precision = self.objects, self.rankings[0].average_precision
        ratios = {
            "pixel_iou": area.iou,
            "pixel_precision": area.precision,
            "pixel_recall": area.recall,
            "pixel_f1": area.f1,
            "boundary_iou": boundary.iou,
            "precision": objects.precision,
            "recall": objects.recall,
            "f1": objects.f1,
            "ap50": average_precision[0],
            "ap50_95": average_precision.mean(),
            "split_rate": _mean(self.references.split),
            "merge_rate": _mean(self.predictions.merged),
        }
        shapes = {field.name: _mean(getattr(self.shapes, field.name)) for field in fields(Shapes)}
        numbers = {name: int(getattr(objects, name)) for name in ("tp", "fp", "fn")}
        return {name: float(value) for name, value in (ratios | shapes).items()} | numbers

    def groups(self) -> dict[str, dict[str, float]]:
        """Return the scores of buildings by size and by adjacency.

        The size is that of the reference, where nothing matches that of the prediction. A prediction that is
        wrong has no reference and so no adjacency: for those there is recall only.
        """
        rows: dict[str, dict[str, float]] = {}
        ours, theirs = self.predictions, self.references
        for number, (name, scored) in enumerate(zip(SIZES, self.rankings[1:], strict=True)):
            found = theirs.found[theirs.size == number]
            wrong = int((~ours.right & (ours.size == number)).sum())
            counts = Counts(int(found.sum()), wrong, int((~found).sum()))
            rows[name] = {
                "buildings": len(found),
                "precision": float(counts.precision),
                "recall": float(counts.recall),
                "f1": float(counts.f1),
                "ap50": float(scored.average_precision[0]),
            }
        for number, name in enumerate(ADJACENCIES):
            found = theirs.found[theirs.adjacency == number]
            rows[name] = {"buildings": len(found), "recall": _mean(found)}
        return rows

    def complete(self) -> dict[str, Any]:
        """Return to_dict() with `intervals` and `groups` among it."""
        return {**self.to_dict(), "intervals": self.intervals(), "groups": self.groups()}

    def resampled(self, *, seed: int = 0) -> dict[str, Floats]:
        """Return the main scores of bootstrap resamples (draws,), by scene or by block of ground."""
        units = [scene.sum(axis=0) for scene in self.ground]
        sums = np.stack(units) if len(units) >= MIN_SCENES else np.concatenate(self.ground)
        area, boundary, objects = _counts(resample(sums, seed=seed))
        return {
            "pixel_iou": area.iou,
            "boundary_iou": boundary.iou,
            "precision": objects.precision,
            "recall": objects.recall,
            "f1": objects.f1,
        }

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return the 95% intervals of the main scores; NaN where there is too little to draw from."""
        return {name: interval(values) for name, values in self.resampled().items()}


def score(predicted: Polygons, reference: Polygons, confidence: Floats | None = None) -> Scores:
    """Compare valid polygons with areas above 0, in metres and in one scene.

    confidence: (P,), NaN where unknown; without it average precision is undefined.
    """
    overlaps = find_overlaps(predicted, reference)
    matches = match_best(overlaps)
    right, found = np.zeros(len(predicted), bool), np.zeros(len(reference), bool)
    right[matches.predicted], found[matches.reference] = True, True
    buildings = place(predicted, reference, wrong=1.0 - right, right=1.0 * found, missed=1.0 - found)
    ranks = np.full(len(predicted), np.nan) if confidence is None else confidence
    return Scores(
        ground=(_sum_by_block(*_areas(predicted, reference), buildings),),
        predictions=Predictions(right, find_merges(overlaps), size_class(overlaps.predicted_area)),
        references=References(
            found, find_splits(overlaps), size_class(overlaps.reference_area), adjacency_class(reference)
        ),
        shapes=_shapes(predicted, reference, matches),
        rankings=_rankings(overlaps, ranks),
    )


def pool(scores: Sequence[Scores]) -> Scores:
    """Return the scores of several scenes, one at least, together."""
    return Scores(
        ground=tuple(units for one in scores for units in one.ground),
        predictions=_stack([one.predictions for one in scores]),
        references=_stack([one.references for one in scores]),
        shapes=_stack([one.shapes for one in scores]),
        rankings=tuple(ranking.pool(same) for same in zip(*(one.rankings for one in scores), strict=True)),
    )


def _stack(tables: Sequence[TableT]) -> TableT:
    """Put tables, dataclasses of arrays with a row per building, below each other."""
    columns = [field.name for field in fields(tables[0])]  # type: ignore[arg-type]
    return type(tables[0])(*(np.concatenate([getattr(table, name) for table in tables]) for name in columns))


def _areas(predicted: Polygons, reference: Polygons) -> tuple[Placed, Placed]:
    ours, theirs = dissolve(predicted), dissolve(reference)
    bands = (boundary_bands(parts, BOUNDARY_M) for parts in (ours, theirs))
    return count_areas(ours, theirs), count_areas(*bands)


def _sum_by_block(*measures: Placed) -> Floats:
    """(blocks, measures, 3) sums of right, wrong and missed, in blocks that all measures share."""
    blocks = lay_blocks(np.concatenate([measure.places for measure in measures]))
    ends = np.cumsum([len(measure.places) for measure in measures])
    sums = np.zeros((len(np.unique(blocks)), len(measures), 3))
    for number, (measure, block) in enumerate(zip(measures, np.split(blocks, ends[:-1]), strict=True)):
        counts = measure.counts
        for column, values in enumerate((counts.tp, counts.fp, counts.fn)):
            sums[:, number, column] = np.bincount(block, np.asarray(values), minlength=len(sums))
    return sums


def _counts(sums: Floats) -> list[Counts]:
    """Return the counts of each measure from sums (..., measures, 3)."""
    return [Counts(*np.moveaxis(sums[..., number, :], -1, 0)) for number in range(sums.shape[-2])]


def _shapes(predicted: Polygons, reference: Polygons, matches: Matches) -> Shapes:
    ours, theirs = predicted[matches.predicted], reference[matches.reference]
    return Shapes(
        matched_iou=matches.iou,
        c_iou=shape.complexity_iou(matches.iou, ours, theirs),
        n_ratio=ratio(shape.vertex_count(ours), shape.vertex_count(theirs)),
        polis_m=shape.polis(ours, theirs),
        polis_compat_m=shape.polis_compat(ours, theirs),
        max_tangent_deg=shape.max_tangent_angle(ours, theirs),
        direction_deg=shape.direction_error(ours, theirs),
    )


def _rankings(overlaps: Overlaps, confidence: Floats) -> tuple[Ranking, ...]:
    ranges = [(0.0, np.inf), *SIZES.values()]
    return tuple(ranking.rank(overlaps, confidence, area_range=limits) for limits in ranges)


def _mean(values: Floats | Flags) -> float:
    """Mean of the values that are defined."""
    defined = values[~np.isnan(values)]
    return float(ratio(defined.sum(), len(defined)))
