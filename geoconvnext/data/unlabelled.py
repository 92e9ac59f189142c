"""Random crops of scenes without labels, with patches drawn to be hidden, for masked pretraining."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from geoconvnext.data.stored_scene import StoredScene, read_left_out
from geoconvnext.errors import ConfigError, SceneError
from geoconvnext.model.fcmae import PATCH
from geoconvnext.raster.color import to_grey
from geoconvnext.raster.grid import Window
from geoconvnext.raster.resample import axis_filter, resample
from geoconvnext.raster.scene import Pixels

MEMORY_BYTES = 4 * 2**30
"""Scenes are kept in memory, in their order, as long as they fit into this; others are read when needed."""
TRIES = 1000
"""Places that are tried for a sample until one has enough data and lies outside of what is left out."""


@dataclass(frozen=True, kw_only=True)
class CropSpec:
    """What a sample is.

    bands: of the image; size: pixels on a side, a multiple of 32; gsd_range_m: finest and coarsest ground
    sampling distance; mask_share: of the patches of 32 pixels that are hidden.
    """

    bands: int
    size: int
    gsd_range_m: tuple[float, float]
    mask_share: float

    def __post_init__(self) -> None:
        if not 0 < self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise ConfigError(f"gsd_range_m must be two positive ascending numbers; found {self.gsd_range_m}")

    @property
    def visible(self) -> int:
        """Visible patches of every sample, at least one and not all."""
        patches = (self.size // PATCH) ** 2
        return min(max(1, round((1 - self.mask_share) * patches)), patches - 1)


class UnlabelledSamples(Dataset[dict[str, Tensor]]):
    """Endless samples; all that is random about item `index` comes from (seed, index).

    An item is image uint8 (bands, size, size), visible bool (size/32, size/32), True for `spec.visible`
    patches, and wanted bool, the others where there is data. A scene coarser than the range of `spec` is
    enlarged to it. skipped: why scenes could not be used.

    leave_out: vector file with a CRS, of areas that no sample touches. SceneError: no scene can be used.
    LabelError: leave_out cannot be read.
    """

    def __init__(
        self,
        scenes: Sequence[str],
        spec: CropSpec,
        *,
        seed: int,
        leave_out: Path | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.spec, self.seed = spec, seed
        self.skipped: list[str] = []
        self.scenes: list[StoredScene] = []
        self._damaged: set[str] = set()
        left_out = read_left_out(leave_out) if leave_out else None
        for path in scenes:
            try:
                scene = StoredScene(path, bands=spec.bands, gsd_range_m=spec.gsd_range_m, left_out=left_out)
                self._check_size(scene)
                if scene.size_bytes <= memory_bytes:
                    scene.load()
                    memory_bytes -= scene.size_bytes
                self.scenes.append(scene)
            except SceneError as error:
                self.skipped.append(str(error))
        known = np.array([scene.known for scene in self.scenes], np.float64)
        if not known.sum():
            reasons = "".join(f"\n  {reason}" for reason in self.skipped)
            raise SceneError(f"no scene to pretrain on: none of {len(scenes)} can be used{reasons}")
        self._shares = known / known.sum()

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, index))
        for _ in range(TRIES):
            scene = self.scenes[rng.choice(len(self.scenes), p=self._shares)]
            crop = self._cut(scene, rng)
            if crop is not None and (sample := _hide(*_turned(*crop, rng), self.spec.visible, rng)):
                return sample
        raise SceneError(
            f"{TRIES} random places in the scenes have no data or lie in areas of leave_out;"
            " give more scenes, or a smaller sample_size"
        )

    def _check_size(self, scene: StoredScene) -> None:
        rows, cols = (min(extent, self.spec.size) // PATCH for extent in (scene.height, scene.width))
        if rows * cols <= self.spec.visible:
            raise SceneError(
                f"{scene.path}: {scene.width} x {scene.height} pixels of {scene.gsd_m:.3g} m are too few"
                f" for samples of {self.spec.size} pixels"
            )

    def _cut(
        self, scene: StoredScene, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
        """Cut grey values (bands, size, size) and validity; None where that is not possible."""
        window, zoom = self._place(scene, rng)
        if not scene.is_free(window):
            return None
        try:
            found = scene.read(window)
        except SceneError as error:
            if scene.path not in self._damaged:  # once; another place in it may be whole
                self._damaged.add(scene.path)
                print(f"damaged: {error}", file=sys.stderr, flush=True)
            return None
        return _resized(found, zoom, self.spec.size) if found.valid.any() else None

    def _place(self, scene: StoredScene, rng: np.random.Generator) -> tuple[Window, float]:
        """Draw a window inside the scene, and its pixels per sample pixel along an axis, one or more."""
        lowest, highest = (max(1.0, gsd_m / scene.gsd_m) for gsd_m in self.spec.gsd_range_m)
        fitting = max(1.0, min(scene.height, scene.width) / self.spec.size)
        zoom = min(float(np.exp(rng.uniform(np.log(lowest), np.log(highest)))), fitting)
        side = round(zoom * self.spec.size)
        height, width = min(side, scene.height), min(side, scene.width)
        row, col = rng.integers(scene.height - height + 1), rng.integers(scene.width - width + 1)
        return Window(int(row), int(col), height, width), zoom


def unlabelled_loader(
    samples: UnlabelledSamples, *, batch_size: int, first_batch: int, batches: int, workers: int
) -> DataLoader[dict[str, Tensor]]:
    """Batches `first_batch` to `batches` of a run; batch k holds the items from k * batch_size on."""
    items = range(first_batch * batch_size, batches * batch_size)
    return DataLoader(samples, batch_size, sampler=items, num_workers=workers)


def _resized(found: Pixels, zoom: float, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Average to pixels `zoom` times as large; what a small scene leaves of (size, size) is invalid."""
    height, width = found.valid.shape
    rows, cols = min(size, round(height / zoom)), min(size, round(width / zoom))
    down = axis_filter(0, rows, factor=height / rows, length=height)
    across = axis_filter(0, cols, factor=width / cols, length=width)
    values, valid = resample(found.pixels, found.valid, down, across)
    image, known = np.zeros((len(values), size, size), np.uint8), np.zeros((size, size), np.bool_)
    image[:, :rows, :cols] = to_grey(values)
    known[:rows, :cols] = valid
    return image, known


def _turned(
    image: NDArray[np.uint8], known: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Turn by quarters and mirror at random."""
    turns, step = int(rng.integers(4)), int(rng.choice([-1, 1]))
    return np.rot90(image, turns, (1, 2))[..., ::step], np.rot90(known, turns)[..., ::step]


def _hide(
    image: NDArray[np.uint8], known: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> dict[str, Tensor] | None:
    """Draw the visible patches among those with data all over; None where all of them would be visible."""
    side = len(known) // PATCH
    whole = known.reshape(side, PATCH, side, PATCH).all(axis=(1, 3))
    places = np.flatnonzero(whole)
    if len(places) <= count:
        return None
    visible = np.zeros((side, side), np.bool_)
    visible.flat[rng.choice(places, count, replace=False)] = True
    return {
        "image": torch.from_numpy(np.ascontiguousarray(image)),
        "visible": torch.from_numpy(visible),
        "wanted": torch.from_numpy(whole & ~visible),
    }
