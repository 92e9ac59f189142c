"""Training and validation samples from tile sets."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from geoconvnext.data.augment import Crop, cut_image, cut_labels, sensor_augmentation
from geoconvnext.data.targets import make_targets
from geoconvnext.data.tiles import FINENESS, TileFolder, TileRecord

MAX_ENLARGEMENT = 2.0
"""A coarse tile is not enlarged more: interpolation shows the network nothing new."""


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """What a sample is: `size` image pixels of `gsd_range_m` metres, targets `scale` times finer."""

    size: int
    scale: int
    gsd_range_m: tuple[float, float]

    def zoom_range(self, tile_gsd_m: float) -> tuple[float, float]:
        """Tile pixels per sample pixel; a coarse tile is enlarged at most MAX_ENLARGEMENT times."""
        lowest, highest = (max(gsd / tile_gsd_m, 1 / MAX_ENLARGEMENT) for gsd in self.gsd_range_m)
        return lowest, highest


class TrainingSamples(Dataset[dict[str, Tensor]]):
    """Random crops at random ground sampling distance and angle, augmented, from several tile sets.

    Item `index` cuts from tile `index`: image uint8 (C, size, size), targets body, edge, contact uint8
    (scale*size, scale*size) and orientation float32 (2, scale*size/4, scale*size/4). `weights`: how often to
    draw each item.
    """

    def __init__(self, folders: Sequence[tuple[Path, float]], spec: SampleSpec) -> None:
        self.spec = spec
        self.tiles: list[tuple[TileFolder, TileRecord]] = []
        self.weights: list[float] = []
        for path, share in folders:
            records = TileFolder(path).records()
            self.tiles += [(TileFolder(path), record) for record in records]
            self.weights += [share / len(records)] * len(records)
        self.sensor = sensor_augmentation()

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        folder, record = self.tiles[index]
        image, labels = folder.read(record.name)
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        crop = self._draw(rng, image.shape[:2], record.gsd_m)
        sample = self.sensor(image=cut_image(image, crop, self.spec.size))["image"]
        return _sample(sample, labels, crop, record, self.spec)

    def _draw(self, rng: np.random.Generator, shape: Sequence[int], gsd_m: float) -> Crop:
        lowest, highest = self.spec.zoom_range(gsd_m)
        zoom = float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))
        margins = [min(zoom * self.spec.size / 2, size / 2) for size in shape]
        row, col = (rng.uniform(margin, size - margin) for margin, size in zip(margins, shape, strict=True))
        quarter_turns = rng.integers(4) * np.pi / 2
        tilt = rng.uniform(-np.pi / 4, np.pi / 4) if rng.random() < 0.5 else 0.0
        mirror = bool(rng.integers(2))
        return Crop(row=row, col=col, angle=quarter_turns + tilt, mirror=mirror, zoom=zoom)


class ValidationSamples(Dataset[dict[str, Any]]):
    """Every tile of a tile set as a grid of crops, not augmented; items also carry their `source`."""

    def __init__(self, folders: Sequence[Path], spec: SampleSpec) -> None:
        self.spec = spec
        self.crops: list[tuple[TileFolder, TileRecord, str, Crop]] = []
        for path in folders:
            folder = TileFolder(path)
            for record in folder.records():
                self.crops += [(folder, record, path.name, crop) for crop in self._grid(folder, record)]

    def _grid(self, folder: TileFolder, record: TileRecord) -> list[Crop]:
        lowest, highest = self.spec.zoom_range(record.gsd_m)
        zoom = float(np.clip(1.0, lowest, highest))
        stride = zoom * self.spec.size
        image, _ = folder.read(record.name)
        rows, cols = (_centres(size, stride) for size in image.shape[:2])
        return [Crop(row=row, col=col, zoom=zoom) for row in rows for col in cols]

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> dict[str, Any]:
        folder, record, source, crop = self.crops[index]
        image, labels = folder.read(record.name)
        sample = cut_image(image, crop, self.spec.size)
        return {**_sample(sample, labels, crop, record, self.spec), "source": source}


def _centres(length: int, stride: float) -> list[float]:
    """Evenly spaced, at most `stride` apart but for rounding."""
    count = max(1, int(np.ceil(length / stride - 1e-6)))
    return [(i + 0.5) * length / count for i in range(count)]


def _sample(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    crop: Crop,
    record: TileRecord,
    spec: SampleSpec,
) -> dict[str, Tensor]:
    cut = cut_labels(labels, crop, spec.size, label_fineness=FINENESS, scale=spec.scale)
    gsd_m = record.gsd_m * crop.zoom / spec.scale
    targets = make_targets(cut, gsd_m=gsd_m, separate=record.separate)
    tensors = {name: torch.from_numpy(target) for name, target in asdict(targets).items()}
    return {"image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), **tensors}
