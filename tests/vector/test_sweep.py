"""The streaming sweep against a labelling of the whole raster at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from geoconvnext.vector.sweep import NODATA, Patch, sweep

THRESHOLD = 128


def collect(raster, band_height):
    read = lambda row, n: raster[:, row : row + n]  # noqa: E731
    return list(
        sweep(
            read, height=raster.shape[1], width=raster.shape[2], threshold=THRESHOLD, band_height=band_height
        )
    )


def expected_patches(raster):
    """Cut every component out of the whole raster, in the documented order."""
    framed = np.pad(raster, ((0, 0), (1, 1), (1, 1)), constant_values=NODATA)
    labels, count = ndimage.label((framed[0] >= THRESHOLD) & (framed[0] < NODATA))
    patches = []
    for label in range(1, count + 1):
        mask = labels == label
        rows, cols = np.nonzero(mask)
        part = np.s_[rows.min() - 1 : rows.max() + 2, cols.min() - 1 : cols.max() + 2]
        around = ndimage.binary_dilation(mask, np.ones((3, 3)))
        patch = Patch(rows.min() - 2, cols.min() - 2, (framed * around)[(slice(None), *part)], mask[part])
        patches.append(((rows.max(), cols[rows == rows.max()].min()), patch))
    return [patch for _, patch in sorted(patches, key=lambda pair: pair[0])]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.row, ours.col) == (theirs.row, theirs.col)
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)


levels = st.sampled_from([0, 60, 127, 128, 200, 254, 255])
rasters = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)),
    elements=levels,
    fill=st.sampled_from([0, 200]),
)


@settings(max_examples=150, deadline=None)
@given(raster=rasters, band_height=st.integers(1, 16))
def test_equals_the_whole_raster_for_every_band_height(raster, band_height):
    assert_same(collect(raster, band_height), expected_patches(raster))


@pytest.mark.parametrize("band_height", [1, 7, 64, 1000])
def test_long_winding_components(band_height):
    rng = np.random.default_rng(1)
    raster = ndimage.gaussian_filter(rng.random((200, 90)), 1.5)
    raster = ((raster > 0.5) * rng.integers(128, 255, raster.shape)).astype(np.uint8)[None]
    assert_same(collect(raster, band_height), expected_patches(raster))


def test_a_comb_is_one_component():
    raster = np.zeros((1, 40, 41), np.uint8)
    raster[0, :, ::2] = 200
    raster[0, -1] = 200
    (patch,) = collect(raster, 3)
    assert patch.mask.sum() == 21 * 40 + 20


def test_touching_corners_are_apart():
    raster = np.zeros((1, 4, 4), np.uint8)
    raster[0, :2, :2] = raster[0, 2:, 2:] = 200
    assert [(p.row, p.col) for p in collect(raster, 2)] == [(-1, -1), (1, 1)]


def test_nothing_to_find():
    assert collect(np.full((3, 5, 5), NODATA, np.uint8), 2) == []
    assert collect(np.zeros((3, 0, 5), np.uint8), 2) == []


def test_rows_are_read_once_and_in_order():
    asked = []

    def read(row, n):
        asked.append((row, n))
        band = np.zeros((3, n, 50), np.uint8)
        band[:, :, 10] = 200
        return band

    (patch,) = sweep(read, height=1000, width=50, threshold=THRESHOLD, band_height=300)
    assert asked == [(0, 300), (300, 300), (600, 300), (900, 100)]
    assert patch.mask.shape == (1002, 3)
