import geopandas as gpd
import numpy as np
import pytest
import rasterio
import typer
from affine import Affine
from shapely import box
from typer.testing import CliRunner

from geoconvnext.cli import tile as verb
from geoconvnext.data.cleaning import LabelCount
from geoconvnext.data.leakage import find_leaks
from geoconvnext.data.split import AreaSplit
from geoconvnext.data.tiles import TileFolder
from geoconvnext.errors import ConfigError, GeoconvnextError, LabelError, OutputError, SceneError
from geoconvnext.tile import TileCount, TileOptions, ValidationSet, tile_scene

HOUSES = [(20, 30, 40, 50), (20, 80, 40, 30), (100, 20, 30, 30)]
WEST, NORTH, GSD = 500_000, 5_500_000, 0.5


def on_map(row, col, rows, cols):
    return box(WEST + GSD * col, NORTH - GSD * (row + rows), WEST + GSD * (col + cols), NORTH - GSD * row)


def save(path, *rectangles, crs="EPSG:32633"):
    path.parent.mkdir(parents=True, exist_ok=True)
    gpd.GeoDataFrame(geometry=[on_map(*one) for one in rectangles], crs=crs).to_file(path)
    return path


@pytest.fixture
def town(write_scene, draw, tmp_path):
    """A scene with three houses, two of them touching, and its footprints."""
    return write_scene(draw(150, 200, *HOUSES), name="town.tif"), save(tmp_path / "town.gpkg", *HOUSES)


def covered(tile):
    """Pixels of a tile whose centre lies in a building, by the number of the building."""
    numbers = np.zeros(tile.known.shape, int)
    rings = tile.rings
    for ring, number in enumerate(rings.building):
        xy = rings.coords[rings.offsets[ring] : rings.offsets[ring + 1]]
        (left, top), (right, bottom) = np.rint(xy.min(0)).astype(int), np.rint(xy.max(0)).astype(int)
        numbers[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = number
    return numbers


def assembled(folder, height, width):
    """All tiles of a folder put back into their places, and how often a pixel was written."""
    image = np.zeros((height, width, 3), np.uint8)
    built, known = np.zeros((height, width), np.bool_), np.zeros((height, width), np.bool_)
    count = np.zeros((height, width), int)
    for record in TileFolder(folder).records():
        row, col = (int(part[1:]) for part in record.name.split("_")[-2:])
        tile = TileFolder(folder).read(record.name)
        at = slice(row, row + tile.known.shape[0]), slice(col, col + tile.known.shape[1])
        image[at], known[at], built[at] = tile.image, tile.known, covered(tile) > 0
        count[at] += 1
    return image, built, known, count


def test_tiles_are_the_scene_and_its_labels(town, tmp_path):
    options = TileOptions(size=64, licence="CC0")
    count = tile_scene(*town, tmp_path / "tiles", options)
    assert count == TileCount(written=12, labels=LabelCount(used=3))
    image, built, known, count = assembled(tmp_path / "tiles", 150, 200)
    with rasterio.open(town[0]) as file:
        pixels = file.read().transpose(1, 2, 0)
    assert (count == 1).all()
    assert known.all()
    np.testing.assert_array_equal(image, pixels)
    np.testing.assert_array_equal(built, pixels[..., 0] > 127)


def test_buildings_are_whole_in_every_tile_that_they_reach(town, tmp_path):
    tile_scene(*town, tmp_path / "tiles", TileOptions(size=50))
    records = {record.name: record for record in TileFolder(tmp_path / "tiles").records()}
    assert records["town_r0_c50"].buildings == 2
    assert records["town_r50_c50"].buildings == 2
    assert records["town_r100_c150"].buildings == 0
    rings = TileFolder(tmp_path / "tiles").read("town_r0_c50").rings
    found = [
        rings.coords[start:end] for start, end in zip(rings.offsets[:-1], rings.offsets[1:], strict=True)
    ]
    assert [(*xy.min(0).round(6), *xy.max(0).round(6)) for xy in found] == [
        (-20, 20, 30, 60),
        (30, 20, 60, 60),
    ]


def test_the_manifest_describes_the_tiles(town, tmp_path):
    tile_scene(*town, tmp_path / "tiles", TileOptions(size=200, licence="CC0"))
    (record,) = TileFolder(tmp_path / "tiles").records()
    assert (record.name, record.source, record.licence) == ("town_r0_c0", "town.tif", "CC0")
    assert record.gsd_m == pytest.approx(GSD, rel=2e-3)
    assert record.separate
    assert record.buildings == 3
    houses = sum(rows * cols for _, _, rows, cols in HOUSES)
    assert record.building_share == pytest.approx(houses / (150 * 200), abs=1e-4)


def test_tiles_keep_their_place(town, tmp_path):
    tile_scene(*town, tmp_path / "tiles", TileOptions(size=100))
    with rasterio.open(tmp_path / "tiles" / "town_r75_c100.tif") as file:
        assert file.transform == Affine(GSD, 0, WEST + 50, 0, -GSD, NORTH - 37.5)
        assert file.crs == "EPSG:32633"


def test_fine_scenes_are_resampled(town, tmp_path):
    tile_scene(*town, tmp_path / "tiles", TileOptions(gsd_m=1.0))
    (record,) = TileFolder(tmp_path / "tiles").records()
    tile = TileFolder(tmp_path / "tiles").read(record.name)
    assert record.gsd_m == pytest.approx(1.0, rel=0.01)
    assert tile.image.shape == (75, 100, 3)
    assert (tile.image[11:29, 16:54] > 200).all()
    assert tile.rings.coords[:5].min(axis=0).tolist() == pytest.approx([15, 10])
    assert tile.rings.coords[:5].max(axis=0).tolist() == pytest.approx([40, 30])


def test_windows_without_data_are_left_out(write_scene, draw, tmp_path):
    pixels = draw(100, 200)
    pixels[:, :, 100:] = 0
    pixels[:, 90:, :100] = 0
    scene = write_scene(pixels, nodata=0)
    assert tile_scene(scene, None, tmp_path / "tiles", TileOptions(size=100)) == TileCount(1, unknown=1)
    (record,) = TileFolder(tmp_path / "tiles").records()
    known = TileFolder(tmp_path / "tiles").read(record.name).known
    assert known[:90].all()
    assert not known[90:].any()
    assert record.building_share == 0


def test_outside_the_area_nothing_is_known(town, tmp_path):
    area = save(tmp_path / "area.geojson", (0, 0, 100, 60), (100, 0, 20, 100))
    count = tile_scene(*town, tmp_path / "tiles", TileOptions(size=50, area=area))
    _, _, known, written = assembled(tmp_path / "tiles", 150, 200)
    truth = np.zeros((150, 200), np.bool_)
    truth[:100, :60] = truth[100:120, :100] = True
    # Windows of 50 x 50 of which less than a tenth is known are left out; here none at all.
    np.testing.assert_array_equal(known, truth)
    assert (count.written, count.unknown) == (6, 6)
    assert written.sum() == 6 * 50 * 50
    # Half of the first house, 30 of its 40 rows, lies in the window and in the area.
    records = {record.name: record.building_share for record in TileFolder(tmp_path / "tiles").records()}
    assert records["town_r0_c50"] == pytest.approx(30 * 10 / 2500, abs=1e-4)


def test_any_number_of_bands(write_scene, draw, tmp_path):
    pixels = np.arange(5, dtype=np.uint8)[:, None, None] + np.zeros((5, 80, 80), np.uint8)
    scene = write_scene(pixels)
    tile_scene(scene, None, tmp_path / "four", TileOptions(bands=(5, 1, 2, 4)))
    assert TileFolder(tmp_path / "four").read("scene_r0_c0").image[0, 0].tolist() == [4, 0, 1, 3]
    tile_scene(write_scene(pixels[:1] + 7, "grey.tif"), None, tmp_path / "one", TileOptions())
    assert TileFolder(tmp_path / "one").read("grey_r0_c0").image[0, 0].tolist() == [7]


def test_all_tiles_of_a_set_have_the_same_bands(town, write_scene, draw, tmp_path, listing):
    tile_scene(*town, tmp_path / "tiles", TileOptions())
    before = listing(tmp_path)
    with pytest.raises(
        LabelError, match=r"tiles of 3 bands, .*town2.tif would add some of 2; name the bands"
    ):
        tile_scene(write_scene(draw(80, 80)[:2], "town2.tif"), None, tmp_path / "tiles", TileOptions())
    assert set(listing(tmp_path)) - set(before) == {"town2.tif"}


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
    tile_scene(*photo, tmp_path / "tiles", TileOptions(scene_gsd_m=0.4))
    (record,) = TileFolder(tmp_path / "tiles").records()
    tile = TileFolder(tmp_path / "tiles").read(record.name)
    assert record.gsd_m == 0.4
    assert not record.separate
    np.testing.assert_array_equal(covered(tile) > 0, tile.image[..., 0] > 127)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_unknown_ground_sampling_distance_must_be_stated(photo, tmp_path):
    with pytest.raises(SceneError, match="--scene-gsd"):
        tile_scene(*photo, tmp_path / "tiles", TileOptions())
    assert not (tmp_path / "tiles").exists()


def test_labels_elsewhere_write_nothing(town, tmp_path):
    far = save(tmp_path / "far.gpkg", (9000, 9000, 20, 20))
    with pytest.raises(LabelError, match="not about the scene"):
        tile_scene(town[0], far, tmp_path / "tiles", TileOptions())
    assert not (tmp_path / "tiles").exists()


def test_a_scene_is_not_cut_twice_into_one_tile_set(town, tmp_path, listing):
    tile_scene(*town, tmp_path / "tiles", TileOptions(size=100))
    before = listing(tmp_path / "tiles"), TileFolder(tmp_path / "tiles").records()
    with pytest.raises(LabelError, match="already has tiles of a scene town"):
        tile_scene(*town, tmp_path / "tiles", TileOptions(size=70))
    assert (listing(tmp_path / "tiles"), TileFolder(tmp_path / "tiles").records()) == before


@pytest.fixture
def torn(write_scene):
    """A scene whose last rows are missing from its file."""
    noise = np.random.default_rng(0).integers(1, 255, (3, 400, 400), np.uint8)
    path = write_scene(noise, "torn.tif", blockysize=8)
    path.write_bytes(path.read_bytes()[:-100_000])
    return path


def test_a_scene_is_cut_whole_or_not_at_all(torn, town, tmp_path, listing):
    with pytest.raises(SceneError, match="truncated"):
        tile_scene(torn, None, tmp_path / "tiles", TileOptions(size=100))
    assert not (tmp_path / "tiles").exists()
    tile_scene(*town, tmp_path / "tiles", TileOptions())
    before = listing(tmp_path)
    with pytest.raises(SceneError, match="truncated"):
        tile_scene(torn, None, tmp_path / "tiles", TileOptions(size=100))
    assert listing(tmp_path) == before
    assert [record.source for record in TileFolder(tmp_path / "tiles").records()] == ["town.tif"]


def test_a_full_disk_leaves_nothing_of_a_scene(write_scene, small_disk, listing):
    noise = np.random.default_rng(0).integers(1, 255, (3, 200, 200), np.uint8)
    disk = small_disk("100k")
    with pytest.raises(OutputError, match="make room"):
        tile_scene(write_scene(noise), None, disk / "tiles", TileOptions(size=100))
    assert listing(disk) == []


def test_validation_has_ground_of_its_own(write_scene, draw, tmp_path):
    scene = write_scene(draw(400, 400, (100, 100, 200, 200)), nodata=0)
    train, val = TileFolder(tmp_path / "train"), TileFolder(tmp_path / "val")
    options = TileOptions(size=50)
    labels = save(tmp_path / "scene.gpkg", (100, 100, 200, 200))
    count = tile_scene(scene, labels, train.path, options, validation=ValidationSet(val, AreaSplit(0.25)))
    assert len(train.records()) == count.written > 0
    assert len(val.records()) == count.validation > 0
    assert find_leaks([train], [val]) == []
    *_, in_train = assembled(train.path, 400, 400)
    *_, in_val = assembled(val.path, 400, 400)
    assert in_train.sum() == 400 * 400 * 3 // 4
    assert 0 < in_val.sum() <= 400 * 400 // 4
    (train.path / "tiles.csv").unlink()
    with pytest.raises(LabelError, match="val already has tiles of a scene scene"):
        tile_scene(scene, labels, train.path, options, validation=ValidationSet(val, AreaSplit(0.25)))


@pytest.mark.parametrize(("share", "empty"), [(0.0, 0), (0.2, 1), (0.5, 4), (0.9, 12)])
def test_balance(write_scene, draw, tmp_path, share, empty):
    scene = write_scene(draw(200, 200))
    labels = save(tmp_path / "scene.gpkg", (90, 90, 20, 20))  # in the four windows around the middle
    counts = [
        tile_scene(scene, labels, tmp_path / folder, TileOptions(size=50, balance=share)) for folder in "ab"
    ]
    assert counts[0] == counts[1] == TileCount(4 + empty, surplus=12 - empty, labels=LabelCount(used=1))
    one, other = (TileFolder(tmp_path / folder).records() for folder in "ab")
    assert one == other
    assert sum(record.buildings == 0 for record in one) == empty


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"gsd_m": 0.0},
        {"scene_gsd_m": -1.0},
        {"gsd_m": float("nan")},
        {"balance": 1.0},
        {"balance": -0.1},
    ],
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


@pytest.fixture
def county(town, write_scene, draw, tmp_path):
    """A folder of scenes and one of their labels: a town, and a field without buildings."""
    scenes, labels = tmp_path / "scenes", tmp_path / "labels"
    write_scene(draw(64, 64), name="scenes/field.tif", transform=Affine(GSD, 0, WEST + 900, 0, -GSD, NORTH))
    save(labels / "field.gpkg")
    town[0].rename(scenes / "town.tif")
    town[1].rename(labels / "town.gpkg")
    return scenes, labels


def test_command(county, tmp_path, command):
    scenes, labels = county
    options = ["-o", tmp_path / "tiles", "--size", 100, "--licence", "CC0", "--empty"]
    result = command(scenes, "--labels", labels, *options)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        f"{scenes / 'field.tif'}: 1 tiles, 0 labels",
        f"{scenes / 'town.tif'}: 4 tiles, 3 labels",
        "2 scenes: 5 tiles, 3 labels",
    ]
    records = TileFolder(tmp_path / "tiles").records()
    assert [record.name for record in records if record.source == "field.tif"] == ["field_r0_c0"]
    assert {record.licence for record in records} == {"CC0"}


def test_command_names_what_it_skips(county, torn, tmp_path, command):
    scenes, labels = county
    torn.rename(scenes / "torn.tif")
    save(labels / "torn.gpkg", HOUSES[0])
    (scenes / "new.tif").write_text("no raster")
    result = command(scenes, "--labels", labels, "-o", tmp_path / "tiles", "--size", 100)
    assert result.exit_code == 0, result.output
    errors = result.stderr.splitlines()
    assert [line.split(": ")[1].rsplit("/", 1)[-1] for line in errors[:3]] == [
        "field.tif",
        "new.tif",
        "torn.tif",
    ]
    assert "field.gpkg holds no polygon" in errors[0]
    assert "--empty" in errors[0]
    assert errors[3:] == ["3 of 4 scenes skipped, the others are cut"]
    assert {record.source for record in TileFolder(tmp_path / "tiles").records()} == {"town.tif"}


def test_command_fails_if_all_scenes_do(county, tmp_path, command):
    scenes, labels = county
    for path in scenes.iterdir():
        path.write_text("no raster")
    result = command(scenes, "--labels", labels, "-o", tmp_path / "tiles")
    assert isinstance(result.exception, GeoconvnextError)
    assert "none of 2 scenes" in str(result.exception)
    assert not (tmp_path / "tiles").exists()


def test_command_says_what_was_done_to_labels(town, tmp_path, command):
    save(tmp_path / "town.gpkg", *HOUSES, HOUSES[0], (95, 40, 30, 20))
    result = command(town[0], "--labels", tmp_path / "town.gpkg", "-o", tmp_path / "tiles", "--size", 200)
    assert result.output.rstrip().endswith("1 tiles, 4 labels, 1 drawn twice, 1 overlapped")


def test_command_with_empty_scenes(town, tmp_path, command):
    result = command(town[0], "--empty", "-o", tmp_path / "tiles")
    assert result.exit_code == 0, result.output
    assert TileFolder(tmp_path / "tiles").records()[0].building_share == 0


def test_command_needs_labels_or_empty(town, tmp_path, command):
    result = command(town[0], "-o", tmp_path / "tiles")
    assert isinstance(result.exception, LabelError)
    assert "--empty" in str(result.exception)


@pytest.mark.parametrize("option", ["--labels", "--area"])
def test_command_with_files_that_do_not_exist(county, tmp_path, command, option):
    result = command(county[0], "--empty", "-o", tmp_path / "tiles", option, tmp_path / "none.gpkg")
    assert isinstance(result.exception, LabelError)
    assert "none.gpkg does not exist" in str(result.exception)


def test_command_splits_by_area(write_scene, draw, tmp_path, command):
    scene = write_scene(draw(300, 300))
    split = ["--val", tmp_path / "val", "--val-share", 0.5]
    result = command(scene, "--empty", "-o", tmp_path / "train", "--size", 64, *split)
    assert result.exit_code == 0, result.output
    train, val = (len(TileFolder(tmp_path / name).records()) for name in ("train", "val"))
    assert f"{train} tiles, {val} for validation, 0 labels" in result.output


def test_command_that_leaves_nothing_for_validation(write_scene, draw, tmp_path, command):
    result = command(
        write_scene(draw(90, 90)), "--empty", "-o", tmp_path / "train", "--val", tmp_path / "val"
    )
    assert isinstance(result.exception, LabelError)
    assert "no ground fell to" in str(result.exception)


def test_command_finds_that_split_scenes_overlap(write_scene, draw, tmp_path, command):
    for name in "ab":
        write_scene(draw(90, 90), f"in/{name}.tif")
    split = ["--val", tmp_path / "val", "--val-share", 0.6]
    result = command(tmp_path / "in", "--empty", "-o", tmp_path / "train", *split)
    assert isinstance(result.exception, LabelError)
    assert "show the same ground" in str(result.exception)
