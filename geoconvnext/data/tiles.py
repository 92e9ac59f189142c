"""Tile sets: the only reader and writer of labelled tiles.

A tile set is a folder with `tiles.csv` and two GeoTIFFs per tile: `NAME.tif`, the image (uint8, bands x H x W), and
`NAME_labels.tif`, the instance numbers (uint16) on a grid FINENESS times finer: 0 background, 65535 unlabelled.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from geoconvnext.errors import LabelError, OutputError
from geoconvnext.raster.write import write_raster

FINENESS = 2
MANIFEST = "tiles.csv"


@dataclass(frozen=True)
class TileRecord:
    """A row of the manifest.

    name: of the tile's files; source: the scene; gsd_m: metres per pixel; separate: whether touching buildings
    have numbers of their own; building_share: share of building pixels; licence: of scene and labels.
    """

    name: str
    source: str
    gsd_m: float
    separate: bool
    building_share: float
    licence: str

    @classmethod
    def parse(cls, row: dict[str, str]) -> TileRecord:
        """Read a row of the manifest; KeyError or ValueError where it is malformed."""
        return cls(
            name=row["name"],
            source=row["source"],
            gsd_m=float(row["gsd_m"]),
            separate=row["separate"] == "True",
            building_share=float(row["building_share"]),
            licence=row["licence"],
        )


@dataclass(frozen=True)
class TileFolder:
    """A tile set on disk."""

    path: Path

    def records(self) -> list[TileRecord]:
        """Rows of the manifest; LabelError where it is missing, malformed or empty."""
        manifest = self.path / MANIFEST
        if not manifest.is_file():
            raise LabelError(f"no tile set at {self.path}: {MANIFEST} is missing; make one with `geoconvnext tile`")
        with manifest.open(newline="") as file:
            try:
                records = [TileRecord.parse(row) for row in csv.DictReader(file)]
            except (KeyError, ValueError, TypeError) as error:
                raise LabelError(f"{manifest} is malformed ({error}); make it again with `geoconvnext tile`") from error
        if not records:
            raise LabelError(f"{manifest} has no tiles; cut some with `geoconvnext tile`")
        return records

    def read(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Image (H, W, bands) and labels (FINENESS*H, FINENESS*W) of a tile."""
        try:
            with rasterio.open(self.path / f"{name}.tif") as file:
                image = np.moveaxis(file.read(), 0, -1)
            with rasterio.open(self.path / f"{name}_labels.tif") as file:
                labels = file.read(1)
        except RasterioError as error:
            raise LabelError(f"tile {name} of {self.path} cannot be read: {error}") from error
        _check(self.path / name, image, labels)
        return np.ascontiguousarray(image), labels

    def write(
        self, record: TileRecord, image: NDArray[np.uint8], labels: NDArray[np.uint16], *, transform: Affine, crs: CRS | None
    ) -> None:
        """Add a tile: image (bands, H, W), labels (FINENESS*H, FINENESS*W), transform of the image's grid."""
        write_raster(self.path / f"{record.name}.tif", image, transform=transform, crs=crs)
        fine = transform @ Affine.scale(1 / FINENESS)
        write_raster(self.path / f"{record.name}_labels.tif", labels[None], transform=fine, crs=crs)
        try:
            self._append(record)
        except OSError as error:
            raise OutputError(f"cannot write tile {record.name} to {self.path}: {error}") from error

    def _append(self, record: TileRecord) -> None:
        manifest = self.path / MANIFEST
        is_new = not manifest.exists()
        names = [field.name for field in fields(TileRecord)]
        with manifest.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(names)
            writer.writerow([getattr(record, name) for name in names])


def _check(path: Path, image: NDArray[Any], labels: NDArray[Any]) -> None:
    expected = tuple(FINENESS * size for size in image.shape[:2])
    if image.dtype != np.uint8 or labels.dtype != np.uint16 or labels.shape != expected:
        raise LabelError(
            f"tile {path} must be uint8 with uint16 labels of shape {expected};"
            f" found {image.dtype} and {labels.dtype} {labels.shape}"
        )
