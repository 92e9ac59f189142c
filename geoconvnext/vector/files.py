"""The only reader and writer of vector files."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from geoconvnext.errors import LabelError, OutputError
from geoconvnext.output import check_file, scratch_folder
from geoconvnext.vector import style
from geoconvnext.vector.formats import LAYER, SHAPEFILE_NAMES, WRITERS, Frames

_GDAL_ERRORS = (DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError)

SUFFIXES = tuple(WRITERS)


def check_output(path: Path) -> None:
    """Refuse a path that write_footprints could not write, before hours of work; OutputError."""
    check_file(path, SUFFIXES)


def write_footprints(
    footprints: gpd.GeoDataFrame | Iterable[gpd.GeoDataFrame], path: Path, *, provenance: Mapping[str, str]
) -> None:
    """Write polygons in the format that the suffix names; the file appears complete or not at all.

    footprints: one table, or one after the other, at least one; all with the same columns and CRS, and any of
    them may be empty. They are written as they come and not kept; what grows with their number is the spatial
    index: some 50 bytes of memory per footprint for a GeoPackage, 200 for a FlatGeobuf, which is sorted at
    the end. What making them raises is passed on, and nothing is left behind.

    A file of that name is replaced, with what belongs to it. provenance (scene, model, thresholds, version,
    date) goes where the format has a place: the metadata of the layer (GeoPackage, FlatGeobuf), the key
    "geoconvnext" of the schema (Parquet), the description (GeoJSON); a shapefile has none. GeoPackages carry
    their QGIS style; beside the others lies NAME.qml. GeoJSON is in EPSG:4326 (RFC 7946); without a CRS it
    holds the numbers as they are, and without any feature it has no columns.
    OutputError: the path cannot be used or the disk is full; nothing is left behind then.
    """
    check_output(path)
    frames = Frames([footprints] if isinstance(footprints, gpd.GeoDataFrame) else footprints)
    try:
        with scratch_folder(path) as folder:
            staged = folder / (path.stem + path.suffix.lower())
            WRITERS[staged.suffix](frames, staged, provenance)
            if frames.failure is not None:
                raise frames.failure
            if staged.suffix != ".gpkg":
                staged.with_suffix(".qml").write_text(style.qml(), encoding="utf-8")
            _verify(staged, frames.count)
            _publish(staged, path)
    except (*_GDAL_ERRORS, OSError, pa.ArrowException, sqlite3.Error) as error:
        if error is frames.failure:
            raise
        raise OutputError(
            f"Cannot write {path}: {error} ({_free_mb(path)} MB free there); "
            "make room or choose another folder."
        ) from error


def read_footprints(path: Path, *, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read a vector file of any format that GDAL opens, or GeoParquet.

    layer defaults to the layer that write_footprints makes, else to the first one. LabelError: no such file
    or layer, or the file is damaged.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return gpd.read_parquet(path)
        names = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        chosen = layer or (LAYER if LAYER in names else names[0])
        table: gpd.GeoDataFrame = pyogrio.read_dataframe(path, layer=chosen)
    except (*_GDAL_ERRORS, OSError, ValueError, IndexError, pa.ArrowException) as error:
        raise LabelError(
            f"Cannot read footprints from {path}: {error}; name a readable vector file."
        ) from error
    if path.suffix.lower() == ".shp":
        table = table.rename(columns={short: name for name, short in SHAPEFILE_NAMES.items()})
        if "touches_edge" in table:
            table["touches_edge"] = table["touches_edge"].astype(bool)
    return table


def _verify(path: Path, count: int) -> None:
    """Read the end of a file back: a disk that fills up while GDAL closes a file raises nothing.

    OSError: the file does not hold `count` features.
    """
    if path.suffix == ".parquet":
        found = pq.read_metadata(path).num_rows
    else:
        found = pyogrio.read_info(path, layer=0, force_feature_count=True)["features"]
        if found == count > 0:
            found -= int(not _has_feature(path, count - 1))
    if found != count:
        raise OSError(errno.EIO, f"only {found} of {count} footprints arrived in the file")


def _has_feature(path: Path, index: int) -> bool:
    """Say whether the feature at a position of the file can be read."""
    try:
        table = pyogrio.read_dataframe(path, layer=0, skip_features=index, max_features=1)
    except ValueError:  # how pyogrio reports that the features before it cannot be passed
        return False
    return len(table) == 1 and table.geometry.iloc[0] is not None


def _publish(staged: Path, path: Path) -> None:
    """Move a finished file and what belongs to it into place, the file itself last."""
    names = {file: path.with_name(file.name) for file in staged.parent.iterdir() if file != staged}
    for file in (*names, staged):
        with file.open("rb+") as written:
            os.fsync(written.fileno())
    for file, target in names.items():
        file.replace(target)
    # What belonged to the replaced file must not be read with the new one.
    for stale in _companions(path):
        if stale not in names.values():
            stale.unlink(missing_ok=True)
    staged.replace(path)


def _companions(path: Path) -> list[Path]:
    """Return the files that drivers read beside a file without being asked."""
    if path.suffix.lower() == ".gpkg":
        return [path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]
    if path.suffix.lower() == ".shp":
        return [
            path.with_suffix(end) for end in (".prj", ".cpg", ".qix", ".sbn", ".sbx", ".idm", ".ind", ".qpj")
        ]
    return []


def _free_mb(path: Path) -> int:
    """Return the free space where a path lies, in megabytes."""
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    return shutil.disk_usage(existing).free // 1_000_000
