import math

import numpy as np
import pytest

from geoconvnext.data.augment import Crop, cut_image, cut_labels, sensor_augmentation
from geoconvnext.data.targets import UNLABELLED

TILE, SIZE, FINENESS = 160, 96, 2


@pytest.fixture
def tile():
    """An L that no turn and no mirror brings onto itself: image and labels."""
    labels = np.zeros((TILE * FINENESS, TILE * FINENESS), np.uint16)
    labels[90:230, 100:160] = 7
    labels[170:230, 100:240] = 7
    share = labels.reshape(TILE, FINENESS, TILE, FINENESS).mean(axis=(1, 3)) / 7
    image = np.repeat(np.rint(20 + 200 * share).astype(np.uint8)[..., None], 3, axis=2)
    return image, labels


def cut(tile, crop, *, size=SIZE, scale=FINENESS):
    image, labels = tile
    return cut_image(image, crop, size), cut_labels(labels, crop, size, label_fineness=FINENESS, scale=scale)


def test_plain_crop_is_a_slice(tile):
    image, labels = cut(tile, Crop(row=60, col=70), size=64)
    np.testing.assert_array_equal(image, tile[0][28:92, 38:102])
    np.testing.assert_array_equal(labels, tile[1][56:184, 76:204])


def test_mirror_flips_columns(tile):
    image, labels = cut(tile, Crop(row=60, col=70, mirror=True), size=64)
    np.testing.assert_array_equal(image, tile[0][28:92, 38:102][:, ::-1])
    np.testing.assert_array_equal(labels, tile[1][56:184, 76:204][:, ::-1])


def test_quarter_turn(tile):
    image, labels = cut(tile, Crop(row=60, col=70, angle=math.pi / 2), size=64)
    np.testing.assert_array_equal(image, np.rot90(tile[0][28:92, 38:102]))
    np.testing.assert_array_equal(labels, np.rot90(tile[1][56:184, 76:204]))


@pytest.mark.parametrize("zoom", [0.5, 1.0, 1.6])
def test_zoom_is_tile_pixels_per_sample_pixel(zoom):
    matrix = Crop(row=60, col=70, zoom=zoom, angle=0.3).matrix(64)
    step = matrix @ (1, 0, 1) - matrix @ (0, 0, 1)
    assert np.hypot(*step) == pytest.approx(zoom)
    assert math.atan2(step[1], step[0]) == pytest.approx(0.3)
    np.testing.assert_allclose(matrix @ (31.5, 31.5, 1), (69.5, 59.5))


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("angle", "zoom"), [(0.0, 1.0), (0.4, 0.7), (-2.0, 1.3), (2.6, 1.6)])
def test_image_and_labels_stay_registered(tile, angle, zoom, mirror, scale):
    crop = Crop(row=84, col=81, angle=angle, mirror=mirror, zoom=zoom)
    image, labels = cut(tile, crop, scale=scale)
    assert labels.shape == (SIZE * scale, SIZE * scale)
    share = (labels == 7).reshape(SIZE, scale, SIZE, scale).mean(axis=(1, 3))
    inside = (labels != UNLABELLED).reshape(SIZE, scale, SIZE, scale).all(axis=(1, 3))
    # Against the exact share, so that no rounding of half pixels at the walls hides a shift.
    seen = np.clip((image[..., 0].astype(float) - 20) / 200, 0, 1)[inside]
    known = share[inside]
    assert np.minimum(seen, known).sum() / np.maximum(seen, known).sum() > 0.9
    assert iou(seen > 0.5, known >= 0.5) > 0.97


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_beyond_the_border_labels_are_unknown_and_the_image_reflected(tile):
    image, labels = cut(tile, Crop(row=0, col=0), size=64)
    assert (labels[:64] == UNLABELLED).all()
    assert (labels[:, :64] == UNLABELLED).all()
    np.testing.assert_array_equal(labels[64:, 64:], tile[1][:64, :64])
    np.testing.assert_array_equal(image[32:, 32:], tile[0][:32, :32])
    np.testing.assert_array_equal(image[1:32], image[33:][::-1])


def test_labels_are_never_mixed(tile):
    _, labels = cut(tile, Crop(row=84, col=81, angle=0.5, zoom=1.4))
    assert set(np.unique(labels)) <= {0, 7, UNLABELLED}


def test_fine_patterns_do_not_alias_where_the_image_shrinks():
    stripes = np.zeros((TILE, TILE, 3), np.uint8)
    stripes[:, ::2] = 200
    # Every second column would be all dark or all bright.
    shrunk = cut_image(stripes, Crop(row=80, col=80.5, zoom=2.0), 64)
    assert shrunk[8:-8, 8:-8].mean() == pytest.approx(100, abs=15)


@pytest.mark.parametrize("seed", range(8))
def test_sensor_augmentation_keeps_shape_and_type(tile, seed):
    image = tile[0][:80]
    changed = sensor_augmentation(seed)(image=image)["image"]
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    again = sensor_augmentation(seed)(image=image)["image"]
    np.testing.assert_array_equal(changed, again)


def test_sensor_augmentation_changes_something(tile):
    augment = sensor_augmentation(0)
    changed = [(augment(image=tile[0])["image"] != tile[0]).any() for _ in range(10)]
    assert sum(changed) > 5
