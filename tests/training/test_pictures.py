import re

import cv2
import numpy as np
import pytest

from geoconvnext.errors import OutputError
from geoconvnext.training.pictures import (
    CELL_PX,
    COLOURS,
    Panel,
    compose_tiles,
    draw_tiles,
    encode,
    score_text,
    tile_views,
)

BLACK = np.zeros((32, 32, 3), np.uint8)


def panel(probability=0, truth=0, *, image=BLACK, name="set / tile", iou=0.5, shape=(64, 64)):
    """A tile of one probability and truth, in 254ths, or of whole pictures of them."""
    probability, truth = (np.broadcast_to(np.uint8(value), shape).copy() for value in (probability, truth))
    return Panel(name, image, probability, truth, iou)


def colour_of(view):
    """The one colour of a picture, and a check that it is the only one."""
    colours = np.unique(view.reshape(-1, 3), axis=0)
    assert len(colours) == 1
    return colours[0].astype(float)


@pytest.mark.parametrize(
    ("probability", "truth", "name"),
    [
        (127, 127, "right"),
        (254, 254, "right"),
        (126, 254, "missed"),
        (127, 126, "false"),
        (254, 255, "unknown"),
        (0, 255, "unknown"),
    ],
)
def test_comparison_has_the_colour_of_every_case(probability, truth, name):
    comparison = tile_views(panel(probability, truth))[2]
    # Over black, what is left of a colour is its own hue, darker.
    colour, wanted = colour_of(comparison), np.array(COLOURS[name], float)
    assert np.abs(colour / colour.max() - wanted / wanted.max()).max() < 0.02
    assert colour.max() > 0.5 * wanted.max()


def test_what_is_no_building_and_is_not_taken_for_one_shows_the_image():
    image = np.full_like(BLACK, 77)
    assert (tile_views(panel(126, 0, image=image))[2] == 77).all()


def test_prediction_gets_brighter_with_the_probability():
    levels = [tile_views(panel(level))[1][100, 100].sum() for level in (0, 60, 120, 254)]
    assert levels == sorted(set(levels))


def test_views_lie_over_one_another():
    """A roof in the lower left quarter of the tile is in the lower left quarter of all views."""
    image, roof = BLACK.copy(), np.zeros((64, 64), np.uint8)
    image[16:, :16], roof[32:, :32] = 255, 254
    for view in tile_views(panel(roof, roof, image=image)):
        bright = view.max(axis=2) > 90
        half = CELL_PX // 2
        assert bright[half + 4 : -4, 4 : half - 4].all()
        assert not bright[: half - 4].any()
        assert not bright[:, half + 4 :].any()


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_any_number_of_bands(bands):
    image = np.arange(1, bands + 1, dtype=np.uint8) * np.full((32, 32, 1), 20, np.uint8)
    view = tile_views(panel(image=image))[0]
    assert colour_of(view).tolist() == ([20, 40, 60] if bands >= 3 else [20, 20, 20])


@pytest.mark.parametrize("shape", [(8, 8), (1024, 1024), (100, 333), (333, 100)])
def test_views_keep_the_proportions_of_the_tile(shape):
    image = np.zeros((*shape, 3), np.uint8)
    for view in tile_views(panel(image=image, shape=shape)):
        height, width, _ = view.shape
        assert width == CELL_PX
        assert abs(height - CELL_PX * shape[0] / shape[1]) <= 0.5


def test_composed_picture_has_a_row_per_tile_with_its_views():
    noise = np.random.default_rng(3).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    tiles = [
        panel(200, 254, name="a", image=noise, shape=(320, 320)),
        panel(3, 254, name="b", image=noise[:160], shape=(160, 320)),
    ]
    picture = compose_tiles(tiles)
    assert picture.dtype == np.uint8
    assert len(compose_tiles(tiles[:1])) < len(picture) < len(compose_tiles(tiles, "title"))
    for tile in tiles:
        for view in tile_views(tile):
            unlikeness = cv2.matchTemplate(picture, np.ascontiguousarray(view[:8]), cv2.TM_SQDIFF)
            y, x = np.unravel_index(unlikeness.argmin(), unlikeness.shape)
            assert (picture[y : y + view.shape[0], x : x + CELL_PX] == view).all()


def test_names_and_scores_are_written_whatever_they_are():
    """Formula signs, other scripts and long names neither fail nor warn; other texts give other pictures."""
    names = ["plain", "$x_{", "武汉 / 瓦片", "x" * 500, ""]
    pictures = [compose_tiles([panel(name=name)]).tobytes() for name in names]
    pictures += [compose_tiles([panel(name="plain", iou=iou)]).tobytes() for iou in (0.25, float("nan"))]
    assert len(set(pictures)) == len(pictures)


def test_no_tiles_is_no_error():
    assert compose_tiles([]).ndim == 3


def test_scores_as_text():
    assert score_text(0.12345) == "0.123"
    assert not re.search(r"[a-z]", score_text(float("nan")))


def test_file_holds_the_picture(tmp_path):
    path = tmp_path / "new" / "tiles.png"
    draw_tiles(path, [panel(200, 254)], "step 1000")
    assert (cv2.imread(str(path))[..., ::-1] == compose_tiles([panel(200, 254)], "step 1000")).all()
    assert [found.name for found in path.parent.iterdir()] == ["tiles.png"]


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.png"):
        draw_tiles(tmp_path / "tiles.gif", [panel()], "")
    assert not list(tmp_path.iterdir())


def test_encoded_pictures_come_back():
    picture = np.full((20, 30, 3), (200, 30, 90), np.uint8)
    for suffix, tolerance in ((".png", 0), (".jpg", 4)):
        back = cv2.imdecode(np.frombuffer(encode(picture, suffix), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(back.astype(int) - picture).max() <= tolerance


def test_a_panel_of_mixed_shapes_is_a_mistake():
    with pytest.raises(AssertionError):
        Panel("x", BLACK, np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8), 0.0)
