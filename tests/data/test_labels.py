import cv2
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import MultiPolygon, Point, Polygon, box

from geoconvnext.data.cleaning import LabelCount
from geoconvnext.data.labels import find_labels, open_area, open_labels
from geoconvnext.errors import LabelError
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene

HEIGHT, WIDTH = 60, 80
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_500_000)
ROTATED = Affine.translation(500_000, 5_500_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
WINDOWS = [Window(0, 0, HEIGHT, WIDTH), Window(10, 20, 30, 25)]
UTM = {"crs": "EPSG:32633", "transform": NORTH_UP}


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
    """Pixels of a window whose centre lies in one of the shapes (in columns and rows)."""
    rows, cols = np.indices((window.height, window.width))
    return shapely.contains_xy(shapely.union_all(shapes), window.col + cols + 0.5, window.row + rows + 0.5)


HOUSE = Polygon([(12.1, 8.2), (31.3, 12.4), (28.2, 30.6), (9.4, 25.8)])
NEIGHBOUR = Polygon([(31.3, 12.4), (46.7, 15.9), (43.6, 33.8), (28.2, 30.6)])
COURTYARD = Polygon(box(50.2, 5.2, 75.3, 30.4).exterior, [box(57.1, 12.3, 66.2, 22.4).exterior])
SHAPES = [HOUSE, NEIGHBOUR, COURTYARD]


def same(found, expected, tolerance=1e-6):
    pairs = zip(found, expected, strict=True)
    return all(one.symmetric_difference(other).area < tolerance for one, other in pairs)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, Affine(0, 0.5, 500_000, 0.5, 0, 5_500_000)])
@pytest.mark.parametrize("window", WINDOWS)
def test_footprints_are_where_they_are(scene, save, transform, window):
    labels = open_labels(save(on_map(transform, *SHAPES)), scene(transform))
    assert labels.separate
    assert labels.count == LabelCount(used=3)
    assert same(labels.polygons, on_map(transform, *SHAPES))
    np.testing.assert_array_equal(labels.cover(window), oracle(SHAPES, window))


def test_a_window_is_reached_by_its_own_footprints_only(scene, save):
    labels = open_labels(save(on_map(ROTATED, *SHAPES)), scene(ROTATED))
    # Bounding boxes of window and footprints overlap on the map, they themselves do not.
    assert len(labels.reaching(Window(35, 45, 20, 30))) == 0
    assert same(labels.reaching(Window(0, 50, 30, 30)), on_map(ROTATED, COURTYARD))


def test_a_building_at_the_border_of_a_window_does_not_reach_it(scene, save):
    labels = open_labels(save(on_map(NORTH_UP, box(20, 10, 40, 30))), scene())
    assert len(labels.reaching(Window(10, 40, 20, 20))) == 0
    assert len(labels.reaching(Window(10, 39, 20, 20))) == 1


def test_buildings_keep_their_order(scene, save):
    houses = [box(x, y, x + 3, y + 3) for y in (50, 10, 30) for x in (5, 60, 20, 40)]
    labels = open_labels(save(on_map(NORTH_UP, *houses)), scene())
    assert same(labels.reaching(WINDOWS[0]), on_map(NORTH_UP, *houses))


def test_footprints_in_another_crs(scene, save):
    labels = open_labels(save(on_map(NORTH_UP, *SHAPES), to="EPSG:4326", name="l.geojson"), scene())
    assert same(labels.polygons, on_map(NORTH_UP, *SHAPES), tolerance=0.1)


def test_labels_are_cleaned(scene, save):
    bow_tie = Polygon([(10, 40), (30, 58), (30, 40), (10, 58)])
    given = [MultiPolygon([HOUSE, COURTYARD]), HOUSE, bow_tie, box(60, 40, 75, 55), box(70, 45, 79, 58)]
    labels = open_labels(save(on_map(NORTH_UP, *given), name="l.geojson"), scene())
    assert labels.count == LabelCount(used=6, repaired=1, duplicates=1, overlaps=1)


def test_what_is_no_polygon_is_left_out(scene, save):
    mixed = save([*on_map(NORTH_UP, HOUSE, Point(5, 5)), None, Polygon()], name="l.geojson")
    assert same(open_labels(mixed, scene()).polygons, on_map(NORTH_UP, HOUSE), tolerance=0.1)


def test_only_footprints_in_the_scene_count(scene, save):
    far = shapely.affinity.translate(HOUSE, 500, 0)
    assert open_labels(save(on_map(NORTH_UP, far, HOUSE)), scene()).count == LabelCount(used=1)


@pytest.mark.parametrize("shapes", [[], [Polygon()]])
def test_a_file_without_polygons(scene, save, shapes):
    path = save(shapes)
    with pytest.raises(LabelError, match=r"labels .*labels.gpkg holds no polygon; .*--empty"):
        open_labels(path, scene())
    labels = open_labels(path, scene(), may_be_empty=True)
    assert not labels.cover(WINDOWS[1]).any()
    assert labels.count == LabelCount()


def test_no_labels_say_that_there_is_no_building(scene):
    labels = open_labels(None, scene())
    assert labels.cover(WINDOWS[1]).shape == (30, 25)
    assert not labels.cover(WINDOWS[1]).any()
    assert len(labels.reaching(WINDOWS[0])) == 0


def test_labels_elsewhere(scene, save):
    elsewhere = save(on_map(Affine.translation(5000, 0) @ NORTH_UP, *SHAPES))
    with pytest.raises(
        LabelError, match=r"labels .*gpkg is not about the scene .*of 3 features .EPSG:32633.*--empty"
    ):
        open_labels(elsewhere, scene())
    assert open_labels(elsewhere, scene(), may_be_empty=True).count == LabelCount()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_labels_that_say_the_wrong_crs(scene, save, crs):
    with pytest.raises(LabelError, match="not about the scene"):
        open_labels(save(on_map(NORTH_UP, *SHAPES), crs=crs), scene())


def test_points_are_no_labels(scene, save):
    with pytest.raises(LabelError, match="none is a polygon"):
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
    assert same(labels.polygons, SHAPES, tolerance=1e-3)


def test_area(scene, save):
    half, hole = box(-10, -10, 40, 90), box(10, 10, 20, 20)
    area = open_area(save(on_map(NORTH_UP, half.difference(hole)), to="EPSG:4326", name="a.geojson"), scene())
    np.testing.assert_array_equal(area.cover(WINDOWS[0]), oracle([half.difference(hole)], WINDOWS[0]))


def test_area_elsewhere(scene, save):
    path = save(on_map(Affine.translation(5000, 0) @ NORTH_UP, HOUSE), name="a.gpkg")
    with pytest.raises(LabelError, match=r"area .*a.gpkg is not about the scene") as error:
        open_area(path, scene())
    assert "--empty" not in str(error.value)


def write_mask(path, mask, **profile):
    shape = {"height": mask.shape[0], "width": mask.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **{"driver": "GTiff", **shape, **UTM, **profile}) as file:
        file.write(mask, 1)
    return path


def drawn_mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:15, 5:20] = 255
    mask[5:15, 20:30] = 1
    mask[40:50, 40:60] = 7
    mask[43:46, 45:50] = 0
    return mask


@pytest.mark.parametrize("window", WINDOWS)
def test_mask(scene, tmp_path, window):
    mask = drawn_mask()
    labels = open_labels(write_mask(tmp_path / "mask.tif", mask), scene())
    assert not labels.separate
    assert labels.count == LabelCount(used=2)
    rows, cols = slice(window.row, window.row + window.height), slice(window.col, window.col + window.width)
    np.testing.assert_array_equal(labels.cover(window), mask[rows, cols] > 0)
    courtyard = box(40, 40, 60, 50).difference(box(45, 43, 50, 46))
    assert same(labels.polygons, on_map(NORTH_UP, box(5, 5, 30, 15), courtyard))


def test_a_mask_that_touches_itself_at_a_corner_gives_valid_polygons(scene, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:20, 10:20] = 1
    mask[[11, 12], [11, 12]] = 0
    mask[15:17, 15:17] = 0
    mask[10, 10] = mask[17, 17] = 0
    labels = open_labels(write_mask(tmp_path / "mask.tif", mask), scene())
    assert shapely.is_valid(labels.polygons).all()
    np.testing.assert_array_equal(labels.cover(WINDOWS[0]), mask > 0)


def test_mask_without_buildings(scene, tmp_path):
    labels = open_labels(write_mask(tmp_path / "mask.tif", np.zeros((HEIGHT, WIDTH), np.uint8)), scene())
    assert labels.count == LabelCount()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", ["mask.jpg", "mask.tif"])
def test_a_jpeg_mask_has_buildings_in_its_brighter_half(scene, tmp_path, name):
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    truth[9:31, 11:43] = 255
    path = tmp_path / name
    if path.suffix == ".jpg":
        cv2.imwrite(str(path), truth, [cv2.IMWRITE_JPEG_QUALITY, 60])
    else:
        write_mask(path, truth, compress="jpeg", jpeg_quality=60)
    with rasterio.open(path) as file:
        assert ((file.read(1) > 0) != (truth > 0)).any()
    labels = open_labels(path, scene())
    np.testing.assert_array_equal(labels.cover(WINDOWS[0]), truth > 0)
    assert labels.count == LabelCount(used=1)


def test_mask_of_a_scene_that_is_resampled(write_scene, draw, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:40, 20:50] = 1
    with Scene.open(write_scene(draw(HEIGHT, WIDTH)), gsd_range_m=(0.8, 1.0)) as coarse:
        labels = open_labels(write_mask(tmp_path / "mask.tif", mask), coarse)
    assert same(labels.polygons, on_map(NORTH_UP, box(20, 10, 50, 40)))


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
