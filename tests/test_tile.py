from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import typer
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box
from typer.testing import CliRunner

from geoconvnext.cli import tile as verb
from geoconvnext.data.targets import UNLABELLED
from geoconvnext.data.tiles import FINENESS, TileFolder
from geoconvnext.errors import ConfigError, LabelError, SceneError
from geoconvnext.tile import TileCount, TileOptions, tile_scene, windows

HOUSES = [(20, 30, 40, 50), (20, 80, 40, 30), (100, 20, 30, 30)]
WEST, NORTH, GSD = 500_000, 5_500_000, 0.5


@pytest.fixture
def town(write_scene, draw, tmp_path):
    """A scene with three houses, two of them touching, and its footprints."""
    scene = write_scene(draw(150, 200, *HOUSES), name="town.tif")
    footprints = [
        box(WEST + GSD * col, NORTH - GSD * (row + rows), WEST + GSD * (col + cols), NORTH - GSD * row)
        for row, col, rows, cols in HOUSES
    ]
    gpd.GeoDataFrame(geometry=footprints, crs="EPSG:32633").to_file(tmp_path / "town.gpkg")
    return scene, tmp_path / "town.gpkg"


def assembled(folder, height, width):
    """All tiles of a folder put back into their places, and how often a pixel was written."""
    image = np.zeros((height, width, 3), np.uint8)
    labels = np.zeros((height * FINENESS, width * FINENESS), np.uint16)
    count = np.zeros((height, width), int)
    for record in TileFolder(folder).records():
        row, col = (int(part[1:]) for part in record.name.split("_")[-2:])
        pixels, numbers = TileFolder(folder).read(record.name)
        rows, cols = slice(row, row + pixels.shape[0]), slice(col, col + pixels.shape[1])
        image[rows, cols], count[rows, cols] = pixels, count[rows, cols] + 1
        labels[row * 2 : row * 2 + len(numbers), col * 2 : col * 2 + numbers.shape[1]] = numbers
    return image, labels, count


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 50))
def test_windows_cover_each_pixel_once(height, width, size):
    count = np.zeros((height, width), int)
    sizes = set()
    for window in windows(height, width, size):
        count[window.row : window.row + window.height, window.col : window.col + window.width] += 1
        sizes.add(window.height)
        assert max(window.height, window.width) <= size
    assert (count == 1).all()
    assert max(sizes) - min(sizes) <= 1


def test_tiles_are_the_scene_and_its_labels(town, tmp_path):
    scene, labels = town
    options = TileOptions(size=64, licence="CC0")
    assert tile_scene(scene, labels, tmp_path / "tiles", options) == TileCount(written=12, left_out=0)
    image, numbers, count = assembled(tmp_path / "tiles", 150, 200)
    with rasterio.open(scene) as file:
        pixels = file.read().transpose(1, 2, 0)
    assert (count == 1).all()
    np.testing.assert_array_equal(image, pixels)
    np.testing.assert_array_equal(numbers > 0, (pixels[..., 0] > 127).repeat(2, 0).repeat(2, 1))
    assert (numbers[60, 159], numbers[60, 160]) in {(1, 2), (2, 1)}


def test_the_manifest_describes_the_tiles(town, tmp_path):
    scene, labels = town
    tile_scene(scene, labels, tmp_path / "tiles", TileOptions(size=200, licence="CC0"))
    (record,) = TileFolder(tmp_path / "tiles").records()
    assert (record.name, record.source, record.licence) == ("town_r0_c0", "town.tif", "CC0")
    assert record.gsd_m == pytest.approx(GSD, rel=2e-3)
    assert record.separate
    houses = sum(rows * cols for _, _, rows, cols in HOUSES)
    assert record.building_share == pytest.approx(houses / (150 * 200), abs=1e-4)


def test_tiles_keep_their_place(town, tmp_path):
    scene, labels = town
    tile_scene(scene, labels, tmp_path / "tiles", TileOptions(size=100))
    with rasterio.open(tmp_path / "tiles" / "town_r75_c100.tif") as file:
        assert file.transform == Affine(GSD, 0, WEST + 50, 0, -GSD, NORTH - 37.5)
        assert file.crs == "EPSG:32633"


def test_fine_scenes_are_resampled(town, tmp_path):
    scene, labels = town
    tile_scene(scene, labels, tmp_path / "tiles", TileOptions(gsd_m=1.0))
    (record,) = TileFolder(tmp_path / "tiles").records()
    image, numbers = TileFolder(tmp_path / "tiles").read(record.name)
    assert record.gsd_m == pytest.approx(1.0, rel=0.01)
    assert image.shape == (75, 100, 3)
    assert (image[10:30, 15:55] > 200).all()
    assert (numbers[22:58, 32:108] > 0).all()


def test_windows_without_data_are_left_out(write_scene, draw, tmp_path):
    pixels = draw(100, 200)
    pixels[:, :, 100:] = 0
    pixels[:, 90:, :100] = 0
    scene = write_scene(pixels, nodata=0)
    assert tile_scene(scene, None, tmp_path / "tiles", TileOptions(size=100)) == TileCount(1, 1)
    (record,) = TileFolder(tmp_path / "tiles").records()
    _, numbers = TileFolder(tmp_path / "tiles").read(record.name)
    assert not numbers[:180].any()
    assert (numbers[180:] == UNLABELLED).all()
    assert record.building_share == 0


@pytest.fixture
def photo(write_scene, draw, tmp_path):
    """A scene without georeference, and its mask."""
    pixels = draw(80, 90, *[(10, 10, 20, 30)])
    scene = write_scene(pixels, name="photo.tif", crs=None, transform=Affine.identity())
    mask = (pixels[:1] > 127).astype(np.uint8)
    write_scene(mask, name="masks/photo_mask.tif", crs=None, transform=Affine.identity())
    return scene, tmp_path / "masks"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_scene_without_georeference_with_a_mask(photo, tmp_path):
    scene, masks = photo
    tile_scene(scene, masks, tmp_path / "tiles", TileOptions(scene_gsd_m=0.4))
    (record,) = TileFolder(tmp_path / "tiles").records()
    image, numbers = TileFolder(tmp_path / "tiles").read(record.name)
    assert record.gsd_m == 0.4
    assert not record.separate
    np.testing.assert_array_equal(numbers > 0, (image[..., 0] > 127).repeat(2, 0).repeat(2, 1))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_unknown_ground_sampling_distance_must_be_stated(photo, tmp_path):
    with pytest.raises(SceneError, match="--scene-gsd"):
        tile_scene(photo[0], photo[1], tmp_path / "tiles", TileOptions())
    assert not (tmp_path / "tiles").exists()


def test_labels_elsewhere_write_nothing(town, tmp_path):
    far = gpd.GeoDataFrame(geometry=[box(0, 0, 10, 10)], crs="EPSG:32633")
    far.to_file(tmp_path / "far.gpkg")
    with pytest.raises(LabelError, match="do not touch the scene"):
        tile_scene(town[0], tmp_path / "far.gpkg", tmp_path / "tiles", TileOptions())
    assert not (tmp_path / "tiles").exists()


def test_a_scene_is_not_cut_twice_into_one_tile_set(town, tmp_path, listing):
    tile_scene(*town, tmp_path / "tiles", TileOptions(size=100))
    before = listing(tmp_path / "tiles"), TileFolder(tmp_path / "tiles").records()
    with pytest.raises(LabelError, match="already has tiles of a scene town"):
        tile_scene(*town, tmp_path / "tiles", TileOptions(size=200))
    assert (listing(tmp_path / "tiles"), TileFolder(tmp_path / "tiles").records()) == before


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"gsd_m": 0.0}, {"scene_gsd_m": -1.0}, {"gsd_m": float("nan")}]
)
def test_options_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        TileOptions(**wrong)


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verb.tile)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def test_command(town, write_scene, draw, tmp_path, command):
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    town[0].rename(scenes / "town.tif")
    Path(write_scene(draw(64, 64), name="scenes/field.tif"))
    labels = tmp_path / "labels"
    labels.mkdir()
    town[1].rename(labels / "town.gpkg")
    gpd.GeoDataFrame(geometry=[], crs="EPSG:32633").to_file(labels / "field.gpkg")
    result = command(scenes, "--labels", labels, "-o", tmp_path / "tiles", "--size", 100, "--licence", "CC0")
    assert result.exit_code == 0, result.output
    assert f"{scenes / 'town.tif'}: 4 tiles" in result.output
    records = TileFolder(tmp_path / "tiles").records()
    assert [record.name for record in records if record.source == "field.tif"] == ["field_r0_c0"]
    assert {record.licence for record in records} == {"CC0"}


def test_command_with_empty_scenes(town, tmp_path, command):
    result = command(town[0], "--empty", "-o", tmp_path / "tiles")
    assert result.exit_code == 0, result.output
    assert TileFolder(tmp_path / "tiles").records()[0].building_share == 0


@pytest.mark.parametrize("arguments", [(), ("--empty", "--labels", "labels.gpkg")])
def test_command_needs_labels_or_empty(town, tmp_path, command, arguments):
    result = command(town[0], "-o", tmp_path / "tiles", *arguments)
    assert isinstance(result.exception, LabelError)
    assert "--empty" in str(result.exception)
