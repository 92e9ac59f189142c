"""Anybody's building polygons: any CRS, any geometry column, and nothing lost on the way."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from pyproj import Geod
from shapely import affinity
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from geoconvnext.errors import ConfigError, LabelError, OutputError
from geoconvnext.regularize import regularize, regularize_file
from geoconvnext.vector.files import SUFFIXES, read_footprints
from geoconvnext.vector.regularize import OUTLINES

UTM = 32633
CORNER = (500_000, 5_500_000)
SOMEWHERE = [UTM, 4326, 3857, 25833, 32632, "ESRI:54009"]


def place(shape, *, turn=20.0, east=0.0):
    """Turn a shape about its origin, and move it to somewhere in UTM."""
    turned = affinity.rotate(shape, turn, origin=(0, 0))
    return shapely.transform(turned, lambda xy: np.round(xy + CORNER + np.array([east, 0]), 6))


def roughen(shape, *, seed=0, sigma=0.05):
    """Return a shape with vertices every 0.3 m that are moved at random."""
    dense = shapely.segmentize(shape, 0.3)
    noise = np.random.default_rng(seed).normal(0, sigma, (shapely.get_num_coordinates(dense), 2))
    # The last vertex of a ring is the first one again.
    ends = np.cumsum(shapely.get_num_coordinates(shapely.get_rings(dense)))
    noise[ends - 1] = noise[np.concatenate([[0], ends[:-1]])]
    return shapely.set_coordinates(dense, shapely.get_coordinates(dense) + noise)


HOUSE = place(box(0, 0, 14, 9))
COURT = place(Polygon(box(0, 0, 24, 20).exterior.coords, [box(7, 6, 17, 14).exterior.coords]), east=40)
BAY = Polygon([(0, 0), (20, 0), (20, 12), (12, 12), (12, 11.4), (8, 11.4), (8, 12), (0, 12)])
ROUGH = roughen(HOUSE)
ASIDE = place(box(0, 90, 10, 98))
LEFT, RIGHT = place(box(0, 0, 10, 8)), place(box(10, 0, 16, 8))


def series(*shapes, crs=UTM):
    return gpd.GeoSeries(list(shapes), crs=crs)


def angles_on_the_ground(shape):
    """Return by how many degrees the exterior of a shape in degrees turns at its corners."""
    longitude, latitude = shapely.get_coordinates(shape.exterior).T
    heading, _, _ = Geod(ellps="WGS84").inv(longitude[:-1], latitude[:-1], longitude[1:], latitude[1:])
    return np.abs((np.diff(heading, append=heading[0]) + 180) % 360 - 180)


@pytest.mark.parametrize("crs", [*SOMEWHERE, None])
def test_right_angles_are_meant_on_the_ground(crs):
    """A rough house comes back in its CRS, however that distorts."""
    given = series(ROUGH)
    given = given.set_crs(None, allow_override=True) if crs is None else given.to_crs(crs)
    table = regularize(given)
    assert table.crs == given.crs
    assert table["outline"].tolist() == ["squared"]
    back = table.set_crs(UTM) if crs is None else table.to_crs(UTM)
    (found,) = back.geometry
    assert shapely.get_num_coordinates(found) == 5
    assert shapely.hausdorff_distance(found, HOUSE) < 0.15
    np.testing.assert_allclose(angles_on_the_ground(back.to_crs(4326).geometry.iloc[0]), 90, atol=0.1)
    expected = shapely.area(found & ROUGH) / shapely.area(found | ROUGH)
    assert table["fidelity"].tolist() == pytest.approx([expected], abs=1e-5)


@pytest.mark.parametrize("latitude", [-70, -35, 0, 62])
@pytest.mark.parametrize("tolerance_m", [0.1, 0.4, 1.5])
def test_the_tolerance_is_metres_on_the_ground(latitude, tolerance_m):
    """The same is found in every CRS, whatever the length of its units there."""
    there = gpd.GeoSeries([Point(14.7, latitude)], crs=4326)
    utm = there.estimate_utm_crs()
    (corner,) = shapely.get_coordinates(there.to_crs(utm).to_numpy())
    given = gpd.GeoSeries([shapely.transform(roughen(BAY), lambda xy: xy + corner)], crs=utm)
    expected = regularize(given, tolerance_m=tolerance_m)
    for crs in (4326, 3857):
        found = regularize(given.to_crs(crs), tolerance_m=tolerance_m)
        assert found["outline"].tolist() == expected["outline"].tolist()
        assert shapely.hausdorff_distance(found.to_crs(utm).geometry[0], expected.geometry[0]) < 1e-4


@pytest.mark.parametrize("crs", [UTM, 4326, 3857])
def test_neighbours_keep_their_wall(crs):
    table = regularize(series(LEFT, RIGHT).to_crs(crs))
    first, second = table.geometry
    assert shapely.coverage_is_valid([first, second])
    assert shapely.get_num_coordinates(shapely.line_merge(first & second)) == 2


def test_neighbours_in_multipolygons_do():
    both = MultiPolygon([LEFT, place(box(30, 0, 40, 8))])
    table = regularize(series(RIGHT, both))
    assert table.geom_type.tolist() == ["Polygon", "MultiPolygon"]
    assert shapely.coverage_is_valid([table.geometry[0], *shapely.get_parts(table.geometry[1])])
    assert shapely.intersection(*table.geometry).length == pytest.approx(8, abs=0.01)


def crossed():
    """Two houses with a common wall, and a long shed drawn over that wall and the far side of the first."""
    return series(LEFT, RIGHT, place(Polygon([(-2, 3), (12, 3), (12, 5), (-2, 5)])))


@pytest.mark.parametrize("crs", [UTM, 4326, 3857])
def test_what_stays_as_it_is_is_exactly_that(crs):
    given = crossed().to_crs(crs)
    table = regularize(given)
    assert table["outline"].tolist() == ["plain", "partly", "plain"]
    kept = table["outline"] == "plain"
    assert shapely.equals_identical(table.geometry[kept].to_numpy(), given[kept].to_numpy()).all()
    assert table["fidelity"][kept].tolist() == pytest.approx([1, 1])
    assert shapely.coverage_is_valid(table.geometry[:2].to_numpy())


def test_missing_and_empty_ones_stay():
    given = series(None, Polygon(), ROUGH, MultiPolygon(), MultiPolygon([Polygon(), COURT]), None)
    table = regularize(given.set_axis([7, 7, "a", 0, -1, 2]))
    assert table.index.tolist() == [7, 7, "a", 0, -1, 2]
    assert table["outline"].tolist() == ["plain", "plain", "squared", "plain", "squared", "plain"]
    assert table["fidelity"].between(0, 1).all()
    assert table.geometry.isna().tolist() == [True, False, False, False, False, True]
    assert table.is_empty.tolist()[1:5] == [True, False, True, False]
    assert table.geometry.iloc[4].area == pytest.approx(COURT.area)


def test_one_row_of_several_parts_has_one_kind():
    towers = [roughen(place(Point(east, 60).buffer(6, 64))) for east in (0, 30, 60)]
    first, second, shed = crossed()
    table = regularize(
        series(
            MultiPolygon([COURT, towers[0]]),
            MultiPolygon(towers[1:]),
            MultiPolygon([ASIDE, shed]),
            first,
            second,
        )
    )
    assert table["outline"].tolist() == ["squared", "round", "partly", "plain", "partly"]
    assert table.geom_type.tolist() == ["MultiPolygon"] * 3 + ["Polygon"] * 2


@pytest.mark.parametrize(
    ("broken", "area"),
    [
        (Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]), 50),
        (Polygon([(0, 0), (12, 0), (12, 10), (12, 20), (12, 10), (0, 10)]), 120),
        (Polygon(box(0, 0, 10, 10).exterior, [box(20, 20, 30, 30).exterior]), 200),
        (MultiPolygon([box(0, 0, 10, 10), box(5, 0, 15, 10)]), 150),
        (Polygon([(0, 0), (10, 0), (5, 0)]), 0),
    ],
)
def test_invalid_ones_are_repaired(broken, area):
    """A bow tie, a spike, a hole outside, parts that overlap, and a line."""
    assert not broken.is_valid
    table = regularize(series(place(broken), COURT))
    assert table.geometry.is_valid.all()
    assert table.geometry.area.tolist() == pytest.approx([area, COURT.area], abs=0.1)
    assert set(table.geom_type) <= {"Polygon", "MultiPolygon"}


def test_heights_are_left_out():
    table = regularize(series(shapely.force_3d(HOUSE, 7.0), shapely.force_3d(MultiPolygon([COURT]), 3.0)))
    assert not table.has_z.any()
    assert table.geometry.area.tolist() == pytest.approx([HOUSE.area, COURT.area])


def test_repeated_vertices_do_not_count():
    corners = np.array(HOUSE.exterior.coords)[:-1]
    first, second = (Polygon(np.repeat(corners, count, axis=0)) for count in ([2, 1, 1, 1], [1, 3, 1, 2]))
    table = regularize(series(first, affinity.translate(second, 40)))
    assert table["outline"].tolist() == ["squared", "squared"]
    assert shapely.get_num_coordinates(table.geometry.to_numpy()).tolist() == [5, 5]


def test_nothing_changes_but_the_geometry():
    given = series(ROUGH, COURT)
    before = given.copy()
    regularize(given)
    assert given.geom_equals_exact(before, 0).all()


@pytest.mark.parametrize("tolerance_m", [0.0, -1.0, np.nan, np.inf])
def test_impossible_tolerances(tolerance_m):
    with pytest.raises(ConfigError, match="more than 0"):
        regularize(series(HOUSE), tolerance_m=tolerance_m)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (LineString([(0, 0), (1, 1)]), "linestring"),
        (Point(0, 0), "point"),
        (GeometryCollection([HOUSE]), "geometrycollection"),
    ],
)
def test_only_polygons_are_buildings(shape, name):
    with pytest.raises(LabelError, match=name):
        regularize(series(HOUSE, shape))


def test_coordinates_outside_the_crs():
    with pytest.raises(LabelError, match="outside the CRS"):
        regularize(series(box(500, 500, 510, 510), crs=4326))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers(number):
    with pytest.raises(LabelError):
        regularize(series(HOUSE, Polygon([(0, 0), (number, 1), (1, 1)])))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("crs", [None, UTM, 4326])
def test_an_empty_series(crs):
    table = regularize(gpd.GeoSeries([], crs=crs))
    assert table.columns.tolist() == ["outline", "fidelity", "geometry"]
    assert (len(table), table.crs) == (0, gpd.GeoSeries([], crs=crs).crs)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("crs", [None, UTM])
@pytest.mark.parametrize("shapes", [[None, None], [Polygon(), MultiPolygon()], [Polygon(), None]])
def test_nothing_but_missing_and_empty_ones(shapes, crs):
    table = regularize(series(*shapes, crs=crs))
    assert table["outline"].tolist() == ["plain", "plain"]
    assert table.geometry.isna().tolist() == [shape is None for shape in shapes]


def test_what_is_there_twice_is_no_circle():
    assert regularize(series(HOUSE, HOUSE))["outline"].tolist() == ["squared", "squared"]


@pytest.fixture
def town(tmp_path):
    """Write a table in any format; returns its path."""

    def write(*shapes, name="town.gpkg", crs=UTM, index=None, **columns):
        count = len(shapes)
        data = {"name": [f"No. {i}" for i in range(count)], "floors": np.arange(count), **columns}
        table = gpd.GeoDataFrame(data, geometry=list(shapes), crs=crs, index=index)
        path = tmp_path / name
        (table.to_parquet if path.suffix == ".parquet" else table.to_file)(path)
        return path

    return write


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("source", ["town.gpkg", "town.parquet", "town.shp"])
def test_files_keep_their_attributes(town, tmp_path, source, suffix):
    path = town(ROUGH, COURT, name=source)
    counts = regularize_file(path, tmp_path / f"square{suffix}")
    assert counts == {"squared": 2}
    table = read_footprints(tmp_path / f"square{suffix}").sort_values("floors")
    assert sorted(table.columns) == ["fidelity", "floors", "geometry", "name", "outline"]
    assert table["name"].tolist() == ["No. 0", "No. 1"]
    assert table["outline"].tolist() == ["squared", "squared"]
    assert table["fidelity"].tolist() == pytest.approx([0.987, 1.0], abs=0.01)
    assert table.crs.to_epsg() == (4326 if suffix == ".geojson" else UTM)
    assert shapely.get_num_coordinates(table.geometry.to_numpy()).tolist() == [5, 10]


def test_columns_of_an_earlier_run_are_replaced(town, tmp_path):
    regularize_file(town(ROUGH, outline=["plain"], fidelity=["high"]), tmp_path / "square.gpkg")
    table = read_footprints(tmp_path / "square.gpkg")
    assert sorted(table.columns) == ["fidelity", "floors", "geometry", "name", "outline"]
    assert table["outline"].tolist() == ["squared"]
    assert table["fidelity"].dtype == float


@pytest.mark.parametrize("index", [[5, 5], ["b", "a"]])
def test_any_index(town, tmp_path, index):
    path = town(ROUGH, COURT, name="town.parquet", index=index)
    regularize_file(path, tmp_path / "square.gpkg")
    table = read_footprints(tmp_path / "square.gpkg")
    assert table["name"].tolist() == ["No. 0", "No. 1"]
    assert shapely.get_num_coordinates(table.geometry.to_numpy()).tolist() == [5, 10]


def test_a_geometry_column_of_any_name(tmp_path):
    table = gpd.GeoDataFrame({"id": [1]}, geometry=[ROUGH], crs=UTM).rename_geometry("shape")
    table.to_parquet(tmp_path / "town.parquet")
    for suffix in (".parquet", ".gpkg"):
        regularize_file(tmp_path / "town.parquet", tmp_path / f"square{suffix}")
        found = read_footprints(tmp_path / f"square{suffix}")
        assert len(found.columns) == 4
        assert shapely.get_num_coordinates(found.geometry.to_numpy()).tolist() == [5]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_several_types_have_one(town, tmp_path, suffix):
    path = town(ROUGH, MultiPolygon([COURT, place(box(0, 0, 5, 5), east=100)]), HOUSE)
    regularize_file(path, tmp_path / f"square{suffix}")
    found = read_footprints(tmp_path / f"square{suffix}").sort_values("floors")
    assert found["floors"].tolist() == [0, 1, 2]
    assert shapely.get_num_geometries(found.geometry.to_numpy()).tolist() == [1, 2, 1]


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - {".fgb"}))
def test_files_with_missing_geometries(town, tmp_path, suffix):
    path = town(ROUGH, None, COURT)
    counts = regularize_file(path, tmp_path / f"square{suffix}")
    assert counts == {"squared": 2, "plain": 1}
    found = read_footprints(tmp_path / f"square{suffix}").sort_values("floors")
    assert found["name"].tolist() == ["No. 0", "No. 1", "No. 2"]
    assert found.geometry.isna().tolist() == [False, True, False]


def test_a_format_that_knows_no_missing_geometries_says_so(town, tmp_path):
    with pytest.raises(OutputError, match=r"square\.fgb"):
        regularize_file(town(ROUGH, None), tmp_path / "square.fgb")
    assert not (tmp_path / "square.fgb").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_layer_gives_an_empty_layer(town, tmp_path, suffix):
    path = town(ROUGH)
    empty = read_footprints(path).iloc[:0]
    empty.to_file(tmp_path / "empty.gpkg")
    assert regularize_file(tmp_path / "empty.gpkg", tmp_path / f"square{suffix}") == {}
    found = read_footprints(tmp_path / f"square{suffix}")
    assert len(found) == 0
    assert found.crs.to_epsg() == (4326 if suffix == ".geojson" else UTM)


def test_an_empty_layer_without_text(tmp_path):
    gpd.GeoDataFrame({"id": np.empty(0, int)}, geometry=[], crs=UTM).to_file(tmp_path / "empty.gpkg")
    assert regularize_file(tmp_path / "empty.gpkg", tmp_path / "square.gpkg") == {}
    assert sorted(read_footprints(tmp_path / "square.gpkg").columns) == [
        "fidelity",
        "geometry",
        "id",
        "outline",
    ]


def test_the_layer_is_chosen(tmp_path):
    for layer, shape in (("roofs", ROUGH), ("courts", COURT)):
        gpd.GeoDataFrame(geometry=[shape], crs=UTM).to_file(tmp_path / "town.gpkg", layer=layer)
    corners = {}
    for layer in (None, "roofs", "courts"):
        regularize_file(tmp_path / "town.gpkg", tmp_path / "square.gpkg", layer=layer)
        corners[layer] = shapely.get_num_coordinates(read_footprints(tmp_path / "square.gpkg").geometry[0])
    assert corners == {None: 5, "roofs": 5, "courts": 10}
    with pytest.raises(LabelError, match="walls"):
        regularize_file(tmp_path / "town.gpkg", tmp_path / "square.gpkg", layer="walls")


def test_the_file_says_where_it_comes_from(town, tmp_path):
    regularize_file(town(ROUGH), tmp_path / "square.gpkg", tolerance_m=0.75)
    said = pyogrio.read_info(tmp_path / "square.gpkg", layer="buildings")["layer_metadata"]
    assert said["source"] == "town.gpkg"
    assert said["tolerance"] == "0.75 m"
    assert said["version"].startswith("geoconvnext ")


def test_what_cannot_be_read_or_written_leaves_nothing_behind(town, tmp_path, listing):
    path = town(ROUGH)
    (tmp_path / "text.gpkg").write_text("no table")
    pd.DataFrame({"id": [1]}).to_parquet(tmp_path / "plain.parquet")
    pyogrio.write_dataframe(pd.DataFrame({"id": [1]}), tmp_path / "plain.gpkg")
    town(LineString([(0, 0), (1, 1)]), name="lines.gpkg")
    before = listing(tmp_path)
    output = tmp_path / "new" / "square.gpkg"
    for name in ("missing.gpkg", "text.gpkg", "plain.parquet", "plain.gpkg", "lines.gpkg"):
        with pytest.raises(LabelError, match=name):
            regularize_file(tmp_path / name, output)
    with pytest.raises(OutputError, match=r"\.gpkg"):
        regularize_file(path, tmp_path / "square.xyz")
    with pytest.raises(OutputError, match="would replace"):
        regularize_file(path, path)
    with pytest.raises(ConfigError):
        regularize_file(path, output, tolerance_m=0)
    assert listing(tmp_path) == before


def test_kinds_are_those_of_predict():
    assert set(regularize(crossed())["outline"]) <= set(OUTLINES)
