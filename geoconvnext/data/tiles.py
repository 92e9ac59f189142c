"""Tile sets: the only reader and writer of labelled tiles.

A tile set is a folder with `tiles.csv` and two GeoTIFFs per tile: `NAME.tif`, the image (uint8, bands x H x
W), and `NAME_labels.tif`, instance numbers (uint16) on a grid FINENESS times finer: 0 background, 65535
unlabelled.
"""

import csv
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoconvnext.errors import LabelError, OutputError
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset
from geoconvnext.raster.write import write_raster

FINENESS = 2
MANIFEST = "tiles.csv"


@dataclass(frozen=True)
class TileRecord:
    """A row of the manifest.

    name: of the tile's files; source: the scene; gsd_m: metres per pixel; separate: touching buildings have
    numbers of their own; building_share: share of building pixels; licence: of scene and labels.
    """

    name: str
    source: str
    gsd_m: float
    separate: bool
    building_share: float
    licence: str

    def __post_init__(self) -> None:
        if not (self.gsd_m > 0 and math.isfinite(self.gsd_m)):
            raise ValueError(f"gsd_m must be a positive number of metres; found {self.gsd_m}")

    @classmethod
    def parse(cls, row: dict[str, str | None]) -> "TileRecord":
        """Read a row of the manifest; ValueError where it is malformed."""
        cells = {field.name: row.get(field.name) for field in fields(cls)}
        missing = [name for name, cell in cells.items() if cell is None]
        if missing:
            raise ValueError(f"no {', '.join(missing)}")
        text = {name: str(cell) for name, cell in cells.items()}
        if text["separate"] not in {"True", "False"}:
            raise ValueError(f"separate must be True or False; found {text['separate']}")
        return cls(
            name=text["name"],
            source=text["source"],
            gsd_m=float(text["gsd_m"]),
            separate=text["separate"] == "True",
            building_share=float(text["building_share"]),
            licence=text["licence"],
        )


@dataclass(frozen=True)
class TileFolder:
    """A tile set on disk."""

    path: Path

    def records(self) -> list[TileRecord]:
        """Rows of the manifest; LabelError where it is missing, malformed or empty."""
        manifest = self.path / MANIFEST
        if not manifest.is_file():
            raise LabelError(
                f"no tile set at {self.path}: {MANIFEST} is missing; make one with `geoconvnext tile`"
            )
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            try:
                records = [TileRecord.parse(row) for row in rows]
            except (ValueError, csv.Error) as error:
                raise LabelError(
                    f"{manifest} is malformed at line {rows.line_num}: {error};"
                    " make the tile set again with `geoconvnext tile`"
                ) from error
        if not records:
            raise LabelError(f"{manifest} has no tiles; cut some with `geoconvnext tile`")
        return records

    def names(self) -> set[str]:
        """Names of the tiles, none where the tile set does not exist yet."""
        return {record.name for record in self.records()} if (self.path / MANIFEST).exists() else set()

    def read(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Image (H, W, bands) and labels (FINENESS*H, FINENESS*W) of a tile; LabelError if damaged."""
        image = np.moveaxis(self._pixels(name, f"{name}.tif"), 0, -1)
        labels = self._pixels(name, f"{name}_labels.tif")[0]
        expected = tuple(FINENESS * size for size in image.shape[:2])
        if image.dtype != np.uint8 or labels.dtype != np.uint16 or labels.shape != expected:
            raise LabelError(
                f"tile {name} of {self.path} must be uint8 with uint16 labels of shape {expected}; found"
                f" {image.dtype} and {labels.dtype} {labels.shape}; make it again with `geoconvnext tile`"
            )
        return np.ascontiguousarray(image), labels

    def write(
        self,
        record: TileRecord,
        image: NDArray[np.uint8],
        labels: NDArray[np.uint16],
        *,
        transform: Affine,
        crs: CRS | None,
    ) -> None:
        """Add a tile: image (bands, H, W), labels (FINENESS*H, FINENESS*W), transform of the image's grid.

        OutputError where it cannot be written. The manifest comes last, so that it names complete tiles only.
        """
        write_raster(self.path / f"{record.name}.tif", image, transform=transform, crs=crs)
        fine = transform @ Affine.scale(1 / FINENESS)
        write_raster(self.path / f"{record.name}_labels.tif", labels[None], transform=fine, crs=crs)
        try:
            self._append(record)
        except OSError as error:
            raise OutputError(
                f"cannot write tile {record.name} to {self.path}: {error}; make room or choose another folder"
            ) from error

    def _pixels(self, name: str, file_name: str) -> NDArray[Any]:
        try:
            with open_dataset(str(self.path / file_name)) as file:
                return np.asarray(file.read())
        except GDAL_ERRORS as error:
            raise LabelError(
                f"tile {name} of {self.path} cannot be read: {error}; make it again with `geoconvnext tile`"
            ) from error

    def _append(self, record: TileRecord) -> None:
        manifest = self.path / MANIFEST
        is_new = not manifest.exists()
        names = [field.name for field in fields(TileRecord)]
        with manifest.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(names)
            writer.writerow([getattr(record, name) for name in names])
