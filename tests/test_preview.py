import cv2
import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geoconvnext.errors import OutputError
from geoconvnext.preview import LONGEST_SIDE_PX, draw_preview

GREY = 90


@pytest.fixture
def scene(write_scene):
    """A grey scene, 0.5 m pixels."""

    def write(height, width, dtype=np.uint8, **profile):
        return write_scene(np.full((3, height, width), GREY, dtype), **profile)

    return write


def footprint(row, col, height, width, hole=None):
    """A rectangle of pixels of the scene, in its CRS."""
    transform = Affine(0.5, 0, 500_000, 0, -0.5, 5_500_000)
    box = shapely.box(col, row, col + width, row + height)
    if hole:
        box = box.difference(shapely.box(*hole))
    placed = shapely.transform(box, lambda xy: np.array([transform @ point for point in xy]))
    return gpd.GeoDataFrame(geometry=[placed], crs=32633)


def draw(path, scene, table, **options):
    draw_preview(path, str(scene), table, bands=(1, 2, 3), **options)
    return cv2.imread(str(path))[..., ::-1].astype(int)


def is_outline(pixels):
    """Clearly yellow; a line between two rows of pixels colours both of them by half."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return (red > 150) & (green > 120) & (red - blue > 120)


def test_outline_lies_on_the_border(scene, tmp_path):
    picture = draw(tmp_path / "p.png", scene(200, 300), footprint(50, 100, 80, 120))
    assert picture.shape == (200, 300, 3)
    for border in (picture[50, 105:215], picture[129, 105:215], picture[55:125, 100], picture[55:125, 219]):
        assert is_outline(border).all()
    outside = np.ones((200, 300), bool)
    outside[45:135, 95:225] = False
    assert (picture[outside] == GREY).all()
    inside = picture[56:124, 106:214]
    assert not is_outline(inside).any()
    assert (inside == inside[0, 0]).all()
    assert inside[0, 0, 0] > GREY > inside[0, 0, 2]  # the roof shines through a yellow fill


def test_holes_stay_free(scene, tmp_path):
    table = footprint(50, 100, 80, 120, hole=(140, 70, 180, 110))
    picture = draw(tmp_path / "p.png", scene(200, 300), table)
    assert (picture[76:104, 146:174] == GREY).all()
    assert is_outline(picture[75:105, 140]).all()


def test_large_scenes_are_shrunk(scene, tmp_path):
    picture = draw(tmp_path / "p.png", scene(1250, 2500), footprint(500, 1000, 250, 500))
    assert picture.shape == (LONGEST_SIDE_PX // 2, LONGEST_SIDE_PX, 3)
    assert is_outline(picture[400, 810:1190]).mean() > 0.9
    assert is_outline(picture[410:590, 800]).mean() > 0.9
    assert not is_outline(picture[:390]).any()


def test_without_footprints_it_is_the_scene(scene, tmp_path):
    assert (draw(tmp_path / "p.png", scene(20, 30), footprint(0, 0, 1, 1)[:0]) == GREY).all()


def test_one_band_is_grey(write_scene, tmp_path):
    path = write_scene(np.full((2, 20, 30), 7, np.uint8))
    draw_preview(tmp_path / "p.png", str(path), footprint(0, 0, 1, 1)[:0], bands=(2,))
    assert (cv2.imread(str(tmp_path / "p.png")) == 7).all()


def test_nodata_is_black_and_not_stretched(write_scene, tmp_path):
    pixels = np.random.default_rng(0).integers(1000, 1200, (3, 100, 100)).astype(np.uint16)
    pixels[:, :30] = 60_000
    picture = draw(tmp_path / "p.png", write_scene(pixels), footprint(0, 0, 1, 1)[:0], nodata=60_000)
    assert (picture[:30] == 0).all()
    assert picture[30:].std() > 50


@pytest.mark.parametrize("name", ["p.gif", "p", "scene.tif/p.png"])
def test_impossible_places(scene, tmp_path, listing, name):
    path = scene(20, 30)
    before = listing(tmp_path)
    with pytest.raises(OutputError):
        draw_preview(tmp_path / name, str(path), footprint(5, 5, 8, 8), bands=(1, 2, 3))
    assert listing(tmp_path) == before


def test_a_full_disk_leaves_nothing_behind(scene, tmp_path, listing, small_disk, write_scene):
    noise = write_scene(np.random.default_rng(0).integers(0, 255, (3, 400, 400), np.uint8))
    folder = small_disk("100k")
    with pytest.raises(OutputError, match="make room"):
        draw_preview(folder / "p.png", str(noise), footprint(5, 5, 8, 8), bands=(1, 2, 3))
    assert not listing(folder)
