"""Cut scenes and their labels into labelled tiles for training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.data.labels import Labels, find_labels, open_labels
from geoconvnext.data.targets import UNLABELLED
from geoconvnext.data.tiles import FINENESS, TileFolder, TileRecord
from geoconvnext.errors import ConfigError, LabelError, SceneError
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene

MIN_VALID_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class TileOptions:
    """How scenes are cut.

    size: largest tile side in pixels; gsd_m: finer scenes are resampled to this ground sampling distance;
    scene_gsd_m: states the scenes' own, where they have no georeference; bands: 1-based, None for red, green,
    blue; band_count: bands of a tile; licence: of scene and labels, kept in the manifest.
    """

    size: int = 768
    gsd_m: float = 0.2
    scene_gsd_m: float | None = None
    bands: tuple[int, ...] | None = None
    band_count: int = 3
    licence: str = ""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"tiles need a size of 1 pixel or more; found {self.size}")
        for gsd_m in (self.gsd_m, self.scene_gsd_m):
            if gsd_m is not None and not 0 < gsd_m < math.inf:
                raise ConfigError(f"a ground sampling distance is a positive number of metres; found {gsd_m}")


@dataclass(frozen=True)
class TileCount:
    """What became of a scene: tiles written, and windows without enough valid pixels left out."""

    written: int
    left_out: int


def tile_scene(scene_path: str | Path, labels: Path | None, folder: Path, options: TileOptions) -> TileCount:
    """Cut one scene into tiles of `folder`.

    labels: vector file, mask, folder of these, or None: no buildings.

    SceneError: the scene cannot be read, or its ground sampling distance is neither known nor stated.
    LabelError: labels do not exist or do not fit, or `folder` has tiles of a scene of this name.
    """
    source = Path(scene_path)
    label_path = find_labels(source, labels) if labels else None
    tiles = TileFolder(folder)
    written = left_out = 0
    with Scene.open(
        scene_path,
        bands=options.bands,
        band_count=options.band_count,
        gsd_range_m=(options.gsd_m, math.inf),
        gsd_m=options.scene_gsd_m,
    ) as scene:
        gsd_m = _known_gsd_m(scene)
        plan = _plan(scene, source.stem, tiles, options.size)
        truth = open_labels(label_path, scene)
        for name, window in plan.items():
            pixels = scene.read(window)
            if pixels.valid.mean() < MIN_VALID_SHARE:
                left_out += 1
                continue
            numbers = _numbers(truth, window, pixels.valid)
            record = TileRecord(
                name=name,
                source=source.name,
                gsd_m=gsd_m,
                separate=truth.separate,
                building_share=round(float(((numbers > 0) & (numbers < UNLABELLED)).mean()), 4),
                licence=options.licence,
            )
            transform = scene.transform @ Affine.translation(window.col, window.row)
            tiles.write(record, pixels.pixels, numbers, transform=transform, crs=scene.crs)
            written += 1
    return TileCount(written, left_out)


def _known_gsd_m(scene: Scene) -> float:
    if scene.gsd_m is None:
        raise SceneError(
            f"the ground sampling distance of {scene.path} is unknown, it has no georeference;"
            " state it (tile --scene-gsd METRES)"
        )
    return float(scene.gsd_m)


def _plan(scene: Scene, stem: str, tiles: TileFolder, size: int) -> dict[str, Window]:
    """Windows by the name of their tile; LabelError where the tile set has one of these names."""
    grid = windows(scene.height, scene.width, size)
    plan = {f"{stem}_r{window.row}_c{window.col}": window for window in grid}
    if plan.keys() & tiles.names():
        raise LabelError(
            f"tile set {tiles.path} already has tiles of a scene {stem}; rename the scene, choose another"
            " folder, or remove the tile set to cut it anew"
        )
    return plan


def _numbers(truth: Labels, window: Window, valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Instance numbers of a window, UNLABELLED where the scene has no data."""
    fine = valid.repeat(FINENESS, axis=0).repeat(FINENESS, axis=1)
    return np.where(fine, truth.numbers(window), np.uint16(UNLABELLED))


def windows(height: int, width: int, size: int) -> Iterator[Window]:
    """Windows of nearly equal size, at most `size` on a side, that cover every pixel exactly once."""
    for top, bottom in pairwise(_edges(height, size)):
        for left, right in pairwise(_edges(width, size)):
            yield Window(top, left, bottom - top, right - left)


def _edges(length: int, size: int) -> list[int]:
    count = math.ceil(length / size)
    return [round(i * length / count) for i in range(count + 1)]
