"""Footprints of labelled tiles, made as predict() makes them, and which of them are right."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely import Geometry
from shapely.geometry import shape

from geoconvnext.data.tiles import TileFolder, TileRecord
from geoconvnext.inference import Model
from geoconvnext.metrics.objects import match_objects
from geoconvnext.predict import find_in_mosaic
from geoconvnext.probabilities import write_probabilities
from geoconvnext.raster.grid import Window
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.raster.scene import Scene
from geoconvnext.scenes import PredictOptions, open_scene
from geoconvnext.vector.features import FEATURES
from geoconvnext.vector.files import read_footprints
from geoconvnext.vector.rules import FootprintRules

Polygons = NDArray[np.object_]


@dataclass(frozen=True)
class Sample:
    """A validation tile."""

    folder: TileFolder
    record: TileRecord


@dataclass(frozen=True)
class Judged:
    """Footprints of a tile: FEATURES (n, k), which are right (n,), and the number of buildings there."""

    sample: Sample
    features: NDArray[np.float64]
    right: NDArray[np.bool_]
    buildings: int


def judge(sample: Sample, model: Model, tried: Sequence[FootprintRules], scale: int) -> list[Judged]:
    """Run the network over a tile once, draw and compare the footprints by each of the rules."""
    folder, record = sample.folder, sample.record
    truth = read_footprints(folder.path / f"{record.name}.fgb").geometry
    options = PredictOptions(scale=scale, gsd_m=record.gsd_m if truth.crs is None else None)
    judged = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_scene(str(folder.path / f"{record.name}.tif"), model.info, options) as scene,
    ):
        path = Path(scratch) / "probabilities.tif"
        write_probabilities(scene, path, model, options)
        known = _known_ground(scene)
        for rules in tried:
            with ProbabilityMosaic.open(path) as mosaic:
                found = find_in_mosaic(mosaic, scene, replace(model, rules=rules), with_features=True)
            judged.append(_compare(sample, found, truth.to_numpy(), known))
    return judged


def _known_ground(scene: Scene) -> Geometry:
    """Outline what is known of a scene, in its CRS."""
    valid = scene.read(Window(0, 0, scene.height, scene.width)).valid
    parts = [shape(part) for part, _ in shapes(valid.astype(np.uint8), valid, transform=scene.transform)]
    return shapely.union_all(parts)


def _compare(sample: Sample, found: gpd.GeoDataFrame, truth: Polygons, known: Geometry) -> Judged:
    """Match footprints with buildings; those that unknown ground cuts are left out on both sides."""
    shapely.prepare(known)
    whole = shapely.contains_properly(known, truth)
    ours = found.geometry.to_numpy()
    in_cut = shapely.area(shapely.intersection(ours, shapely.union_all(truth[~whole])))
    counted = ~found["touches_edge"].to_numpy() & (in_cut <= shapely.area(ours) / 2)
    right = np.zeros(counted.sum(), np.bool_)
    right[match_objects(ours[counted], truth[whole]).predicted] = True
    features = found[list(FEATURES)].to_numpy()[counted]
    return Judged(sample, features, right, int(whole.sum()))
