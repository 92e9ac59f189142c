import math

import numpy as np
import pytest
import shapely
from shapely import Polygon

from geoconvnext.data.coverage import cover
from geoconvnext.data.crop import Crop, cut_image, cut_known, cut_rings
from geoconvnext.data.rings import Rings

TILE, SIZE = 160, 96
ELL = Polygon([(50, 45), (80, 45), (80, 85), (120, 85), (120, 115), (50, 115)])


@pytest.fixture(scope="module")
def tile():
    """An L that no turn and no mirror brings onto itself: image and rings."""
    rings = Rings.from_polygons([ELL])
    share = cover(rings, height=TILE, width=TILE).share
    return np.repeat(np.rint(20 + 200 * share).astype(np.uint8)[..., None], 3, axis=2), rings


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def iou(one, other):
    return np.minimum(one, other).sum() / np.maximum(one, other).sum()


def share_of(rings, crop, count):
    return cover(cut_rings(rings, crop, count), height=count, width=count).share


def test_plain_crop_is_a_slice():
    image = noise(TILE, TILE, 3)
    crop = Crop(row=60, col=70, side=64)
    np.testing.assert_array_equal(cut_image(image, crop, 64), image[28:92, 38:102])


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"mirror": True}, np.fliplr),
        ({"angle": math.pi / 2}, np.rot90),
        ({"angle": math.pi}, lambda p: p[::-1, ::-1]),
    ],
)
def test_turned_crops(tile, options, change):
    crop = Crop(row=60, col=70, side=64, **options)
    np.testing.assert_array_equal(cut_image(tile[0], crop, 64), change(tile[0][28:92, 38:102]))
    np.testing.assert_allclose(
        share_of(tile[1], crop, 64), change(share_of(tile[1], Crop(row=60, col=70, side=64), 64)), atol=1e-6
    )


@pytest.mark.parametrize("count", [32, 64, 128])
def test_matrix_leads_to_positions_on_the_tile(count):
    crop = Crop(row=60, col=70, side=64, angle=0.3)
    matrix = crop.matrix(count)
    step = matrix @ (1, 0, 1) - matrix @ (0, 0, 1)
    assert np.hypot(*step) == pytest.approx(64 / count)
    assert math.atan2(step[1], step[0]) == pytest.approx(0.3)
    np.testing.assert_allclose(matrix @ (count / 2, count / 2, 1), (70, 60))


@pytest.mark.parametrize("fineness", [1, 2, 4])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("angle", "zoom"), [(0.0, 1.0), (0.4, 0.7), (-2.0, 1.3), (2.6, 1.6), (0.3, 3.2)])
def test_image_and_rings_stay_registered(tile, angle, zoom, mirror, fineness):
    crop = Crop(row=84, col=81, side=SIZE * 0.8 * zoom, angle=angle, mirror=mirror)
    count = SIZE * fineness
    seen = np.clip((cut_image(tile[0], crop, SIZE)[..., 0].astype(float) - 20) / 200, 0, 1)
    known = share_of(tile[1], crop, count).reshape(SIZE, fineness, SIZE, fineness).mean(axis=(1, 3))
    inside = cut_known(np.ones((TILE, TILE), bool), crop, SIZE, margin=0)
    assert iou(seen[inside], known[inside]) > 0.97
    assert iou(seen[inside] > 0.5, known[inside] > 0.5) > 0.985


@pytest.mark.parametrize("factor", [2, 3])
def test_larger_pixels_are_area_averages(factor):
    image = noise(TILE, TILE, 3)
    crop = Crop(row=60 + factor, col=72, side=24 * factor)
    top, left = round(crop.row - crop.side / 2), round(crop.col - crop.side / 2)
    block = image[top : top + 24 * factor, left : left + 24 * factor]
    expected = block.reshape(24, factor, 24, factor, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(cut_image(image, crop, 24), expected, atol=0.51)


@pytest.mark.parametrize("zoom", [1.5, 2.0, 2.7])
def test_fine_patterns_do_not_alias_where_pixels_become_larger(zoom):
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    shrunk = cut_image(stripes, Crop(row=200, col=200.5, side=64 * zoom), 64)
    assert shrunk.astype(float).mean(0).std() < 30
    assert shrunk.mean() == pytest.approx(100, abs=3)


def test_beyond_the_border_nothing_is_known_and_the_image_reflected():
    image = noise(TILE, TILE, 3)
    crop = Crop(row=0, col=0, side=64)
    known = cut_known(np.ones((TILE, TILE), bool), crop, 128, margin=0)
    assert known[64:, 64:].all()
    assert not known[:64].any()
    assert not known[:, :64].any()
    cut = cut_image(image, crop, 64)
    np.testing.assert_array_equal(cut[32:, 32:], image[:32, :32])
    np.testing.assert_array_equal(cut[1:32], cut[33:][::-1])


@pytest.mark.parametrize("margin", [1, 7])
def test_known_ground_with_a_margin(margin):
    known = np.random.default_rng(1).random((TILE, TILE)) < 0.5
    cut = cut_known(known, Crop(row=80, col=70, side=40), 40, margin=margin)
    np.testing.assert_array_equal(cut, known[60 - margin : 100 + margin, 50 - margin : 90 + margin])


@pytest.mark.parametrize("bands", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("zoom", [0.7, 1.0, 2.2])
def test_any_number_of_bands(bands, zoom):
    image = noise(TILE, TILE, bands)
    crop = Crop(row=80, col=80, side=48 * zoom, angle=0.2)
    cut = cut_image(image, crop, 48)
    assert (cut.shape, cut.dtype) == ((48, 48, bands), np.uint8)
    last = cut_image(np.ascontiguousarray(image[..., -1:]), crop, 48)
    # OpenCV rounds the weights of some numbers of bands more coarsely.
    np.testing.assert_allclose(cut[..., -1:].astype(int), last, atol=8)


def test_drawn_crops_lie_in_the_tile_and_all_orientations_occur():
    rng = np.random.default_rng(0)
    crops = [Crop.draw(rng, 200, 240, side=90, tilt=0.5) for _ in range(300)]
    assert all(45 <= crop.row <= 155 and 45 <= crop.col <= 195 for crop in crops)
    turns = [crop.angle / (math.pi / 2) for crop in crops]
    straight = {
        (round(turn), crop.mirror) for turn, crop in zip(turns, crops, strict=True) if turn == round(turn)
    }
    assert len(straight) == 8
    assert 100 < sum(turn != round(turn) for turn in turns) < 200
    assert all(
        crop.angle % (math.pi / 2) == 0 for crop in (Crop.draw(rng, 9, 9, side=4, tilt=0) for _ in range(50))
    )


def test_a_tile_smaller_than_the_crop_is_in_its_middle():
    crop = Crop.draw(np.random.default_rng(0), 30, 200, side=90, tilt=0)
    assert crop.row == 15
    assert 45 <= crop.col <= 155


def test_rings_outside_are_kept():
    far = shapely.box(500, 500, 510, 510)
    rings = cut_rings(Rings.from_polygons([ELL, far]), Crop(row=80, col=80, side=64), 128)
    assert rings.buildings == 2
