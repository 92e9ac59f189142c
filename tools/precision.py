"""What bfloat16 changes against float32: pixels decided otherwise, buildings that have no equal.

A folder stands for the scenes in it (and those in its `images/`); one without georeference gets --gsd. Two
buildings are equal from an IoU of 0.9 on. Both precisions get the windows that are chosen for bfloat16;
others would show them other surroundings of the scene's border.

Example:  python tools/precision.py data/val/*
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from geoconvnext.cli.inputs import expand_scenes
from geoconvnext.inference import Model, load_model
from geoconvnext.metrics.objects import match_objects
from geoconvnext.model.runtime import choose_placement
from geoconvnext.predict import find_in_mosaic
from geoconvnext.probabilities import make_plan, write_probabilities
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.scenes import PredictOptions, open_scene

SAME_IOU = 0.9


@dataclass
class Differences:
    """Counts over scenes."""

    pixels: int = 0
    changed: int = 0
    buildings: int = 0
    without_equal: int = 0

    def add(self, ours: Result, other: Result, level: int) -> None:
        """Count what differs between two results of a scene."""
        valid = other.body != 255
        self.pixels += int(valid.sum())
        self.changed += int((((ours.body >= level) != (other.body >= level)) & valid).sum())
        exact = other.footprints.geometry.to_numpy()
        pairs = match_objects(ours.footprints.geometry.to_numpy(), exact, min_iou=SAME_IOU)
        self.buildings += len(exact)
        self.without_equal += len(exact) - len(pairs.predicted)

    def __str__(self) -> str:
        return (
            f"{self.changed / max(self.pixels, 1):.4%} of {self.pixels:,} pixels,"
            f" {self.without_equal / max(self.buildings, 1):.2%} of {self.buildings:,} buildings"
        )


@dataclass(frozen=True)
class Result:
    """Body probabilities of a scene, and its footprints."""

    body: NDArray[np.uint8]
    footprints: gpd.GeoDataFrame


def main() -> None:
    """Run every scene in both precisions, print what differs by folder and in all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--gsd", type=float, default=0.3, help="metres, for scenes without georeference")
    arguments = parser.parse_args()
    rounded, exact = (
        load_model(arguments.weights, choose_placement("auto", name)) for name in ("bf16", "fp32")
    )
    total = Differences()
    for place in arguments.places:
        here, images = Differences(), place / "images"
        for scene in expand_scenes([str(images if images.is_dir() else place)]):
            options = choose_options(scene, rounded, arguments.gsd)
            results = [run(scene, model, options) for model in (rounded, exact)]
            for counts in (here, total):
                counts.add(*results, level=exact.rules.body_level)
        print(f"{place.name}: {here}", flush=True)
    print(f"all: {total}")


def choose_options(path: str, model: Model, gsd_m: float) -> PredictOptions:
    """Choose the windows that a model would run."""
    with open_scene(path, model.info, PredictOptions()) as probe:
        options = PredictOptions(gsd_m=None if probe.crs else gsd_m)
    with open_scene(path, model.info, options) as scene:
        plan = make_plan(scene, model, options)
    return replace(options, tile_px=plan.tile, halo_px=plan.halo)


def run(path: str, model: Model, options: PredictOptions) -> Result:
    """Predict a scene."""
    with tempfile.TemporaryDirectory() as folder, open_scene(path, model.info, options) as scene:
        file = Path(folder) / "p.tif"
        write_probabilities(scene, file, model, options)
        with ProbabilityMosaic.open(file) as mosaic:
            body = mosaic.read(0, 0, mosaic.height, mosaic.width)[0]
            return Result(body, find_in_mosaic(mosaic, scene, model))


if __name__ == "__main__":
    main()
