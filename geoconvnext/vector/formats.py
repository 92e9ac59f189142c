"""How tables of footprints stream into a file of each format, a few of them in memory at a time."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
from pyproj import CRS

from geoconvnext.vector import geopackage

T = TypeVar("T")

LAYER = "buildings"

# The attribute table of a shapefile has names of ten characters and no true or false.
SHAPEFILE_NAMES = {"perimeter_m": "perim_m", "touches_edge": "touch_edge"}

ROWS_PER_GROUP = 2**16
"""Footprints that a group of rows of a Parquet file holds at least, but for the last one."""


class Frames:
    """Tables of footprints on their way into a file.

    first: the first one, which shows the columns and the CRS.
    count: how many footprints have gone by.
    failure: what was raised while the tables were made; see guard().
    """

    def __init__(self, frames: Iterable[gpd.GeoDataFrame]) -> None:
        self._coming = iter(frames)
        first = next(self._coming, None)
        assert first is not None, "footprints need one table at least, be it empty"
        self.first: gpd.GeoDataFrame = first
        self.count = 0
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[gpd.GeoDataFrame]:
        for frame in chain([self.first], self._coming):
            self.count += len(frame)
            yield frame

    def guard(self, made: Iterable[T]) -> Iterator[T]:
        """Pass on what is made of the tables; it ends where that fails, since GDAL would lose an exception.

        Who writes a file raises the failure as soon as the file is closed.
        """
        try:
            yield from made
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - an interrupt as well
            self.failure = error


def _write_gpkg(frames: Frames, path: Path, provenance: Mapping[str, str]) -> None:
    _write_gdal(frames, path, layer=LAYER, layer_metadata=dict(provenance))
    geopackage.complete(path, LAYER)


def _write_flatgeobuf(frames: Frames, path: Path, provenance: Mapping[str, str]) -> None:
    _write_gdal(frames, path, layer=LAYER, layer_metadata=dict(provenance))


def _write_geojson(frames: Frames, path: Path, provenance: Mapping[str, str]) -> None:
    description = json.dumps(dict(provenance))
    if frames.first.crs is None:
        _write_gdal(frames, path, layer=LAYER, DESCRIPTION=description)
    else:
        to_degrees = lambda frame: frame.to_crs(4326)  # noqa: E731
        _write_gdal(frames, path, to_degrees, layer=LAYER, DESCRIPTION=description, RFC7946="YES")


def _write_shapefile(frames: Frames, path: Path, provenance: Mapping[str, str]) -> None:  # noqa: ARG001
    _write_gdal(frames, path, lambda frame: frame.rename(columns=SHAPEFILE_NAMES))


def _write_gdal(
    frames: Frames,
    path: Path,
    prepare: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame] = lambda frame: frame,
    **options: object,
) -> None:
    """Let GDAL take one prepared table after the other; it makes the spatial index when it closes."""
    first = prepare(frames.first)
    schema = _to_arrow(first).schema
    batches = (batch for frame in frames for batch in _to_arrow(prepare(frame), schema).to_batches())
    pyogrio.write_arrow(
        pa.RecordBatchReader.from_batches(schema, frames.guard(batches)),
        path,
        geometry_type="MultiPolygon" if "MultiPolygon" in set(first.geom_type) else "Polygon",
        crs=None if first.crs is None else _crs_text(first.crs),
        **options,
    )


def _write_parquet(frames: Frames, path: Path, provenance: Mapping[str, str]) -> None:
    schema, geo = _to_arrow(frames.first).schema, _geo_metadata(frames.first)
    metadata = {**schema.metadata, "geo": json.dumps(geo), "geoconvnext": json.dumps(dict(provenance))}
    types: set[str] = set()
    bounds = []
    with pq.ParquetWriter(path, schema.with_metadata(metadata)) as writer:
        for group in frames.guard(_in_groups(frames)):
            writer.write_table(_to_arrow(group, schema))
            types.update(group.geom_type.dropna())
            bounds.append(group.total_bounds)
        if types:
            west, south, east, north = np.transpose(bounds)
            box = [np.nanmin(west), np.nanmin(south), np.nanmax(east), np.nanmax(north)]
            geo["columns"][geo["primary_column"]] |= {"geometry_types": sorted(types), "bbox": box}
            writer.add_key_value_metadata({"geo": json.dumps(geo)})


def _in_groups(frames: Iterable[gpd.GeoDataFrame]) -> Iterator[gpd.GeoDataFrame]:
    """Join tables to such of ROWS_PER_GROUP or more."""
    group: list[gpd.GeoDataFrame] = []
    for frame in frames:
        group.append(frame)
        if sum(map(len, group)) >= ROWS_PER_GROUP:
            yield pd.concat(group)
            group = []
    if group:
        yield pd.concat(group)


def _geo_metadata(table: gpd.GeoDataFrame) -> dict[str, Any]:
    """Return what geopandas says of the geometries in a GeoParquet file, before there is one."""
    empty = io.BytesIO()
    table.iloc[:0].to_parquet(empty, index=False)
    geo: dict[str, Any] = json.loads(pq.read_schema(empty).metadata[b"geo"])
    return geo


def _to_arrow(table: gpd.GeoDataFrame, schema: pa.Schema | None = None) -> pa.Table:
    """Return a table with its polygons as WKB, and with just the column types that a file was begun with."""
    arrow = pa.table(table.to_arrow(index=False))
    if schema is None:
        # A column of nothing has no type; text takes all.
        fields = [
            field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in arrow.schema
        ]
        schema = pa.schema(fields, arrow.schema.metadata)
    return arrow.cast(schema)


def _crs_text(crs: CRS) -> str:
    """Return a CRS as files name it best: by its EPSG code, else in full."""
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else crs.to_wkt()


Writer = Callable[[Frames, Path, Mapping[str, str]], None]

WRITERS: dict[str, Writer] = {
    ".gpkg": _write_gpkg,
    ".parquet": _write_parquet,
    ".fgb": _write_flatgeobuf,
    ".geojson": _write_geojson,
    ".shp": _write_shapefile,
}
"""Writers by suffix: they write every table, and raise what GDAL, pyarrow and sqlite3 raise."""
