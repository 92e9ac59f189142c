"""Scores of weights on validation sets, as in the model card; with --tune, the best of a grid of rules.

A set is a folder with `images/` and `labels/` (footprints or masks with the images' names), or a folder with
scenes and footprints side by side, as `geoconvnext synth` writes it. Scenes without georeference get --gsd.

Example:  python tools/validate.py data/val/* synth_val/ --gsd 0.3 --json scores.json
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from geoconvnext.cli.inputs import expand_scenes
from geoconvnext.cli.report import print_scores, write_json
from geoconvnext.data.labels import find_labels
from geoconvnext.evaluate import Scores, evaluate
from geoconvnext.model.runtime import choose_placement
from geoconvnext.predict import (
    Model,
    PredictOptions,
    find_in_mosaic,
    load_model,
    open_scene,
    write_probabilities,
)
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.vector.files import write_footprints
from geoconvnext.vector.rules import FootprintRules

GRID = {
    "body_threshold": (0.4, 0.5, 0.6),
    "seed_threshold": (0.3, 0.45, 0.6, 0.75),
    "edge_weight": (0.0, 0.5, 0.9),
    "min_area_m2": (8.0, 16.0),
}


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--gsd", type=float, default=0.3, help="metres, for scenes without georeference")
    parser.add_argument("--tune", action="store_true", help="try a grid of footprint rules")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    model = load_model(arguments.weights, choose_placement())
    rules = _grid(model.rules) if arguments.tune else [model.rules]
    with tempfile.TemporaryDirectory() as folder:
        results = {
            path.name: _score_set(path, model, rules, arguments.gsd, Path(folder)) for path in arguments.sets
        }
    if arguments.tune:
        _print_best(results, rules)
        return
    scores = {name: sets[0].to_dict() for name, sets in results.items()}
    measures = ("pixel_iou", "precision", "recall", "f1", "matched_iou")
    scores["mean"] = {name: float(np.mean([row[name] for row in scores.values()])) for name in measures}
    print_scores(scores)
    if arguments.json:
        write_json(arguments.json, scores)


def _grid(start: FootprintRules) -> list[FootprintRules]:
    return [
        replace(start, **dict(zip(GRID, values, strict=True))) for values in itertools.product(*GRID.values())
    ]


def _score_set(
    path: Path, model: Model, rules: list[FootprintRules], gsd_m: float, folder: Path
) -> list[Scores]:
    images, labels = (path / "images", path / "labels") if (path / "images").is_dir() else (path, path)
    totals = [Scores() for _ in rules]
    for scene in expand_scenes([str(images)]):
        reference = find_labels(Path(scene), labels)
        for i, scores in enumerate(_score_scene(scene, reference, model, rules, gsd_m, folder)):
            totals[i] += scores
    return totals


def _score_scene(
    path: str, reference: Path, model: Model, rules: list[FootprintRules], gsd_m: float, folder: Path
) -> list[Scores]:
    """Run the network once, draw and compare the footprints by each of the rules."""
    with open_scene(path, model.info, PredictOptions()) as probe:
        options = PredictOptions(gsd_m=None if probe.crs else gsd_m)
    scores = []
    with open_scene(path, model.info, options) as scene:
        write_probabilities(scene, folder / "p.tif", model, options, lambda *_: None)
        for rule in rules:
            with ProbabilityMosaic.open(folder / "p.tif") as mosaic:
                found = find_in_mosaic(mosaic, scene, replace(model, rules=rule))
            write_footprints(found, folder / "found.gpkg", provenance={})
            scores.append(evaluate(folder / "found.gpkg", reference, scene=path))
    return scores


def _print_best(results: dict[str, list[Scores]], rules: list[FootprintRules]) -> None:
    """Print the ten rules with the best mean F1 over the sets."""
    f1 = np.mean([[score.objects.f1 for score in scores] for scores in results.values()], axis=0)
    iou = np.mean([[score.iou for score in scores] for scores in results.values()], axis=0)
    for i in np.argsort(-f1)[:10]:
        values = ", ".join(f"{name} {getattr(rules[i], name)}" for name in GRID)
        print(f"mean F1 {f1[i]:.3f}, mean IoU {iou[i]:.3f}: {values}")


if __name__ == "__main__":
    main()
