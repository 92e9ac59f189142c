import math

import numpy as np
import pytest

from geoconvnext.data.sensor import MODULATION, degrade, gaussian_sigma, shrink


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def stripes(period, size=240):
    """Columns whose brightness is a wave of so many pixels."""
    wave = 128 + 100 * np.cos((np.arange(size) + 0.5) * math.tau / period + 0.4)
    return np.repeat(np.rint(np.tile(wave, (size, 1)))[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_shrink_is_the_area_average(factor, bands):
    image = noise(24, 32, bands)
    expected = image.reshape(24 // factor, factor, 32 // factor, factor, bands).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(image, factor), expected, atol=0.51)


@pytest.mark.parametrize("modulation", MODULATION)
def test_sigma_leaves_the_modulation_of_the_finest_pattern(modulation):
    """Against the transfer function exp(-2 (pi sigma f)^2) at half a cycle per pixel."""
    sigma = gaussian_sigma(modulation)
    assert math.exp(-2 * (math.pi * sigma / 2) ** 2) == pytest.approx(modulation)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_coarser_sensor_shows_coarse_patterns_and_hides_fine_ones(factor):
    """Contrast left by Gaussian optics and square pixels, between those of both ends of MODULATION."""
    for period, tolerance in ((12 * factor, 6), (4 * factor, 8)):
        kept = [
            degrade(stripes(period), factor, np.random.default_rng(seed)).astype(float).mean(0).std()
            for seed in range(8)
        ]
        frequency = factor / period
        box = np.sinc(frequency)
        low, high = (modulation ** ((frequency / 0.5) ** 2) * box for modulation in MODULATION)
        assert all(low * 100 / math.sqrt(2) - tolerance < contrast for contrast in kept)
        assert all(contrast < high * 100 / math.sqrt(2) + tolerance for contrast in kept)


@pytest.mark.parametrize("bands", [1, 3, 4, 7])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_shape_type_and_repeatability(factor, bands):
    image = noise(48, 64, bands)
    for seed in range(6):
        seen = degrade(image, factor, np.random.default_rng(seed))
        assert (seen.shape, seen.dtype) == ((48 // factor, 64 // factor, bands), np.uint8)
        np.testing.assert_array_equal(seen, degrade(image, factor, np.random.default_rng(seed)))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_nothing_moves_on_average(factor):
    """The centre of a bright disk stays where it is."""
    rows, cols = np.indices((96, 96)) + 0.5
    disk = np.hypot(rows - 40, cols - 56) < 15
    image = np.repeat(np.where(disk, 220, 20).astype(np.uint8)[..., None], 3, axis=2)
    for seed in range(10):
        seen = degrade(image, factor, np.random.default_rng(seed))[..., 1].astype(float)
        bright = np.clip((seen - 120) / 100, 0, 1)
        rows, cols = (np.indices(seen.shape) + 0.5) * factor
        centre = (rows * bright).sum() / bright.sum(), (cols * bright).sum() / bright.sum()
        assert np.hypot(centre[0] - 40, centre[1] - 56) < 0.8 * factor


def test_noise_grows_with_the_signal():
    dark, bright = (np.full((64, 64, 3), value, np.uint8) for value in (20, 200))
    spread = [
        [degrade(image, 2, np.random.default_rng(seed)).std() for image in (dark, bright)]
        for seed in range(40)
    ]
    noisy = [pair for pair in spread if max(pair) > 0]
    assert 5 < len(noisy) < 30
    assert all(pair[1] > pair[0] for pair in noisy)
