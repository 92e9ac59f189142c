import numpy as np
import pytest

from geoconvnext.data.augment import Augmentation, add_haze
from geoconvnext.data.sensor import shrink

NOTHING = Augmentation(rotate=0, colour=0, haze=0, sensor=0)


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return rng.integers(20, 200, (64, 48, 3)).astype(np.uint8)


def seeded(seed):
    return np.random.default_rng(seed)


def test_nothing_is_changed_where_nothing_is_asked_for(image):
    np.testing.assert_array_equal(NOTHING.light(image, seeded(0)), image)
    np.testing.assert_array_equal(NOTHING.view(image, 1, seeded(0)), image)
    np.testing.assert_array_equal(NOTHING.view(image, 2, seeded(0)), shrink(image, 2))


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("factor", [1, 2])
def test_shape_type_and_repeatability(bands, factor):
    image = np.random.default_rng(0).integers(0, 256, (64, 48, bands)).astype(np.uint8)
    augmentation = Augmentation(haze=0.5)
    for seed in range(12):
        twice = []
        for rng in (seeded(seed), seeded(seed)):
            lit = augmentation.light(image, rng)
            assert (lit.shape, lit.dtype) == (image.shape, np.uint8)
            twice.append(augmentation.view(lit, factor, rng))
        assert (twice[0].shape, twice[0].dtype) == ((64 // factor, 48 // factor, bands), np.uint8)
        np.testing.assert_array_equal(*twice)


@pytest.mark.parametrize("kind", ["colour", "haze", "sensor"])
def test_each_is_done_as_often_as_asked(image, kind):
    augmentation = Augmentation(**{"rotate": 0, "colour": 0, "haze": 0, "sensor": 0, kind: 1.0})
    results = []
    for seed in range(20):
        rng = seeded(seed)
        results.append(augmentation.view(augmentation.light(image, rng), 1, rng))
    assert sum((result != image).any() for result in results) > 10
    assert len({result.tobytes() for result in results}) > 10


def test_colours_change_point_by_point(image):
    """Equal pixels stay equal but for rounding, so light does not move anything."""
    image[30:, 20:] = (90, 120, 60)
    for seed in range(10):
        lit = Augmentation(haze=0).light(image, seeded(seed))
        assert np.ptp(lit[30:, 20:], axis=(0, 1)).max() <= 3


def test_haze_brings_everything_nearer_to_the_airlight(image):
    for seed in range(10):
        hazy = add_haze(image, seeded(seed))
        assert hazy.mean() > image.mean()
        assert hazy.std() < image.std()
        flat = add_haze(np.zeros((64, 64, 3), np.uint8), seeded(seed)).astype(int)
        assert np.abs(np.diff(flat, axis=0)).max() <= 6
        assert np.abs(np.diff(flat, axis=1)).max() <= 6
        assert flat.std() > 0


def test_dark_scenes_are_not_made_black():
    image = np.random.default_rng(0).integers(0, 60, (64, 64, 3)).astype(np.uint8)
    contrast = [Augmentation(haze=0).light(image, seeded(seed)).std() for seed in range(60)]
    assert min(contrast) > 0.3 * image.std()
