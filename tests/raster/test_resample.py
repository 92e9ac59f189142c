import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from geoconvnext.raster.resample import axis_filter, resample


def whole(values, valid, height, width):
    down = axis_filter(0, height, factor=values.shape[1] / height, length=values.shape[1])
    across = axis_filter(0, width, factor=values.shape[2] / width, length=values.shape[2])
    return resample(values, valid, down, across)


@pytest.mark.parametrize("size", [(100, 150), (67, 90), (51, 40), (7, 3)])
def test_area_average_equals_gdal(write_raster, noise, size):
    values = noise(2, 200, 300, dtype=np.float32)
    with rasterio.open(write_raster(values)) as file:
        expected = file.read(out_shape=(2, *size), resampling=Resampling.average)
    found, _ = whole(values, None, *size)
    assert np.abs(found - expected).max() < 0.05


def test_cubic_equals_gdal_and_keeps_straight_lines(write_raster, noise):
    values = noise(1, 40, 50, dtype=np.float32)
    with rasterio.open(write_raster(values)) as file:
        expected = file.read(out_shape=(1, 80, 150), resampling=Resampling.cubic)
    found, _ = whole(values, None, 80, 150)
    assert np.abs(found - expected)[:, 4:-4, 6:-6].max() < 0.05
    ramp = np.arange(40, dtype=np.float32)[None, :, None].repeat(50, 2)
    found, _ = whole(ramp, None, 100, 50)
    assert np.allclose(found[0, 5:-5, 0], (np.arange(100) + 0.5)[5:-5] * 0.4 - 0.5, atol=1e-4)


@pytest.mark.parametrize("factor", [0.3, 0.99, 1, 1.5, 2, 7.3])
def test_any_window_is_cut_from_the_whole(factor):
    whole_filter = axis_filter(0, 130, factor=factor, length=round(130 * factor))
    for first, count in ((0, 130), (0, 1), (17, 60), (129, 1)):
        part = axis_filter(first, count, factor=factor, length=round(130 * factor))
        assert np.array_equal(
            part.taps + part.start, whole_filter.taps[:, first : first + count] + whole_filter.start
        )
        assert np.array_equal(part.weights, whole_filter.weights[:, first : first + count])
        assert np.allclose(part.weights.sum(0), 1, atol=1e-6)


def test_invalid_pixels_take_no_part():
    values = np.full((1, 60, 60), 100, np.uint8)
    valid = np.ones((60, 60), bool)
    values[:, 20:40, 21:], valid[20:40, 21:] = 0, False
    found, known = whole(values, valid, 30, 30)
    assert np.allclose(found[0, known], 100)
    assert not found[0, ~known].any()
    assert np.array_equal(known[:, 15], ~((np.arange(30) >= 10) & (np.arange(30) < 20)))
    nothing, known = whole(values, np.zeros_like(valid), 30, 30)
    assert not nothing.any()
    assert not known.any()
