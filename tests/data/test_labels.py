import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import MultiPolygon, Point, Polygon, box

from geoconvnext.data.labels import MaskLabels, find_labels, open_labels
from geoconvnext.data.tiles import FINENESS
from geoconvnext.errors import LabelError
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene

HEIGHT, WIDTH = 60, 80
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_500_000)
ROTATED = Affine.translation(500_000, 5_500_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
WINDOWS = [Window(0, 0, HEIGHT, WIDTH), Window(10, 20, 30, 25)]


@pytest.fixture
def scene(write_scene, draw):
    """Open a scene with a transform."""
    opened = []

    def make(transform=NORTH_UP, **profile):
        path = write_scene(draw(HEIGHT, WIDTH), transform=transform, **profile)
        opened.append(Scene.open(path))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def save(tmp_path):
    """Write geometries to a vector file."""

    def write(geometries, *, crs="EPSG:32633", name="labels.gpkg", to=None):
        table = gpd.GeoDataFrame(geometry=list(geometries), crs=crs)
        (table.to_crs(to) if to else table).to_file(tmp_path / name)
        return tmp_path / name

    return write


def on_map(transform, *shapes):
    """Shapes given in columns and rows of the scene, on the map."""
    a, b, c, d, e, f = transform[:6]
    return [shapely.affinity.affine_transform(shape, (a, b, d, e, c, f)) for shape in shapes]


def oracle(shapes, window):
    """Number of the last shape (in columns and rows) that holds the centre of a fine pixel."""
    rows, cols = np.indices((window.height * FINENESS, window.width * FINENESS))
    x, y = window.col + (cols + 0.5) / FINENESS, window.row + (rows + 0.5) / FINENESS
    truth = np.zeros(x.shape, np.uint16)
    seen = box(window.col, window.row, window.col + window.width, window.row + window.height)
    for number, shape in enumerate((shape for shape in shapes if shape.intersects(seen)), 1):
        truth[shapely.contains_xy(shape, x, y)] = number
    return truth


HOUSE = Polygon([(12.1, 8.2), (31.3, 12.4), (28.2, 30.6), (9.4, 25.8)])
NEIGHBOUR = Polygon([(31.3, 12.4), (46.7, 15.9), (43.6, 33.8), (28.2, 30.6)])
COURTYARD = Polygon(box(50.2, 5.2, 75.3, 30.4).exterior, [box(57.1, 12.3, 66.2, 22.4).exterior])
SHAPES = [HOUSE, NEIGHBOUR, COURTYARD]


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, Affine(0, 0.5, 500_000, 0.5, 0, 5_500_000)])
@pytest.mark.parametrize("window", WINDOWS)
def test_footprints_are_burned_where_they_are(scene, save, transform, window):
    labels = open_labels(save(on_map(transform, *SHAPES)), scene(transform))
    numbers = labels.numbers(window)
    assert labels.separate
    assert numbers.dtype == np.uint16
    np.testing.assert_array_equal(numbers, oracle(SHAPES, window))


def test_a_window_sees_only_its_own_footprints(scene, save):
    labels = open_labels(save(on_map(ROTATED, *SHAPES)), scene(ROTATED))
    # Bounding boxes of window and footprints overlap on the map, they themselves do not.
    assert not labels.numbers(Window(35, 45, 20, 30)).any()
    assert set(np.unique(labels.numbers(Window(0, 50, 30, 30)))) == {0, 1}


def test_footprints_in_another_crs(scene, save):
    labels = open_labels(save(on_map(NORTH_UP, *SHAPES), to="EPSG:4326", name="l.geojson"), scene())
    found, truth = labels.numbers(WINDOWS[0]), oracle(SHAPES, WINDOWS[0])
    assert (found != truth).mean() < 0.002
    assert set(np.unique(found)) == {0, 1, 2, 3}


def test_parts_of_a_multi_polygon_are_buildings_of_their_own(scene, save):
    labels = open_labels(save(on_map(NORTH_UP, MultiPolygon([HOUSE, COURTYARD]))), scene())
    np.testing.assert_array_equal(labels.numbers(WINDOWS[0]), oracle([HOUSE, COURTYARD], WINDOWS[0]))


def test_a_bow_tie_is_repaired(scene, save):
    bow_tie = Polygon([(10, 10), (30, 30), (30, 10), (10, 30)])
    labels = open_labels(save(on_map(NORTH_UP, bow_tie), name="l.geojson", crs="EPSG:32633"), scene())
    share = (labels.numbers(WINDOWS[0]) > 0).sum() / FINENESS**2
    assert share == pytest.approx(200, abs=15)


def test_a_repair_that_makes_lines_and_polygons(scene, save):
    spiked = Polygon([(10, 10), (20, 10), (20, 20), (40, 20), (40, 30), (20, 30), (20, 20), (10, 20)])
    spiked = Polygon([*spiked.exterior.coords[:-1], (10, 15), (2, 15), (10, 15)])
    assert not spiked.is_valid
    labels = open_labels(save(on_map(NORTH_UP, spiked)), scene())
    assert (labels.numbers(WINDOWS[0]) > 0).sum() / FINENESS**2 == pytest.approx(300, abs=10)


def test_what_is_no_polygon_is_left_out(scene, save):
    mixed = save([*on_map(NORTH_UP, HOUSE, Point(5, 5)), None, Polygon()], name="l.geojson")
    labels = open_labels(mixed, scene())
    np.testing.assert_array_equal(labels.numbers(WINDOWS[0]), oracle([HOUSE], WINDOWS[0]))


def test_a_file_without_features_says_that_there_is_no_building(scene, save):
    labels = open_labels(save([]), scene())
    assert not labels.numbers(WINDOWS[1]).any()


def test_no_labels_say_that_there_is_no_building(scene):
    numbers = open_labels(None, scene()).numbers(WINDOWS[1])
    assert numbers.shape == (60, 50)
    assert not numbers.any()


def test_labels_elsewhere(scene, save):
    elsewhere = save(on_map(Affine.translation(5000, 0) @ NORTH_UP, *SHAPES))
    with pytest.raises(
        LabelError, match=r"labels .*gpkg do not touch the scene .*none of 3 .*EPSG:32633"
    ) as error:
        open_labels(elsewhere, scene())
    assert "--empty" in str(error.value)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_labels_that_say_the_wrong_crs(scene, save, crs):
    with pytest.raises(LabelError, match="do not touch the scene"):
        open_labels(save(on_map(NORTH_UP, *SHAPES), crs=crs), scene())


def test_points_are_no_labels(scene, save):
    with pytest.raises(LabelError, match="do not touch the scene"):
        open_labels(save(on_map(NORTH_UP, Point(5, 5))), scene())


def test_a_table_is_no_labels(scene, tmp_path):
    (tmp_path / "labels.csv").write_text("id,area\n1,20\n")
    with pytest.raises(LabelError, match="without geometries"):
        open_labels(tmp_path / "labels.csv", scene())


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_without_any_crs_labels_are_in_pixels(scene, save):
    bare = scene(transform=Affine.identity(), crs=None)
    labels = open_labels(save(SHAPES, crs=None, name="l.geojson"), bare)
    # GeoJSON is always in degrees, to GDAL; the scene knows no CRS, so the numbers are taken as they are.
    np.testing.assert_array_equal(labels.numbers(WINDOWS[1]), oracle(SHAPES, WINDOWS[1]))


def write_mask(path, mask):
    with rasterio.open(
        path, "w", driver="GTiff", height=mask.shape[0], width=mask.shape[1], count=1, dtype="uint8", **UTM
    ) as file:
        file.write(mask, 1)
    return path


UTM = {"crs": "EPSG:32633", "transform": NORTH_UP}


def test_mask(scene, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:15, 5:20] = 255
    mask[5:15, 20:30] = 1
    mask[40:50, 40:60] = 7
    labels = open_labels(write_mask(tmp_path / "mask.tif", mask), scene())
    assert not labels.separate
    numbers = labels.numbers(WINDOWS[0])
    np.testing.assert_array_equal(numbers > 0, mask.repeat(2, 0).repeat(2, 1) > 0)
    assert len(np.unique(numbers[numbers > 0])) == 2
    np.testing.assert_array_equal(labels.numbers(WINDOWS[1]), numbers[20:80, 40:90])


def test_mask_of_a_scene_that_is_resampled(write_scene, draw, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, 20:50] = 1
    with Scene.open(write_scene(draw(HEIGHT, WIDTH)), gsd_range_m=(0.8, 1.0)) as coarse:
        labels = open_labels(write_mask(tmp_path / "mask.tif", mask), coarse)
        assert isinstance(labels, MaskLabels)
        numbers = labels.numbers(Window(0, 0, coarse.height, coarse.width))
        factor = WIDTH / coarse.width / FINENESS
    wall = np.flatnonzero(np.diff(numbers[5] > 0)) + 1
    assert numbers.shape == (coarse.height * FINENESS, coarse.width * FINENESS)
    assert (wall * factor).tolist() == pytest.approx([20, 50], abs=0.5 * factor + 1e-6)


def test_mask_of_another_size(scene, tmp_path):
    path = write_mask(tmp_path / "mask.tif", np.zeros((HEIGHT, WIDTH + 1), np.uint8))
    with pytest.raises(LabelError, match=r"must have the 60 x 80 pixels .* found 60 x 81"):
        open_labels(path, scene())


def test_mask_that_cannot_be_read(scene, tmp_path):
    (tmp_path / "mask.tif").write_bytes(b"nothing")
    with pytest.raises(LabelError, match=r"mask .* cannot be read"):
        open_labels(tmp_path / "mask.tif", scene())


def test_find_labels_by_the_name_of_the_scene(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in ("town_mask.tif", "town.geojson", "towns.gpkg", "other.gpkg"):
        (folder / name).touch()
    assert find_labels(tmp_path / "town.jp2", folder) == folder / "town.geojson"
    (folder / "town.geojson").unlink()
    assert find_labels(tmp_path / "town.jp2", folder) == folder / "town_mask.tif"
    assert find_labels(tmp_path / "town.jp2", folder / "other.gpkg") == folder / "other.gpkg"


def test_a_scene_is_not_its_own_mask(tmp_path):
    (tmp_path / "town.tif").touch()
    with pytest.raises(LabelError, match=r"no labels for town.tif in .*expected town with a suffix"):
        find_labels(tmp_path / "town.tif", tmp_path)
    (tmp_path / "town_mask.png").touch()
    assert find_labels(tmp_path / "town.tif", tmp_path) == tmp_path / "town_mask.png"


def test_labels_that_do_not_exist(tmp_path):
    with pytest.raises(LabelError, match="do not exist"):
        find_labels(tmp_path / "town.tif", tmp_path / "none.gpkg")
