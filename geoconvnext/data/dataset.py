"""Training and validation samples from tile sets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from geoconvnext.data.augment import Augmentation
from geoconvnext.data.crop import Crop
from geoconvnext.data.sample import Sample, channels_first, paste_buildings
from geoconvnext.data.sources import distinct_names, open_tile_set, read_tile, say_left_out
from geoconvnext.data.tiles import Tile, TileFolder, TileRecord
from geoconvnext.errors import LabelError

MAX_ENLARGEMENT = 2.0
"""A coarse tile is not enlarged more: interpolation shows the network nothing new."""
FINE_ENOUGH = 1.25
"""A tile shows the detail of an output whose pixels are smaller by no more than this factor."""
ATTEMPTS = 100
"""Damaged tiles in a row after which a tile set is given up."""

SampleIndex = tuple[int, int, int]
"""A tile, a specification, and the seed of everything random about the sample."""


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """What a sample is: `size` image pixels of `gsd_range_m` metres, targets `scale` times finer."""

    size: int
    scale: int
    gsd_range_m: tuple[float, float]

    def gsd_range_of(self, tile_gsd_m: float) -> tuple[float, float]:
        """Ground sampling distances of samples of a tile: it is enlarged at most MAX_ENLARGEMENT times."""
        lowest, highest = (max(gsd_m, tile_gsd_m / MAX_ENLARGEMENT) for gsd_m in self.gsd_range_m)
        return lowest, highest

    def cut(self, tile: Tile, record: TileRecord, crop: Crop, *, image_scale: int = 1) -> Sample:
        """Cut a sample from a tile, its image `image_scale` times as fine as the network's input."""
        output_size = self.size * self.scale
        return Sample.cut(
            tile,
            crop,
            image_size=self.size * image_scale,
            output_size=output_size,
            gsd_m=record.gsd_m * crop.side / output_size,
            separate=record.separate,
        )


class TrainingSamples(Dataset[dict[str, Tensor]]):
    """Random crops at random ground sampling distance and angle, augmented, from several tile sets.

    Item (tile, specification, seed): image uint8 (C, size, size), targets as `make_targets` makes them on a
    grid `scale` times finer, and where `fine_image` is asked for fine uint8 (C, scale*size, scale*size), the
    image as the sensor did not yet see it, and fine_known, whether the tile shows that detail.
    LabelError: a tile set is missing, none of its tiles can be read, or it has another number of bands.
    """

    def __init__(
        self,
        folders: Sequence[tuple[Path, float]],
        specs: Sequence[tuple[SampleSpec, float]],
        augmentation: Augmentation,
        *,
        fine_image: bool = False,
        bands: int = 3,
    ) -> None:
        self.specs = [spec for spec, _ in specs]
        self.augmentation, self.fine_image, self.bands = augmentation, fine_image, bands
        self.tiles: list[tuple[TileFolder, TileRecord]] = []
        weights: list[float] = []
        for path, share in folders:
            folder, records = open_tile_set(path, bands)
            self.tiles += [(folder, record) for record in records]
            weights += [share / len(records)] * len(records)
        self._tile_shares = _cumulated(weights)
        self._spec_shares = _cumulated([share for _, share in specs])
        self._named: set[int] = set()

    def __len__(self) -> int:
        return len(self.tiles)

    def draw(self, rng: np.random.Generator, count: int) -> list[SampleIndex]:
        """Draw a batch, all of one specification, by the shares of specifications and tile sets."""
        spec = int(np.searchsorted(self._spec_shares, rng.random(), side="right"))
        tiles = self._draw_tiles(rng, count)
        return [
            (tile, spec, int(seed)) for tile, seed in zip(tiles, rng.integers(2**62, size=count), strict=True)
        ]

    def damaged(self) -> list[str]:
        """Name the tiles whose image is missing or cannot be opened; about a millisecond for each tile."""
        names = []
        for folder, record in self.tiles:
            try:
                folder.header(record.name)
            except LabelError:
                names.append(f"{folder.path.name}/{record.name}")
        return names

    def __getitem__(self, index: SampleIndex) -> dict[str, Tensor]:
        tile_number, spec_number, seed = index
        rng = np.random.default_rng(seed)
        record, tile = self._read(tile_number, rng)
        spec = self.specs[spec_number]
        low, high = spec.gsd_range_of(record.gsd_m)
        gsd_m = math.exp(rng.uniform(math.log(low), math.log(high)))
        sharp = self.fine_image and record.gsd_m <= FINE_ENOUGH * gsd_m / spec.scale
        image_scale = spec.scale if sharp else 1
        crop = self._place(rng, tile, record, gsd_m * spec.size)
        sample = spec.cut(tile, record, crop, image_scale=image_scale)
        if rng.random() < self.augmentation.copy_paste:
            sample = self._paste(sample, spec, gsd_m, image_scale, rng)
        lit = self.augmentation.light(sample.image, rng)
        item = {"image": channels_first(self.augmentation.view(lit, image_scale, rng)), **sample.targets()}
        if self.fine_image:
            repeats = spec.scale // image_scale
            item["fine"] = channels_first(lit.repeat(repeats, axis=0).repeat(repeats, axis=1))
            item["fine_known"] = torch.tensor(sharp)
        return item

    def _place(self, rng: np.random.Generator, tile: Tile, record: TileRecord, side_m: float) -> Crop:
        height, width = tile.known.shape
        side = side_m / record.gsd_m
        return Crop.draw(rng, height, width, side=side, tilt=self.augmentation.rotate)

    def _paste(
        self, sample: Sample, spec: SampleSpec, gsd_m: float, image_scale: int, rng: np.random.Generator
    ) -> Sample:
        """Paste buildings of another tile, if it is fine enough and says where touching buildings part."""
        record, tile = self._read(self._draw_tiles(rng, 1)[0], rng)
        fits = record.gsd_m <= MAX_ENLARGEMENT * gsd_m and (record.separate or not sample.separate)
        if not fits:
            return sample
        crop = self._place(rng, tile, record, gsd_m * spec.size)
        return paste_buildings(sample, spec.cut(tile, record, crop, image_scale=image_scale))

    def _draw_tiles(self, rng: np.random.Generator, count: int) -> list[int]:
        return [int(tile) for tile in np.searchsorted(self._tile_shares, rng.random(count), side="right")]

    def _read(self, number: int, rng: np.random.Generator) -> tuple[TileRecord, Tile]:
        """Read a tile, or instead of a damaged one, which is named once, another draw."""
        for _ in range(ATTEMPTS):
            folder, record = self.tiles[number]
            try:
                return record, read_tile(folder, record, self.bands)
            except LabelError as error:
                if number not in self._named:
                    say_left_out(error)
                    self._named.add(number)
                number = self._draw_tiles(rng, 1)[0]
        raise LabelError(
            f"{ATTEMPTS} tiles in a row cannot be read, last of {folder.path}; check the tile sets"
        )


class ValidationSamples(Dataset[dict[str, Any]]):
    """Every tile of some tile sets as a grid of crops, not augmented.

    Items have image and targets as those of training, source, a name of the tile set that no other has, and
    name, the tile's. All tiles are read at once: those that are damaged are named on stderr, left out and
    listed in `damaged`. LabelError: as for TrainingSamples.
    """

    def __init__(self, folders: Sequence[Path], spec: SampleSpec, *, bands: int = 3) -> None:
        self.spec, self.bands = spec, bands
        self.crops: list[tuple[TileFolder, TileRecord, str, Crop]] = []
        self.damaged: list[str] = []
        for path, source in zip(folders, distinct_names(folders), strict=True):
            folder, records = open_tile_set(path, bands)
            for record in records:
                try:
                    tile = read_tile(folder, record, bands)
                except LabelError as error:
                    say_left_out(error)
                    self.damaged.append(f"{source}/{record.name}")
                    continue
                self.crops += [(folder, record, source, crop) for crop in self._grid(tile, record)]
        if not self.crops:
            raise LabelError(
                f"none of the {len(self.damaged)} validation tiles can be read;"
                " make them again with `geoconvnext tile`"
            )

    def _grid(self, tile: Tile, record: TileRecord) -> list[Crop]:
        low, high = self.spec.gsd_range_of(record.gsd_m)
        side = self.spec.size * min(max(record.gsd_m, low), high) / record.gsd_m
        rows, cols = (_centres(length, side) for length in tile.known.shape)
        return [Crop(row=row, col=col, side=side) for row in rows for col in cols]

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> dict[str, Any]:
        folder, record, source, crop = self.crops[index]
        sample = self.spec.cut(read_tile(folder, record, self.bands), record, crop)
        image = channels_first(sample.image)
        return {"image": image, **sample.targets(), "source": source, "name": record.name}


def _centres(length: int, stride: float) -> list[float]:
    """Evenly spaced, at most `stride` apart but for rounding."""
    count = max(1, math.ceil(length / stride - 1e-6))
    return [(i + 0.5) * length / count for i in range(count)]


def _cumulated(shares: Sequence[float]) -> NDArray[np.float64]:
    """Upper ends of the shares, the last one 1."""
    ends = np.cumsum(shares)
    return np.asarray(ends / ends[-1])
