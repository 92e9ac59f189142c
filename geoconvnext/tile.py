"""Cut scenes and their labels into labelled tiles for training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine

from geoconvnext.data.labels import find_labels, open_labels
from geoconvnext.data.targets import UNLABELLED
from geoconvnext.data.tiles import FINENESS, TileFolder, TileRecord
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


@dataclass(frozen=True)
class TileCount:
    """What became of a scene: tiles written, and windows without enough valid pixels left out."""

    written: int
    left_out: int


def tile_scene(scene_path: Path, labels: Path | None, folder: Path, options: TileOptions) -> TileCount:
    """Cut one scene into tiles of `folder`. `labels`: vector file, mask, folder of these, or None: no buildings."""
    label_path = find_labels(scene_path, labels) if labels else None
    written = left_out = 0
    with Scene.open(
        scene_path,
        bands=options.bands,
        band_count=options.band_count,
        gsd_range_m=(options.gsd_m, math.inf),
        gsd_m=options.scene_gsd_m,
    ) as scene:
        truth = open_labels(label_path, scene)
        for window in windows(scene.height, scene.width, options.size):
            pixels = scene.read(window)
            if pixels.valid.mean() < MIN_VALID_SHARE:
                left_out += 1
                continue
            numbers = truth.numbers(window).copy()
            numbers[~np.kron(pixels.valid, np.ones((FINENESS, FINENESS), bool))] = UNLABELLED
            record = TileRecord(
                name=f"{scene_path.stem}_r{window.row}_c{window.col}",
                source=scene_path.name,
                gsd_m=scene.gsd_m or 1.0,
                separate=truth.separate,
                building_share=round(float(((numbers > 0) & (numbers < UNLABELLED)).mean()), 4),
                licence=options.licence,
            )
            transform = scene.transform @ Affine.translation(window.col, window.row)
            TileFolder(folder).write(record, pixels.pixels, numbers, transform=transform, crs=scene.crs)
            written += 1
    return TileCount(written, left_out)


def windows(height: int, width: int, size: int) -> Iterator[Window]:
    """Windows of nearly equal size, at most `size` on a side, that cover every pixel exactly once."""
    rows, cols = (_bounds(length, size) for length in (height, width))
    for top, bottom in rows:
        for left, right in cols:
            yield Window(top, left, bottom - top, right - left)


def _bounds(length: int, size: int) -> list[tuple[int, int]]:
    count = math.ceil(length / size)
    edges = [round(i * length / count) for i in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))
