import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geoconvnext.area import Area
from geoconvnext.errors import ConfigError, LabelError
from geoconvnext.raster.grid import TileGrid, Window
from geoconvnext.raster.scene import Scene

pytestmark = pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")

HEIGHT, WIDTH = 300, 400
# South up: with rows that go down, this matrix would equal its transpose.
TURNED = Affine.translation(500_000, 5_500_000) @ Affine.rotation(30) @ Affine.scale(0.5)
PLACES = {
    "UTM": {},
    "rotated": {"transform": TURNED},
    "geographic": {"crs": "EPSG:4326", "transform": Affine(7e-6, 0, 15.0, 0, -4.5e-6, 49.6)},
    "no CRS": {"crs": None, "transform": Affine.translation(10, 20)},
}


@pytest.fixture
def open_area(write_scene, tmp_path):
    """Open an area that consists of shapes in (column, row) of a file; also returns the scene."""
    opened = []

    def make(*shapes, place="UTM", crs=None, drop_crs=False, name="area.gpkg", **options):
        path = write_scene(np.ones((3, HEIGHT, WIDTH), np.uint8), **PLACES[place])
        with Scene.open(path) as native:
            table = gpd.GeoDataFrame(geometry=on_ground(shapes, native))
        scene = Scene.open(path, **options)
        opened.append(scene)
        if scene.crs and not drop_crs:
            table = table.set_crs(scene.crs.to_wkt()).to_crs(crs or scene.crs.to_wkt())
        table.to_file(tmp_path / name)
        return Area.read(tmp_path / name, scene), scene

    yield make
    for scene in opened:
        scene.close()


def on_ground(shapes, scene):
    """Move shapes from (column, row) to the CRS of a scene."""
    return shapely.transform(
        np.asarray(shapes, object),
        lambda points: np.array([scene.transform @ tuple(point) for point in points]).reshape(-1, 2),
    )


def touched(area, scene, tile=64):
    """(row, col) of the windows that an area touches, in tiles."""
    grid = TileGrid(scene.height, scene.width, tile, 0)
    return {(window.row // tile, window.col // tile) for window in grid if area.touches(window)}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("place", "crs"),
    [
        *((place, None) for place in PLACES),
        ("UTM", "EPSG:4326"),
        ("UTM", "EPSG:3857"),
        ("rotated", "EPSG:4326"),
        ("geographic", "EPSG:32633"),
    ],
)
def test_windows_that_show_some_of_it(open_area, place, crs):
    area, scene = open_area(shapely.box(70, 140, 120, 250), place=place, crs=crs)
    assert area.pixels.bounds == pytest.approx((70, 140, 120, 250), abs=0.1)
    assert touched(area, scene) == {(2, 1), (3, 1)}


def test_an_area_without_crs_is_in_that_of_the_scene(open_area):
    area, scene = open_area(shapely.box(70, 140, 120, 250), drop_crs=True, name="area.fgb")
    assert touched(area, scene) == {(2, 1), (3, 1)}


def test_several_features_of_any_kind(open_area):
    shapes = [
        shapely.box(70, 70, 100, 100),
        shapely.box(80, 80, 120, 120),
        shapely.Point(10, 290),
        shapely.LineString([(300, 10), (350, 10)]),
        shapely.Polygon([(200, 200), (250, 250), (250, 200), (200, 250)]),  # crosses itself
        None,
    ]
    area, scene = open_area(*shapes)
    assert touched(area, scene) == {(1, 1), (4, 0), (0, 4), (0, 5), (3, 3)}


def test_holes_do_not_count(open_area):
    ring = shapely.box(0, 0, 400, 300) - shapely.box(60, 60, 200, 200)
    area, scene = open_area(ring)
    windows = set(np.ndindex(5, 7))
    assert touched(area, scene) == windows - {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_pixels_are_those_of_the_network(open_area):
    area, scene = open_area(shapely.box(70, 140, 120, 250), gsd_range_m=(1.0, 2.0))
    assert scene.height == HEIGHT // 2
    assert area.pixels.bounds == pytest.approx((35, 70, 60, 125), abs=0.1)


def test_a_window_may_reach_beyond_the_scene(open_area):
    area, _ = open_area(shapely.box(380, 280, 700, 900))
    assert area.touches(Window(256, 384, 512, 512))
    assert not area.touches(Window(0, 0, 256, 256))


@pytest.mark.parametrize("place", ["UTM", "rotated", "geographic"])
def test_footprints_that_touch_it_are_kept_and_numbered(open_area, place):
    area, scene = open_area(shapely.box(100, 100, 200, 200), place=place, crs="EPSG:3857")
    boxes = [
        (0, 0, 90, 90),
        (90, 90, 110, 110),
        (120, 120, 130, 130),
        (190, 10, 300, 300),
        (201, 0, 300, 300),
    ]
    ground = on_ground([shapely.box(*box) for box in boxes], scene)
    table = gpd.GeoDataFrame(
        {"id": range(1, 6), "area_m2": range(5)}, geometry=ground, crs=scene.crs.to_wkt()
    )
    frames = list(area.keep(iter([table[:0], table[:3], table[3:], table[:1], table[2:3]])))
    assert [list(frame["id"]) for frame in frames] == [[], [1, 2], [3], [], [4]]
    assert [list(frame["area_m2"]) for frame in frames] == [[], [1, 2], [3], [], [2]]
    assert all(frame.crs == table.crs for frame in frames)
    assert all(list(frame.dtypes) == list(table.dtypes) for frame in frames)
    assert list(table["id"]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "shape", [shapely.box(-200, 0, -1, 100), shapely.box(0, 301, 50, 400), shapely.box(1e6, 0, 2e6, 9)]
)
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_an_area_elsewhere_is_refused(open_area, shape, crs):
    with pytest.raises(ConfigError, match=rf"area\.gpkg does not touch .*scene\.tif.*CRS \({crs}\)"):
        open_area(shape, crs=crs)


@pytest.mark.parametrize(
    ("shapes", "crs"),
    [
        ([shapely.box(-100, -60, -90, -50)], "EPSG:4326"),
        ([shapely.box(500_000, 5_499_000, 501_000, 5_500_000)], "EPSG:4326"),
        ([shapely.Polygon()], "EPSG:32633"),
        ([], "EPSG:32633"),
        ([None], "EPSG:32633"),
    ],
    ids=["far away", "metres taken for degrees", "empty", "no feature", "no geometry"],
)
def test_an_area_that_cannot_be_meant_is_refused(write_scene, tmp_path, shapes, crs):
    gpd.GeoDataFrame(geometry=shapes, crs=crs).to_file(tmp_path / "area.gpkg", geometry_type="Polygon")
    with (
        Scene.open(write_scene(np.ones((3, HEIGHT, WIDTH), np.uint8))) as scene,
        pytest.raises(ConfigError, match=r"area\.gpkg"),
    ):
        Area.read(tmp_path / "area.gpkg", scene)


def test_no_vector_file(write_scene, tmp_path):
    (tmp_path / "area.gpkg").write_text("no features")
    with (
        Scene.open(write_scene(np.ones((3, HEIGHT, WIDTH), np.uint8))) as scene,
        pytest.raises(LabelError, match=r"area\.gpkg"),
    ):
        Area.read(tmp_path / "area.gpkg", scene)


def test_what_lies_across_the_world_does_not_matter(write_scene, tmp_path):
    """A strip of ground 90 degrees from the scene's meridian has no place in its CRS."""
    far = shapely.segmentize(shapely.box(100, -10, 110, 10), 0.1)
    with Scene.open(write_scene(np.ones((3, HEIGHT, WIDTH), np.uint8))) as scene:
        near = on_ground([shapely.box(0, 0, 50, 50)], scene)
        near = gpd.GeoSeries(near, crs=scene.crs.to_wkt()).to_crs(4326).iloc[0]
        gpd.GeoDataFrame(geometry=[far, near], crs=4326).to_file(tmp_path / "world.gpkg")
        area = Area.read(tmp_path / "world.gpkg", scene)
    assert area.touches(Window(0, 0, 32, 32))
    assert not area.touches(Window(128, 128, 32, 32))
