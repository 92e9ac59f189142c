import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import Polygon, box

from geoconvnext.data.tiles import MANIFEST, TileFolder, TileRecord
from geoconvnext.errors import LabelError, OutputError

WEST, NORTH, GSD = 400_000, 5_800_000, 0.3
TRANSFORM = Affine(GSD, 0, WEST, 0, -GSD, NORTH)
ROTATED = Affine.translation(WEST, NORTH) @ Affine.rotation(30) @ Affine.scale(GSD, -GSD)
HEADER = "name,source,gsd_m,separate,building_share,licence,buildings"
# In columns and rows; the second one reaches beyond the tile.
HOUSE = Polygon([(2, 3), (12, 4), (11, 9), (1, 8)])
COURTYARD = Polygon(box(15, 5, 40, 18).exterior, [box(18, 8, 25, 12).exterior])


def record(name="town_r0_c0", **changes):
    values = {"source": "town, north.tif", "gsd_m": 0.2999, "separate": True, "building_share": 0.25}
    return TileRecord(name=name, **{**values, "licence": "CC BY 4.0", "buildings": 2, **changes})


def on_map(transform, *shapes):
    a, b, c, d, e, f = transform[:6]
    return [shapely.affinity.affine_transform(shape, (a, b, d, e, c, f)) for shape in shapes]


def pixels(bands=3, height=20, width=30):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (bands, height, width)).astype(np.uint8)
    return image, rng.random((height, width)) < 0.7


def write(folder, tile=None, *, transform=TRANSFORM, crs="EPSG:32633", image=None, known=None, shapes=None):
    shapes = [HOUSE, COURTYARD] if shapes is None else shapes
    drawn, seen = pixels()
    image, known = drawn if image is None else image, seen if known is None else known
    tile = tile or record(buildings=len(shapes))
    folder.write(tile, image, on_map(transform, *shapes), known, transform=transform, crs=crs)


@pytest.fixture
def folder(tmp_path):
    folder = TileFolder(tmp_path / "tiles")
    write(folder)
    return folder


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("crs", ["EPSG:32633", None])
@pytest.mark.parametrize("everywhere", [True, False])
def test_round_trip(tmp_path, recwarn, bands, crs, everywhere):
    folder = TileFolder(tmp_path / "new" / "tiles")
    image, known = pixels(bands)
    known |= everywhere
    write(folder, image=image, known=known, crs=crs)
    tile = folder.read("town_r0_c0")
    np.testing.assert_array_equal(tile.image, image.transpose(1, 2, 0))
    np.testing.assert_array_equal(tile.known, known)
    assert tile.known.dtype == np.bool_
    assert tile.image.flags.c_contiguous
    assert folder.records() == [record()]
    assert not recwarn.list


@pytest.mark.parametrize("transform", [TRANSFORM, ROTATED])
def test_buildings_come_back_in_pixels(tmp_path, transform):
    folder = TileFolder(tmp_path)
    write(folder, transform=transform)
    rings = folder.read("town_r0_c0").rings
    assert rings.building.tolist() == [1, 2, 2]
    for ring, expected in enumerate((HOUSE.exterior, COURTYARD.exterior, COURTYARD.interiors[0])):
        found = Polygon(rings.coords[rings.offsets[ring] : rings.offsets[ring + 1]])
        assert found.symmetric_difference(Polygon(expected)).area < 1e-3


def test_a_tile_without_buildings(tmp_path):
    folder = TileFolder(tmp_path)
    write(folder, shapes=[])
    assert folder.read("town_r0_c0").rings.buildings == 0


def test_files_that_a_gis_opens(folder, recwarn):
    with rasterio.open(folder.path / "town_r0_c0.tif") as file:
        assert (file.crs, file.transform) == ("EPSG:32633", TRANSFORM)
        np.testing.assert_array_equal(file.dataset_mask() > 0, pixels()[1])
    table = pyogrio.read_dataframe(folder.path / "town_r0_c0.fgb")
    assert table.crs == "EPSG:32633"
    assert shapely.equals_exact(table.geometry.to_numpy(), on_map(TRANSFORM, HOUSE, COURTYARD)).all()
    assert not recwarn.list


def test_header(folder):
    header = folder.header("town_r0_c0")
    east, south = WEST + 30 * GSD, NORTH - 20 * GSD
    assert header.corners.tolist() == [[WEST, NORTH], [east, NORTH], [east, south], [WEST, south]]
    assert (header.crs, header.shape) == ("EPSG:32633", (3, 20, 30))
    with pytest.raises(LabelError, match=r"tile none of .* cannot be read"):
        folder.header("none")


def test_tiles_are_added(folder, listing):
    other = record("town_r0_c30", separate=False, licence="")
    write(folder, other, crs=None)
    assert folder.records() == [record(), other]
    assert len(listing(folder.path)) == 5


def test_tiles_of_a_scene_are_discarded(folder, listing):
    other = record("hill_r0_c0", source="hill.tif")
    write(folder, other)
    folder.discard("town, north.tif")
    assert folder.records() == [other]
    assert listing(folder.path) == ["hill_r0_c0.fgb", "hill_r0_c0.tif", MANIFEST]
    folder.discard("hill.tif")
    assert not folder.path.exists()
    folder.discard("hill.tif")


def test_missing_manifest(tmp_path):
    assert not TileFolder(tmp_path / "none").exists()
    with pytest.raises(LabelError, match=r"no tile set at .*none: tiles.csv is missing"):
        TileFolder(tmp_path / "none").records()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no tiles"),
        (f"{HEADER}\n", "no tiles"),
        ("name,source\na,b\n", "line 2: no gsd_m, separate"),
        (f"{HEADER}\na,b,0.3,True,0.1,CC0\n", "line 2: no buildings"),
        (f"{HEADER}\na,b,0.3,True,0.1,,1\na,b,coarse,True,0.1,,1\n", "line 3: .*coarse"),
        (f"{HEADER}\na,b,0,True,0.1,,1\n", "gsd_m must be a positive number"),
        (f"{HEADER}\na,b,nan,True,0.1,,1\n", "gsd_m must be a positive number"),
        (f"{HEADER}\na,b,0.3,yes,0.1,,1\n", "separate must be True or False; found yes"),
        (f"{HEADER}\na,b,0.3,True,0.1,,many\n", "many"),
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


def test_a_tile_set_of_an_older_version(tmp_path):
    (tmp_path / MANIFEST).write_text(f"{HEADER.removesuffix(',buildings')}\na,b,0.3,True,0.1,CC0\n")
    (tmp_path / "a_labels.tif").touch()
    with pytest.raises(LabelError, match=r"older version.* cut its scenes again with `geoconvnext tile`"):
        TileFolder(tmp_path).records()


@pytest.mark.parametrize("suffix", [".tif", ".fgb"])
@pytest.mark.parametrize("left", [0.0, 0.05, 0.6])
def test_damaged_or_missing_tile_is_named(folder, suffix, left):
    path = folder.path / f"town_r0_c0{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(LabelError, match=r"tile town_r0_c0 of .*tiles cannot be read"):
        folder.read("town_r0_c0")
    path.unlink()
    with pytest.raises(LabelError, match=r"tile town_r0_c0 of .*tiles cannot be read"):
        folder.read("town_r0_c0")


def test_pixels_of_another_type(folder):
    write(folder, record("wide"), image=pixels()[0].astype(np.uint16))
    with pytest.raises(LabelError, match=r"tile wide .* must be uint8; found uint16"):
        folder.read("wide")


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "tiles").write_text("")
    with pytest.raises(OutputError, match="choose another folder"):
        write(TileFolder(tmp_path / "tiles"))


@pytest.mark.parametrize("space", ["8k", "64k", "124k", "128k"])
def test_a_full_disk_leaves_no_half_tile(small_disk, listing, space):
    disk = small_disk(space)
    image, known = pixels(height=200, width=200)
    many = [HOUSE] * 20
    with pytest.raises(OutputError, match="make room"):
        write(TileFolder(disk / "tiles"), record(buildings=20), image=image, known=known, shapes=many)
    assert not any(name.endswith((".tif", ".fgb", ".csv")) for name in listing(disk))
