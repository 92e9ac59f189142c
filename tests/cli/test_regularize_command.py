import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from geoconvnext.vector.files import read_footprints

CORNER = np.array([500_000, 5_500_000])


@pytest.fixture
def town(tmp_path):
    """Write polygons at the corner of a town as a layer of a file; returns its path."""

    def write(*shapes, name="town.gpkg", crs=32633, **options):
        moved = shapely.transform(np.array(shapes, object), lambda xy: xy + CORNER)
        table = gpd.GeoDataFrame({"id": np.arange(len(moved))}, geometry=moved, crs=crs)
        path = tmp_path / name
        (table.to_parquet if path.suffix == ".parquet" else table.to_file)(path, **options)
        return path

    return write


def rough(shape, seed=0):
    """Return a polygon with a vertex every 0.3 m that is moved at random."""
    points = shapely.get_coordinates(shapely.segmentize(shape, 0.3))[:-1]
    return shapely.Polygon(points + np.random.default_rng(seed).normal(0, 0.05, points.shape))


HOUSE, TOWER = rough(shapely.box(0, 0, 14, 9)), rough(shapely.Point(40, 5).buffer(6))


@pytest.mark.parametrize("source", ["town.gpkg", "town.parquet", "town.shp"])
@pytest.mark.parametrize("output", ["square.gpkg", "new/square.parquet", "square.shp"])
def test_says_what_became_of_the_buildings(command, town, tmp_path, source, output):
    path = town(HOUSE, rough(shapely.box(0, 20, 14, 29)), TOWER, name=source)
    code, said, error = command("regularize", path, "-o", tmp_path / output)
    assert (code, error) == (0, "")
    assert said.startswith("3 buildings: 2 squared, 1 round; in ")
    assert said.splitlines()[-1].strip() == str(tmp_path / output)
    table = read_footprints(tmp_path / output)
    assert table["id"].tolist() == [0, 1, 2]
    assert table["outline"].tolist() == ["squared", "squared", "round"]
    assert shapely.get_num_coordinates(table.geometry.to_numpy()).tolist()[:2] == [5, 5]


def test_quiet(command, town, tmp_path):
    assert command("regularize", town(HOUSE), "-o", tmp_path / "square.gpkg", "-q") == (0, "", "")
    assert len(read_footprints(tmp_path / "square.gpkg")) == 1


def test_the_tolerance_and_the_layer(command, town, tmp_path):
    town(HOUSE, layer="houses")
    path = town(TOWER, layer="towers")
    corners = {}
    for name, options in {
        "first": [],
        "towers": ["--layer", "towers"],
        "fine": ["--layer", "towers", "--tolerance", 0.3],
    }.items():
        assert command("regularize", path, "-o", tmp_path / f"{name}.gpkg", *options)[0] == 0
        corners[name] = shapely.get_num_coordinates(read_footprints(tmp_path / f"{name}.gpkg").geometry[0])
    assert corners["first"] == 5
    assert corners["fine"] > corners["towers"] > 12


def test_an_empty_layer(command, town, tmp_path):
    code, said, _ = command("regularize", town(), "-o", tmp_path / "square.gpkg")
    assert code == 0
    assert said.startswith("0 buildings: none")
    assert read_footprints(tmp_path / "square.gpkg").empty


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.gpkg", "-o", "out.gpkg"], "missing.gpkg"),
        (["text.gpkg", "-o", "new/out.gpkg"], "text.gpkg"),
        (["lines.gpkg", "-o", "new/out.gpkg"], "found linestring"),
        (["plain.gpkg", "-o", "out.gpkg"], "without geometries"),
        (["far.gpkg", "-o", "out.gpkg"], "outside the CRS"),
        (["town.gpkg", "-o", "out.xyz"], ".gpkg"),
        (["town.gpkg", "-o", "out"], ".gpkg"),
        (["town.gpkg", "-o", "text.gpkg/out.gpkg"], "takes no files"),
        (["town.gpkg", "-o", "town.gpkg"], "would replace"),
        (["town.gpkg", "-o", "out.gpkg", "--layer", "roofs"], "roofs"),
        (["town.gpkg", "-o", "out.gpkg", "--tolerance", "0"], "more than 0"),
        (["town.gpkg", "-o", "out.gpkg", "--tolerance", "-1"], "more than 0"),
        (["town.gpkg", "-o", "out.gpkg", "--tolerance", "nan"], "more than 0"),
        (["town.gpkg", "-o", "out.gpkg", "--tolerance", "wide"], "--tolerance"),
        (["town.gpkg"], "--output"),
    ],
)
def test_bad_input_is_one_message(command, town, tmp_path, listing, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.gpkg").write_text("no table")
    pyogrio.write_dataframe(pd.DataFrame({"id": [1]}), tmp_path / "plain.gpkg")
    town(HOUSE)
    town(shapely.LineString([(0, 0), (5, 5)]), name="lines.gpkg")
    town(HOUSE, name="far.gpkg", crs=4326)
    before = listing(tmp_path)
    code, _, error = command("regularize", *arguments)
    assert code == 2, error
    assert error.count("Error: ") == 1, error
    assert reason in error
    assert listing(tmp_path) == before


def test_help(command):
    code, said, error = command("regularize")
    assert code == 2
    assert "Usage: " in said + error
    code, said, _ = command("regularize", "--help")
    assert code == 0
    for words in ("right angles", "--tolerance", "--layer", "regularize town.shp"):
        assert words in " ".join(said.split())
