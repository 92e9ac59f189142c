from zlib import crc32

import numpy as np
import pyproj
import pytest
from affine import Affine

from geoconvnext.data.leakage import Leak, find_leaks
from geoconvnext.data.tiles import TileFolder, TileRecord

SIZE, GSD = 20, 0.5
WEST, NORTH = 500_000, 5_500_000


@pytest.fixture
def tile(tmp_path):
    """Write a tile of 10 m, (x, y) metres east and south of the origin; pixels are drawn by its seed."""

    def write(folder, name, x=0.0, y=0.0, *, crs="EPSG:32633", source="town.tif", seed=None, transform=None):
        rng = np.random.default_rng(crc32(f"{folder}/{name}".encode()) if seed is None else seed)
        image = rng.integers(0, 256, (3, SIZE, SIZE)).astype(np.uint8)
        record = TileRecord(name, source, GSD, separate=True, building_share=0.0, licence="", buildings=0)
        place = transform or Affine(GSD, 0, WEST + x, 0, -GSD, NORTH - y)
        tiles = TileFolder(tmp_path / folder)
        tiles.write(record, image, [], np.ones((SIZE, SIZE), np.bool_), transform=place, crs=crs)
        return tiles

    return write


def names(leaks):
    return {(leak.train.rsplit("/", 1)[-1], leak.val.rsplit("/", 1)[-1], leak.reason) for leak in leaks}


def test_tiles_that_share_ground(tile):
    for number in range(4):
        train = tile("train", f"t{number}", 10 * number, source="east.tif")
    val = tile("val", "v0", 15, 3, source="other.tif")
    assert names(find_leaks([train], [val])) == {("t1", "v0", "ground"), ("t2", "v0", "ground")}


def test_a_leak_names_both_tiles(tile, tmp_path):
    leaks = find_leaks([tile("train", "a")], [tile("val", "b", 5)])
    assert leaks == [Leak(str(tmp_path / "train/a"), str(tmp_path / "val/b"), "ground")]
    assert leaks[0].describe() == f"{tmp_path}/train/a and {tmp_path}/val/b (same ground)"


def test_neighbours_are_no_leak_though_of_one_scene(tile):
    train = tile("train", "a")
    for number, (x, y) in enumerate([(10, 0), (-10, 0), (0, 10), (10, 10)]):
        val = tile("val", f"v{number}", x, y)
    assert find_leaks([train], [val]) == []


def test_ground_in_another_crs(tile):
    train = tile("train", "a")
    tile("train", "far", 300)
    x, y = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:3857").transform(WEST + 5, NORTH - 5)
    stretch = 1 / np.cos(np.radians(49.6))
    mercator = Affine(GSD * stretch, 0, x, 0, -GSD * stretch, y)
    val = tile("val", "b", crs="EPSG:3857", transform=mercator)
    assert names(find_leaks([train], [val])) == {("a", "b", "ground")}
    # A turned tile whose bounding box alone reaches the other.
    turned = Affine.translation(WEST + 12.2, NORTH - 10) @ Affine.rotation(45) @ Affine.scale(GSD, -GSD)
    assert find_leaks([train], [tile("val2", "c", transform=turned)]) == []


def test_ground_on_both_sides_of_the_antimeridian(tile):
    def at(longitude):
        return Affine(1e-5, 0, longitude, 0, -1e-5, -17)

    train = tile("train", "across", crs="EPSG:4326", transform=at(179.9999))
    val = tile("val", "same", crs="EPSG:4326", transform=at(179.9999))
    tile("val", "far", crs="EPSG:4326", transform=at(10.0))
    assert names(find_leaks([train], [val])) == {("across", "same", "ground")}


def test_without_georeference_the_place_in_the_scene_counts(tile):
    def at(col):
        return Affine.translation(col, 0)

    train = tile("train", "a", crs=None, transform=at(0), source="photo.png")
    val = tile("val", "same", crs=None, transform=at(10), source="photo.png")
    tile("val", "beside", crs=None, transform=at(SIZE), source="photo.png")
    tile("val", "other", crs=None, transform=at(0), source="other.png")
    assert names(find_leaks([train], [val])) == {("a", "same", "scene")}


def test_without_georeference_identical_pixels_count(tile):
    train = tile("train", "a", crs=None, source="a.png", seed=1)
    tile("train", "b", crs=None, source="b.png", seed=2)
    val = tile("val", "renamed", crs=None, source="c.png", seed=1)
    tile("val", "placed", 500, seed=2)
    assert names(find_leaks([train], [val])) == {("a", "renamed", "image")}


def test_a_leak_is_reported_once(tile):
    train, val = (tile(name, "a", crs=None, source="a.png", seed=1) for name in ("train", "val"))
    assert names(find_leaks([train], [val])) == {("a", "a", "scene")}


def test_a_crs_that_is_nowhere_on_earth(tile):
    local = (
        'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    )
    train, val = (tile(name, "a", crs=local, source=f"{name}.tif", seed=3) for name in ("train", "val"))
    assert names(find_leaks([train], [val])) == {("a", "a", "image")}


def test_damaged_tiles_are_passed_over(tile):
    train, val = tile("train", "a"), tile("val", "a")
    tile("train", "b", crs=None, source="b.png")
    tile("val", "b", crs=None, source="c.png")
    (train.path / "a.tif").write_bytes(b"")
    (val.path / "b.fgb").unlink()
    assert find_leaks([train], [val]) == []


def test_several_tile_sets(tile):
    train = [tile(f"train{number}", "a", 100 * number) for number in range(3)]
    val = [tile(f"val{number}", "b", 100 * number) for number in range(1, 3)]
    assert [leak.train.split("/")[-2:] for leak in find_leaks(train, val)] == [
        ["train1", "a"],
        ["train2", "a"],
    ]
    assert find_leaks(train, []) == []
