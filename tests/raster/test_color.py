import numpy as np
import pytest

from geoconvnext.raster.color import Stretch, fit_stretch, to_grey


def test_percentiles_become_the_ends():
    values = np.linspace(500, 3000, 10_001)[None].astype(np.uint16)
    stretch = fit_stretch(values, np.ones(10_001, bool))
    grey = stretch(values[:, :, None])[0, :, 0]
    assert grey.min() == 1
    assert grey.max() == 255
    assert np.mean(grey == 1) == pytest.approx(0.012, abs=0.002)
    assert np.mean(grey == 255) == pytest.approx(0.012, abs=0.002)
    assert (np.diff(grey.astype(int)) >= 0).all()


def test_bands_are_stretched_apart_and_invalid_pixels_do_not_count():
    values = np.stack([np.arange(1000.0), np.arange(1000.0) * 40])
    values[:, :500] = -9999
    stretch = fit_stretch(values, np.arange(1000) >= 500)
    assert stretch.low == pytest.approx([505, 505 * 40], rel=1e-3)
    assert stretch.high == pytest.approx([994, 994 * 40], rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 1e-3, 700.0, 65535.0, -3e8])
def test_a_constant_band_has_a_grey_value(value):
    stretch = fit_stretch(np.full((1, 50), value), np.ones(50, bool))
    assert stretch(np.full((1, 2, 2), value)).tolist() == [[[1, 1], [1, 1]]]


def test_no_valid_pixel_and_nan():
    stretch = fit_stretch(np.full((2, 50), np.nan), np.zeros(50, bool))
    assert (stretch(np.full((2, 1, 1), np.nan)) == 1).all()


def test_grey_values_are_rounded_and_clipped():
    assert to_grey(np.array([-3.0, 0.4, 0.6, 254.6, 300.0])).tolist() == [0, 0, 1, 255, 255]
    eight_bit = np.array([0, 255], np.uint8)
    assert to_grey(eight_bit) is eight_bit


def test_refuses_an_empty_interval():
    with pytest.raises(ValueError, match="low < high"):
        Stretch(np.ones(2, np.float32), np.ones(2, np.float32))
