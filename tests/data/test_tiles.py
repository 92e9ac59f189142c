import numpy as np
import pytest
import rasterio
from affine import Affine

from geoconvnext.data.tiles import FINENESS, MANIFEST, TileFolder, TileRecord
from geoconvnext.errors import LabelError, OutputError

TRANSFORM = Affine(0.3, 0, 400_000, 0, -0.3, 5_800_000)
HEADER = "name,source,gsd_m,separate,building_share,licence"


def record(name="town_r0_c0", **changes):
    values = {"source": "town, north.tif", "gsd_m": 0.2999, "separate": True, "building_share": 0.25}
    return TileRecord(name=name, **{**values, "licence": "CC BY 4.0", **changes})


def pixels(bands=3, height=20, width=30):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (bands, height, width)).astype(np.uint8)
    labels = rng.integers(0, 65536, (height * FINENESS, width * FINENESS)).astype(np.uint16)
    return image, labels


@pytest.fixture
def folder(tmp_path):
    folder = TileFolder(tmp_path / "tiles")
    folder.write(record(), *pixels(), transform=TRANSFORM, crs="EPSG:32633")
    return folder


@pytest.mark.parametrize("bands", [1, 3, 4, 8])
@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_round_trip(tmp_path, recwarn, bands, crs):
    folder = TileFolder(tmp_path / "new" / "tiles")
    image, labels = pixels(bands)
    folder.write(record(), image, labels, transform=TRANSFORM, crs=crs)
    again, again_labels = folder.read("town_r0_c0")
    np.testing.assert_array_equal(again, image.transpose(1, 2, 0))
    np.testing.assert_array_equal(again_labels, labels)
    assert again.flags.c_contiguous
    assert folder.records() == [record()]
    assert not recwarn.list


def test_labels_lie_on_the_ground_of_the_image(folder):
    with (
        rasterio.open(folder.path / "town_r0_c0.tif") as image,
        rasterio.open(folder.path / "town_r0_c0_labels.tif") as labels,
    ):
        assert image.bounds == labels.bounds
        assert image.crs == labels.crs == "EPSG:32633"


def test_tiles_are_added(folder, listing):
    other = record("town_r0_c30", separate=False, licence="")
    folder.write(other, *pixels(), transform=TRANSFORM, crs=None)
    assert folder.records() == [record(), other]
    assert folder.names() == {"town_r0_c0", "town_r0_c30"}
    assert len(listing(folder.path)) == 5


def test_a_tile_set_that_does_not_exist_has_no_names(tmp_path):
    assert TileFolder(tmp_path / "none").names() == set()


def test_missing_manifest(tmp_path):
    with pytest.raises(LabelError, match=r"no tile set at .*none: tiles.csv is missing"):
        TileFolder(tmp_path / "none").records()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no tiles"),
        (f"{HEADER}\n", "no tiles"),
        ("name,source\na,b\n", "line 2: no gsd_m, separate"),
        (f"{HEADER}\na,b,0.3,True,0.1\n", "line 2: no licence"),
        (f"{HEADER}\na,b,0.3,True,0.1,\na,b,coarse,True,0.1,\n", "line 3: .*coarse"),
        (f"{HEADER}\na,b,0,True,0.1,\n", "gsd_m must be a positive number"),
        (f"{HEADER}\na,b,nan,True,0.1,\n", "gsd_m must be a positive number"),
        (f"{HEADER}\na,b,0.3,yes,0.1,\n", "separate must be True or False; found yes"),
    ],
)
def test_malformed_manifest_names_the_line(tmp_path, text, complaint):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(LabelError, match=complaint) as error:
        TileFolder(tmp_path).records()
    assert "geoconvnext tile" in str(error.value)


def test_manifest_that_is_no_text(tmp_path):
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LabelError, match="malformed"):
        TileFolder(tmp_path).records()


@pytest.mark.parametrize("ending", ["", "_labels"])
def test_damaged_or_missing_tile_is_named(folder, ending):
    path = folder.path / f"town_r0_c0{ending}.tif"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(LabelError, match=r"tile town_r0_c0 of .*tiles cannot be read"):
        folder.read("town_r0_c0")
    path.unlink()
    with pytest.raises(LabelError, match=r"tile town_r0_c0 of .*tiles cannot be read"):
        folder.read("town_r0_c0")


def test_labels_of_another_size_or_type(folder):
    image, labels = pixels()
    folder.write(record("small"), image, labels[:-1], transform=TRANSFORM, crs=None)
    with pytest.raises(LabelError, match=r"tile small .* \(40, 60\); found uint8 and uint16 \(39, 60\)"):
        folder.read("small")
    folder.write(record("wide"), image.astype(np.uint16), labels, transform=TRANSFORM, crs=None)
    with pytest.raises(LabelError, match="found uint16"):
        folder.read("wide")


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "tiles").write_text("")
    with pytest.raises(OutputError, match="choose another folder"):
        TileFolder(tmp_path / "tiles").write(record(), *pixels(), transform=TRANSFORM, crs=None)


def test_a_full_disk_leaves_no_half_tile(small_disk, listing):
    disk = small_disk(64 * 1024)
    image, labels = pixels(height=200, width=200)
    with pytest.raises(OutputError, match="make room"):
        TileFolder(disk / "tiles").write(record(), image, labels, transform=TRANSFORM, crs=None)
    assert not any(name.endswith((".tif", ".csv")) for name in listing(disk))
