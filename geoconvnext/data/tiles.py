"""Tile sets: the only reader and writer of labelled tiles.

A tile set is a folder with `tiles.csv` and two files per tile: `NAME.tif`, the image (uint8, bands x H x W)
with a mask band that is 0 where nothing is known, and `NAME.fgb`, the polygons of the buildings that reach
into the tile, whole, in the same coordinates. Polygons of a tile do not overlap each other.
"""

import csv
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoconvnext.data.rings import Rings
from geoconvnext.data.tile_files import TILE_ERRORS, read_image, read_polygons, write_image, write_polygons
from geoconvnext.errors import LabelError, OutputError
from geoconvnext.output import draft, scratch_folder
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset

MANIFEST = "tiles.csv"
LAYER = "buildings"
_AGAIN = "make it again with `geoconvnext tile`"


@dataclass(frozen=True)
class TileRecord:
    """A row of the manifest.

    name: of the tile's files; source: the scene; gsd_m: metres per pixel; separate: touching buildings have
    polygons of their own; building_share: share of building pixels; licence: of scene and labels; buildings:
    polygons that reach into the tile.
    """

    name: str
    source: str
    gsd_m: float
    separate: bool
    building_share: float
    licence: str
    buildings: int

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
            buildings=int(text["buildings"]),
        )


@dataclass(frozen=True)
class Tile:
    """Pixels and buildings of a tile.

    image: uint8 (H, W, bands), contiguous; known: bool (H, W), False without data and without labels; rings:
    of the buildings, in pixels, reaching beyond the tile where the buildings do.
    """

    image: NDArray[np.uint8]
    known: NDArray[np.bool_]
    rings: Rings


@dataclass(frozen=True)
class TileHeader:
    """A tile without its pixels.

    shape: (bands, H, W); corners: (4, 2), where it lies in `crs`, or in the pixels of its source where it
    has no CRS.
    """

    shape: tuple[int, int, int]
    corners: NDArray[np.float64]
    crs: CRS | None

    @property
    def bands(self) -> int:
        """Bands of the image."""
        return self.shape[0]


@dataclass(frozen=True)
class TileFolder:
    """A tile set on disk."""

    path: Path

    def records(self) -> list[TileRecord]:
        """Rows of the manifest; LabelError where it is missing, malformed, empty or of an older version."""
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
                if any(self.path.glob("*_labels.tif")):
                    raise LabelError(
                        f"tile set {self.path} is of an older version, with labels as pixels (_labels.tif);"
                        " cut its scenes again with `geoconvnext tile`"
                    ) from error
                raise LabelError(
                    f"{manifest} is malformed at line {rows.line_num}: {error};"
                    " make the tile set again with `geoconvnext tile`"
                ) from error
        if not records:
            raise LabelError(f"{manifest} has no tiles; cut some with `geoconvnext tile`")
        return records

    def exists(self) -> bool:
        """Say whether there is a manifest."""
        return (self.path / MANIFEST).exists()

    def read(self, name: str) -> Tile:
        """Read a tile; LabelError, naming it, where it is damaged."""
        try:
            bands, known, transform = read_image(self.path / f"{name}.tif")
            buildings = read_polygons(self.path / f"{name}.fgb")
        except TILE_ERRORS as error:
            raise LabelError(f"tile {name} of {self.path} cannot be read: {error}; {_AGAIN}") from error
        if bands.dtype != np.uint8:
            raise LabelError(f"tile {name} of {self.path} must be uint8; found {bands.dtype}; {_AGAIN}")
        image = cv2.merge(list(bands)).reshape(*known.shape, -1)
        return Tile(image, known, Rings.from_polygons(_moved(buildings, ~transform)))

    def header(self, name: str) -> TileHeader:
        """Read what a tile says of itself, without its pixels; LabelError where it is damaged."""
        try:
            with open_dataset(str(self.path / f"{name}.tif")) as file:
                height, width = file.shape
                corners = [file.transform @ at for at in ((0, 0), (width, 0), (width, height), (0, height))]
                return TileHeader((file.count, height, width), np.array(corners), file.crs)
        except GDAL_ERRORS as error:
            raise LabelError(f"tile {name} of {self.path} cannot be read: {error}; {_AGAIN}") from error

    def write(
        self,
        record: TileRecord,
        image: NDArray[np.uint8],
        buildings: Sequence[shapely.Polygon] | NDArray[np.object_],
        known: NDArray[np.bool_],
        *,
        transform: Affine,
        crs: CRS | str | None,
    ) -> None:
        """Add a tile: image (bands, H, W), Polygons in `crs`, known (H, W), transform of the image's grid.

        OutputError where it cannot be written; nothing is left of it then. The manifest comes last, so that
        it names complete tiles only.
        """
        assert record.buildings == len(buildings)
        names = (f"{record.name}.fgb", f"{record.name}.tif")
        try:
            with scratch_folder(self.path / record.name) as drafts:
                write_polygons(drafts / names[0], np.asarray(buildings, object), layer=LAYER, crs=crs)
                write_image(drafts / names[1], image, known, transform=transform, crs=crs)
                for name in names:
                    (drafts / name).replace(self.path / name)
            self._list(record)
        except (OSError, *TILE_ERRORS) as error:
            raise OutputError(
                f"cannot write tile {record.name} to {self.path}: {error}; make room or choose another folder"
            ) from error

    def discard(self, source: str) -> None:
        """Take the tiles of a scene out again, the manifest first; an empty folder goes too."""
        if not self.exists():
            return
        records = self.records()
        kept = [record for record in records if record.source != source]
        if kept:
            with draft(self.path / MANIFEST) as part:
                _append(part, kept)
        else:
            (self.path / MANIFEST).unlink()
        for record in records:
            if record.source == source:
                self._unlink(record)
        with suppress(OSError):
            self.path.rmdir()

    def _list(self, record: TileRecord) -> None:
        """Add a row to the manifest; without room for it the tile's files go again."""
        manifest = self.path / MANIFEST
        size = manifest.stat().st_size if manifest.exists() else 0
        try:
            _append(manifest, [record])
        except OSError:
            if size:
                os.truncate(manifest, size)
            else:
                manifest.unlink(missing_ok=True)
            self._unlink(record)
            raise

    def _unlink(self, record: TileRecord) -> None:
        for suffix in (".tif", ".fgb"):
            (self.path / f"{record.name}{suffix}").unlink(missing_ok=True)


def _append(manifest: Path, records: Sequence[TileRecord]) -> None:
    is_new = not manifest.exists()
    names = [field.name for field in fields(TileRecord)]
    with manifest.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(names)
        writer.writerows([getattr(record, name) for name in names] for record in records)


def _moved(polygons: NDArray[np.object_], transform: Affine) -> NDArray[np.object_]:
    a, b, c, d, e, f = transform[:6]
    turn, shift = np.array([[a, d], [b, e]]), np.array([c, f])
    moved: NDArray[np.object_] = shapely.transform(polygons, lambda xy: xy @ turn + shift)
    return moved
