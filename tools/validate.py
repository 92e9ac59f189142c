"""Scores of weights on validation sets, as in the model card; with --tune, the best of a grid of rules.

A set is a folder with `images/` and `labels/` (footprints or masks with the images' names), or a folder with
scenes and footprints side by side, as `geoconvnext synth` writes it. Scenes without georeference get --gsd.
Below each row stand its 95% intervals; the mean is over sets, so that a large one does not decide alone.

Example:  python tools/validate.py data/val/* synth_val/ --gsd 0.3 --json scores.json
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from geoconvnext.calibrate import TUNED
from geoconvnext.cli.inputs import expand_scenes
from geoconvnext.cli.report import check_json, print_scores, write_json
from geoconvnext.data.labels import find_labels
from geoconvnext.evaluate import evaluate
from geoconvnext.inference import Model, load_model
from geoconvnext.metrics.bootstrap import interval
from geoconvnext.metrics.scores import Scores, pool
from geoconvnext.model.runtime import choose_placement
from geoconvnext.predict import find_in_mosaic
from geoconvnext.probabilities import write_probabilities
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.scenes import PredictOptions, open_scene
from geoconvnext.vector.files import write_footprints
from geoconvnext.vector.rules import FootprintRules

MEASURES = ("pixel_iou", "boundary_iou", "precision", "recall", "f1", "ap50", "matched_iou")


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--gsd", type=float, default=0.3, help="metres, for scenes without georeference")
    parser.add_argument("--tune", action="store_true", help="try a grid of footprint rules")
    parser.add_argument("--tta", action="store_true", help="with test-time augmentation")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.json:
        check_json(arguments.json)
    model = load_model(arguments.weights, choose_placement(), tta=arguments.tta)
    rules = _grid(model.rules) if arguments.tune else [model.rules]
    with tempfile.TemporaryDirectory() as folder:
        results = {
            path.name: _score_set(path, model, rules, arguments.gsd, Path(folder)) for path in arguments.sets
        }
    if arguments.tune:
        _print_best(results, rules)
        return
    scores = _tabulate({name: by_rule[0] for name, by_rule in results.items()})
    _print(scores)
    if arguments.json:
        write_json(arguments.json, scores)


def _grid(start: FootprintRules) -> list[FootprintRules]:
    grid = itertools.product(*TUNED.values())
    return [replace(start, **dict(zip(TUNED, values, strict=True))) for values in grid]


def _score_set(
    path: Path, model: Model, rules: list[FootprintRules], gsd_m: float, folder: Path
) -> list[Scores]:
    """Return the scores of a set by each of the rules."""
    images, labels = (path / "images", path / "labels") if (path / "images").is_dir() else (path, path)
    scenes = []
    for scene in expand_scenes([str(images)]):
        reference = find_labels(Path(scene), labels)
        scenes.append(_score_scene(scene, reference, model, rules, gsd_m, folder))
    return [pool(scores) for scores in zip(*scenes, strict=True)]


def _score_scene(
    path: str, reference: Path, model: Model, rules: list[FootprintRules], gsd_m: float, folder: Path
) -> list[Scores]:
    """Run the network once, draw and compare the footprints by each of the rules."""
    with open_scene(path, model.info, PredictOptions()) as probe:
        options = PredictOptions(gsd_m=None if probe.crs else gsd_m)
    scores = []
    with open_scene(path, model.info, options) as scene:
        write_probabilities(scene, folder / "p.tif", model, options)
        for rule in rules:
            with ProbabilityMosaic.open(folder / "p.tif") as mosaic:
                found = find_in_mosaic(mosaic, scene, replace(model, rules=rule))
            write_footprints(found, folder / "found.gpkg", provenance={})
            scores.append(evaluate(folder / "found.gpkg", reference, scene=path, gsd_m=gsd_m).scores)
    return scores


def _tabulate(sets: Mapping[str, Scores]) -> dict[str, dict[str, Any]]:
    """Return the scores of each set, and their mean over the sets, with intervals."""
    rows: dict[str, dict[str, Any]] = {name: scores.complete() for name, scores in sets.items()}
    # A seed for each set: the same draws in all of them would make their errors go together.
    draws = [scores.resampled(seed=seed) for seed, scores in enumerate(sets.values())]
    mean = {name: float(np.mean([row[name] for row in rows.values()])) for name in MEASURES}
    intervals = {name: interval(np.mean([draw[name] for draw in draws], axis=0)) for name in draws[0]}
    return {**rows, "mean": {**mean, "intervals": intervals}}


def _print(scores: Mapping[str, Mapping[str, Any]]) -> None:
    lines = {}
    for name, row in scores.items():
        lines[name] = {measure: row[measure] for measure in MEASURES}
        lines[f"  95% {name}"] = row["intervals"]
    print_scores(lines)


def _print_best(results: dict[str, list[Scores]], rules: list[FootprintRules]) -> None:
    """Print the ten rules with the best mean F1 over the sets."""
    f1 = np.mean([[scores.objects.f1 for scores in by_rule] for by_rule in results.values()], axis=0)
    iou = np.mean([[scores.area.iou for scores in by_rule] for by_rule in results.values()], axis=0)
    for i in np.argsort(-f1)[:10]:
        values = ", ".join(f"{name} {getattr(rules[i], name)}" for name in TUNED)
        print(f"mean F1 {f1[i]:.3f}, mean IoU {iou[i]:.3f}: {values}")


if __name__ == "__main__":
    main()
