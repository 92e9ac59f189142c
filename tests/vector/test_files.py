"""Vector files: round trips in every format, and nothing half done."""

import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import warnings
import weakref
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from pyproj import CRS

from geoconvnext.errors import LabelError, OutputError
from geoconvnext.vector import formats
from geoconvnext.vector.files import LAYER, SUFFIXES, check_output, read_footprints, write_footprints

PROVENANCE = {
    "scene": "Straße=1.tif",
    "model": "pico",
    "body_threshold": "0.5",
    "date": "2025-01-31T12:00:00Z",
}


def make_table(count=3, crs="EPSG:32633"):
    corner = np.arange(count) * 30.0 + 420_000
    return gpd.GeoDataFrame(
        {
            "id": np.arange(1, count + 1),
            "area_m2": np.full(count, 200.0),
            "perimeter_m": np.full(count, 60.0),
            "confidence": np.linspace(0.5, 1.0, count),
            "touches_edge": np.arange(count) % 2 == 1,
        },
        geometry=list(shapely.box(corner, 5_800_000, corner + 20, 5_800_010)),
        crs=crs,
    )


def cut(table, *lengths):
    """Yield a table in parts of these lengths and a last one with the rest."""
    start = 0
    for length in lengths:
        yield table.iloc[start : start + length]
        start += length
    yield table.iloc[start:]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", None])
def test_round_trip(tmp_path, suffix, crs):
    table = make_table(crs=crs)
    if crs == "EPSG:4326":
        table = table.set_geometry(shapely.transform(table.geometry.array, lambda xy: xy / 100_000))
    write_footprints(table, tmp_path / f"town{suffix}", provenance=PROVENANCE)
    # FlatGeobuf sorts its features along a Hilbert curve.
    back = read_footprints(tmp_path / f"town{suffix}").sort_values("id", ignore_index=True)
    if suffix == ".geojson" and crs:
        assert back.crs.to_epsg() == 4326
        assert back.to_crs(crs).geometry.geom_equals_exact(table.geometry, 0.02).all()
        back = back.set_geometry(table.geometry)
    elif suffix == ".geojson":
        back = back.set_crs(None, allow_override=True)
    assert_geodataframe_equal(
        back.set_geometry(back.normalize()),
        table.set_geometry(table.normalize()),
        check_dtype=False,
        check_crs=True,
        check_less_precise=True,
    )
    assert back["touches_edge"].dtype == bool


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_no_building_at_all_is_a_valid_empty_layer(tmp_path, suffix, crs):
    table = make_table(0, crs=crs)
    write_footprints(table, tmp_path / f"sea{suffix}", provenance=PROVENANCE)
    back = read_footprints(tmp_path / f"sea{suffix}")
    assert len(back) == 0
    if suffix != ".geojson":  # a GeoJSON file has no columns but those of its features
        assert set(back.columns) == set(table.columns)
        assert back.crs == table.crs


DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}
LOCAL = "+proj=tmerc +lat_0=52.1 +lon_0=13.4 +k=1 +x_0=420000 +y_0=5800000 +ellps=GRS80 +units=m +type=crs"


@pytest.mark.parametrize("suffix", DRIVERS)
@pytest.mark.parametrize("crs", ["EPSG:32633", LOCAL])
def test_a_stream_of_tables_is_the_file_that_one_table_gives(tmp_path, suffix, crs):
    table = make_table(50, crs=crs)
    write_footprints(cut(table, 0, 20, 0, 7), tmp_path / f"town{suffix}", provenance={})
    oracle = table.rename(columns={"perimeter_m": "perim_m", "touches_edge": "touch_edge"})
    oracle = {".shp": oracle, ".geojson": table.to_crs(4326)}.get(suffix, table)
    options = {"layer": None if suffix == ".shp" else LAYER, "geometry_type": "Polygon"}
    options |= {"RFC7946": "YES"} if suffix == ".geojson" else {}
    pyogrio.write_dataframe(oracle, tmp_path / f"oracle{suffix}", driver=DRIVERS[suffix], **options)
    ours, theirs = (pyogrio.read_info(tmp_path / f"{name}{suffix}", layer=0) for name in ("town", "oracle"))
    for key in ("fields", "dtypes", "total_bounds"):
        np.testing.assert_array_equal(ours[key], theirs[key])
    assert CRS(ours["crs"]) == CRS(theirs["crs"])
    for key in ("features", "geometry_type", "geometry_name", "fid_column", "encoding"):
        assert ours[key] == theirs[key]
    read = [pyogrio.read_dataframe(tmp_path / f"{name}{suffix}", layer=0) for name in ("town", "oracle")]
    assert_geodataframe_equal(*read)


@pytest.mark.parametrize("crs", ["EPSG:32633", LOCAL, None])
@pytest.mark.parametrize("count", [50, 0])
def test_a_stream_of_tables_is_the_geoparquet_that_geopandas_writes(tmp_path, monkeypatch, crs, count):
    monkeypatch.setattr(formats, "ROWS_PER_GROUP", 20)
    table = make_table(count, crs=crs)
    write_footprints(cut(table, 0, 11, 11, 11), tmp_path / "town.parquet", provenance=PROVENANCE)
    table.to_parquet(tmp_path / "oracle.parquet", index=False)
    ours, theirs = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("town", "oracle"))
    assert ours.schema.equals(theirs.schema)
    assert ours.equals(theirs)
    about = [pq.read_metadata(tmp_path / f"{name}.parquet") for name in ("town", "oracle")]
    assert json.loads(about[0].metadata[b"geo"]) == json.loads(about[1].metadata[b"geo"])
    assert about[0].num_row_groups == (2 if count else 1)
    assert_geodataframe_equal(gpd.read_parquet(tmp_path / "town.parquet"), table)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tables_are_not_kept(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(formats, "ROWS_PER_GROUP", 40)
    made, most = [], 0

    def frames():
        nonlocal most
        for number in range(50):
            table = make_table(20)
            table["id"] += 20 * number
            made.append(weakref.ref(table))
            gc.collect()
            most = max(most, sum(frame() is not None for frame in made))
            yield table

    write_footprints(frames(), tmp_path / f"town{suffix}", provenance={})
    assert len(read_footprints(tmp_path / f"town{suffix}")) == 1000
    assert most <= 5


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [OSError("the scene cannot be read"), KeyboardInterrupt()])
def test_what_the_maker_of_the_tables_raises_is_raised(tmp_path, suffix, error):
    (tmp_path / f"town{suffix}").write_bytes(b"of yesterday")

    def frames():
        yield make_table(3)
        raise error

    with pytest.raises(type(error)) as caught:
        write_footprints(frames(), tmp_path / f"town{suffix}", provenance={})
    assert caught.value is error
    assert names(tmp_path) == [f"town{suffix}"]
    assert (tmp_path / f"town{suffix}").read_bytes() == b"of yesterday"


@pytest.mark.parametrize("suffix", DRIVERS)
def test_an_interrupt_between_two_tables_is_not_lost(tmp_path, monkeypatch, suffix):
    """Signals that come in while GDAL writes are raised where Python goes on: when it asks for more."""
    convert, calls = formats._to_arrow, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return convert(*arguments)

    monkeypatch.setattr(formats, "_to_arrow", interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    with pytest.raises(KeyboardInterrupt):
        write_footprints(cut(make_table(30), 10, 10), tmp_path / f"town{suffix}", provenance={})
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_said_of_a_missing_crs(tmp_path, suffix):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_footprints(make_table(crs=None), tmp_path / f"town{suffix}", provenance={})


def test_provenance_travels_with_the_formats_that_can_carry_it(tmp_path):
    for suffix in SUFFIXES:
        write_footprints(make_table(), tmp_path / f"town{suffix}", provenance=PROVENANCE)
    for suffix in (".gpkg", ".fgb"):
        assert pyogrio.read_info(tmp_path / f"town{suffix}", layer=LAYER)["layer_metadata"] == PROVENANCE
    schema = pq.read_schema(tmp_path / "town.parquet")
    assert json.loads(schema.metadata[b"geoconvnext"]) == PROVENANCE
    document = json.loads((tmp_path / "town.geojson").read_text(encoding="utf-8"))
    assert json.loads(document["description"]) == PROVENANCE


def test_a_geopackage_is_complete_by_itself(tmp_path):
    write_footprints(make_table(), tmp_path / "town.gpkg", provenance=PROVENANCE)
    assert names(tmp_path) == ["town.gpkg"]
    connection = sqlite3.connect(tmp_path / "town.gpkg")
    contents = dict(connection.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
    assert contents == {LAYER: "features", "layer_styles": "attributes"}
    scopes = connection.execute("SELECT reference_scope, table_name FROM gpkg_metadata_reference").fetchall()
    assert scopes == [("table", LAYER)]
    (row,) = connection.execute(
        "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML, styleSLD FROM layer_styles"
    ).fetchall()
    assert row[:3] == (LAYER, "geom", 1)
    assert "<qgis" in row[3]
    assert "StyledLayerDescriptor" in row[4]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_the_spatial_index_of_a_large_geopackage_is_whole(tmp_path):
    """From 100,000 footprints on GDAL builds it in a thread of its own."""
    table = make_table(130_000)
    write_footprints(cut(table, 0, *[4096] * 20), tmp_path / "town.gpkg", provenance={})
    connection = sqlite3.connect(tmp_path / "town.gpkg")
    index = f"rtree_{LAYER}_geom"
    assert connection.execute(f"SELECT rtreecheck('{index}')").fetchall() == [("ok",)]
    assert connection.execute(f"SELECT count(*) FROM {index}").fetchall() == [(len(table),)]
    extent = connection.execute(
        "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?", (LAYER,)
    ).fetchall()
    assert extent == [tuple(table.total_bounds)]
    assert connection.execute("SELECT feature_count FROM gpkg_ogr_contents").fetchall() == [(len(table),)]
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    assert {(f"{index}_insert",), (f"{index}_delete",)} <= set(triggers)
    connection.close()
    corner = (table.total_bounds[0], 5_800_000, table.total_bounds[0] + 100, 5_800_010)
    assert len(pyogrio.read_dataframe(tmp_path / "town.gpkg", layer=LAYER, bbox=corner)) == 4


def test_other_formats_have_their_style_beside_them(tmp_path):
    for suffix in SUFFIXES[1:]:
        write_footprints(make_table(), tmp_path / suffix[1:] / f"town{suffix}", provenance={})
        assert "town.qml" in names(tmp_path / suffix[1:])
    assert "<qgis" in (tmp_path / "fgb" / "town.qml").read_text(encoding="utf-8")


def test_a_file_is_replaced_with_all_that_belongs_to_it(tmp_path):
    path = tmp_path / "town.shp"
    write_footprints(make_table(5), path, provenance={})
    (tmp_path / "town.qix").write_bytes(b"index of the old file")
    write_footprints(make_table(2, crs=None), path, provenance={})
    assert names(tmp_path) == ["town.cpg", "town.dbf", "town.qml", "town.shp", "town.shx"]
    assert len(read_footprints(path)) == 2
    (tmp_path / "a.gpkg-wal").write_bytes(b"journal of another file")
    write_footprints(make_table(2), tmp_path / "a.gpkg", provenance={})
    assert not (tmp_path / "a.gpkg-wal").exists()


def test_suffixes_in_capitals(tmp_path):
    write_footprints(make_table(), tmp_path / "A.GPKG", provenance={})
    assert names(tmp_path) == ["A.GPKG"]
    assert len(read_footprints(tmp_path / "A.GPKG")) == 3


@pytest.mark.parametrize("name", ["town.kml", "town", "town.gpkg.zip"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(OutputError, match=r"\.gpkg or \.parquet or \.fgb or \.geojson or \.shp"):
        check_output(tmp_path / name)


def test_check_output_looks_at_the_folder_and_leaves_no_trace(tmp_path):
    check_output(tmp_path / "new" / "deep" / "town.gpkg")
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="takes no files"):
        check_output(tmp_path / "file" / "town.gpkg")
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        check_output(tmp_path / "folder.gpkg")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that not even root can write to")
def test_a_folder_that_takes_no_files_is_refused_before_the_work():
    with pytest.raises(OutputError, match="takes no files"):
        check_output(Path("/proc/town.gpkg"))


def test_unreadable_files(tmp_path):
    (tmp_path / "broken.gpkg").write_bytes(b"SQLite format 3\0 but not really")
    write_footprints(make_table(), tmp_path / "town.gpkg", provenance={})
    for path, layer in [
        ("missing.gpkg", None),
        ("missing.parquet", None),
        ("broken.gpkg", None),
        ("town.gpkg", "x"),
    ]:
        with pytest.raises(LabelError, match=path):
            read_footprints(tmp_path / path, layer=layer)


# In a process of its own: GDAL keeps a file that failed open, which would hold the small disk's space.
FILL = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from test_files import make_table
from geoconvnext.errors import OutputError
from geoconvnext.vector.files import write_footprints
try:
    write_footprints((make_table(50) for _ in range(10)), Path(sys.argv[1]), provenance={{}})
except OutputError as error:
    print("refused", error)
else:
    print("written")
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk"
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_nothing_behind(tmp_path, suffix):
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        (tmp_path / "ballast").write_bytes(bytes(4096 * 71))
        script = FILL.format(tests=str(Path(__file__).parent))
        run = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / f"town{suffix}")],
            check=True,
            capture_output=True,
            text=True,
        )
        assert run.stdout.startswith("refused Cannot write"), run.stdout
        assert "MB free" in run.stdout
        assert names(tmp_path) == ["ballast"]
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_file_that_ends_early_is_noticed(tmp_path, monkeypatch):
    """GDAL says nothing when the last bytes do not fit: what was written is read back."""
    write = pyogrio.write_arrow

    def write_and_lose_the_end(table, path, **options):
        write(table, path, **options)
        with path.open("rb+") as file:
            file.truncate(path.stat().st_size * 3 // 4)

    monkeypatch.setattr(pyogrio, "write_arrow", write_and_lose_the_end)
    for suffix in (".fgb", ".geojson", ".shp"):
        with pytest.raises(OutputError, match=f"town{suffix}"):
            write_footprints(make_table(500), tmp_path / f"town{suffix}", provenance={})
        assert names(tmp_path) == []
