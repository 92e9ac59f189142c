"""From a network's confidence to a probability: footprints of validation tiles against the true ones."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.tiles import TileFolder
from geoconvnext.errors import LabelError, SceneError
from geoconvnext.inference import Model, load_model
from geoconvnext.judge import Judged, Sample, judge
from geoconvnext.model.runtime import Placement
from geoconvnext.model.weights import load_weights, save_weights
from geoconvnext.output import check_file
from geoconvnext.vector.confidence import FOLDS, MIN_FOOTPRINTS, Confidence, fit_and_tabulate
from geoconvnext.vector.features import FEATURES
from geoconvnext.vector.rules import FootprintRules

TUNED = {
    "body_threshold": (0.4, 0.5, 0.6),
    "seed_threshold": (0.3, 0.45, 0.6, 0.75),
    "edge_weight": (0.0, 0.5, 0.9),
    "min_area_m2": (8.0, 16.0),
}


@dataclass(frozen=True)
class ViewCalibration:
    """What the footprints of one view of a network said.

    footprints, right: found ones, and those that match a building; buildings: in the reference; f1: of the
    two, mean over tile sets; confidence: None where there were too few to learn from.
    """

    scale: int
    footprints: int
    right: int
    buildings: int
    f1: float
    confidence: Confidence | None


@dataclass(frozen=True)
class CalibrationReport:
    """What became of a weights file.

    rules: for its footprints; tuned: whether they were chosen here; views: of the network; skipped: tiles
    that could not be read, with the reason.
    """

    path: Path
    rules: FootprintRules
    tuned: bool
    views: tuple[ViewCalibration, ...]
    skipped: tuple[str, ...]

    @property
    def is_calibrated(self) -> bool:
        """Whether any view is calibrated; the file is left as it was if none is."""
        return any(view.confidence for view in self.views)

    def describe(self) -> Iterator[str]:
        """Lines for the user, with a table for each view: threshold, precision, recall, footprints."""
        for reason in self.skipped:
            yield f"skipped: {reason}"
        for view in self.views:
            yield (
                f"scale {view.scale}: {view.right} of {view.footprints} footprints are right,"
                f" of {view.buildings} buildings; F1 {view.f1:.3f}"
            )
            if view.confidence is None:
                yield (
                    f"  not calibrated: that takes {MIN_FOOTPRINTS} footprints or more, right and wrong ones,"
                    " in two tiles or more"
                )
                continue
            yield "  confidence  precision  recall  footprints"
            for point in view.confidence.table:
                yield (
                    f"  {point.threshold:10.2f}  {point.precision:9.3f}  {point.recall:6.3f}"
                    f"  {point.footprints:10d}"
                )
        if self.tuned:
            yield "tuned: " + ", ".join(f"{name} {getattr(self.rules, name):g}" for name in TUNED)
        if self.is_calibrated:
            yield f"calibrated: {self.path}"


def calibrate(
    weights: Path,
    tile_sets: Sequence[Path],
    *,
    placement: Placement,
    output: Path | None = None,
    tune: bool = False,
    announce: Callable[[str], None] = lambda _: None,
) -> CalibrationReport:
    """Calibrate the confidence of a weights file on validation tiles, and store it in `output` (None: there).

    The network runs over the tiles as in predict(), once for each of its scales. Tiles whose touching
    buildings are merged teach nothing about single buildings and are left out; so are damaged ones. Tile sets
    count alike, however large: what is said of the confidence holds for scenes as mixed as they are.
    tune: also choose TUNED in the first view, by the mean F1 over the tile sets.
    announce: told what is being done. Raises LabelError, WeightsError, OutputError.
    """
    path = output or weights
    check_file(path, (".safetensors",))
    samples = [
        Sample(folder, record)
        for folder in map(TileFolder, tile_sets)
        for record in folder.records()
        if record.separate
    ]
    model = load_model(weights, placement)
    # An old calibration is not used, and need not even be readable.
    model = replace(model, info=replace(model.info, confidence=None))
    skipped: dict[Sample, str] = {}
    views: list[ViewCalibration] = []
    for scale in model.runners:
        tried = _grid(model.rules) if tune and not views else [model.rules]
        announce(f"looking at {len(samples)} tiles at scale {scale}")
        tiles = list(_judge_all(samples, model, tried, scale, skipped))
        best = int(np.argmax([_mean_f1([tile[i] for tile in tiles]) for i in range(len(tried))]))
        model = replace(model, rules=tried[best])
        views.append(_learn([tile[best] for tile in tiles], scale))
    report = CalibrationReport(path, model.rules, tune, tuple(views), tuple(skipped.values()))
    if report.is_calibrated:
        _store(weights, report)
    return report


def _grid(start: FootprintRules) -> list[FootprintRules]:
    """Return the rules to try, the given ones first."""
    values = itertools.product(*TUNED.values())
    return [start, *(replace(start, **dict(zip(TUNED, each, strict=True))) for each in values)]


def _store(weights: Path, report: CalibrationReport) -> None:
    """Write the weights as they were in the file: the network that ran was rounded to another precision."""
    net, info = load_weights(weights)
    confidence = {str(view.scale): view.confidence.to_dict() for view in report.views if view.confidence}
    rules = {name: getattr(report.rules, name) for name in TUNED}
    save_weights(report.path, net, replace(info, confidence=confidence, **rules))


def _judge_all(
    samples: Sequence[Sample],
    model: Model,
    tried: Sequence[FootprintRules],
    scale: int,
    skipped: dict[Sample, str],
) -> Iterator[list[Judged]]:
    """Yield the footprints of each tile, by each of the rules; note tiles that cannot be read."""
    for sample in samples:
        try:
            yield judge(sample, model, tried, scale)
        except (SceneError, LabelError) as error:
            skipped[sample] = str(error)


def _mean_f1(tiles: Sequence[Judged]) -> float:
    """Mean over the tile sets, so that a large one does not decide alone; 0 where there is none."""
    sets: dict[Path, list[Judged]] = {}
    for tile in tiles:
        sets.setdefault(tile.sample.folder.path, []).append(tile)
    f1 = []
    for each in sets.values():
        both = sum(len(tile.right) + tile.buildings for tile in each)
        f1.append(2 * sum(int(tile.right.sum()) for tile in each) / max(both, 1))
    return sum(f1) / max(len(f1), 1)


def _learn(tiles: Sequence[Judged], scale: int) -> ViewCalibration:
    """Calibrate on the footprints of all tiles."""
    sizes = [len(tile.right) for tile in tiles]
    features = np.concatenate([np.empty((0, len(FEATURES))), *(tile.features for tile in tiles)])
    right = np.concatenate([np.empty(0, np.bool_), *(tile.right for tile in tiles)])
    weight = _weigh(tiles)
    confidence = fit_and_tabulate(
        features,
        right,
        np.repeat(weight, sizes),
        np.repeat(_number_scenes(tiles), sizes),
        buildings=float(weight @ [tile.buildings for tile in tiles]),
    )
    buildings = sum(tile.buildings for tile in tiles)
    return ViewCalibration(scale, len(right), int(right.sum()), buildings, _mean_f1(tiles), confidence)


def _weigh(tiles: Sequence[Judged]) -> NDArray[np.float64]:
    """Return how much a footprint of each tile counts: tile sets count alike, but for very small ones."""
    found = Counter({tile.sample.folder.path: 0 for tile in tiles})
    for tile in tiles:
        found[tile.sample.folder.path] += len(tile.right)
    weight = np.array([1.0 / max(found[tile.sample.folder.path], MIN_FOOTPRINTS) for tile in tiles])
    total = weight @ [len(tile.right) for tile in tiles]
    return weight * sum(found.values()) / total if total else weight


def _number_scenes(tiles: Sequence[Judged]) -> NDArray[np.int64]:
    """Return the number of each tile's scene, of the tile itself where scenes are too few for the folds."""
    scenes = [(tile.sample.folder.path, tile.sample.record.source) for tile in tiles]
    numbers = {scene: number for number, scene in enumerate(dict.fromkeys(scenes))}
    if len(numbers) < FOLDS:
        return np.arange(len(tiles))
    return np.array([numbers[scene] for scene in scenes])
