"""The streaming sweep against a labelling of the whole raster at once."""

from itertools import cycle
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from geoconvnext.vector import sweep as module
from geoconvnext.vector.sweep import NODATA, Patch, sweep

THRESHOLD = 128


def cut(raster, *heights):
    """Yield bands of these heights, over and over."""
    row = 0
    for height in cycle(heights):
        if row >= raster.shape[1]:
            return
        yield raster[:, row : row + height]
        row += height


def collect(raster, *heights):
    return list(sweep(cut(raster, *heights), width=raster.shape[2], threshold=THRESHOLD))


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


heights = st.lists(st.integers(0, 16), min_size=1, max_size=5).filter(any)


@settings(max_examples=200, deadline=None)
@given(raster=rasters, heights=heights, rows_per_block=st.integers(1, 16))
def test_equals_the_whole_raster_for_bands_of_any_heights(raster, heights, rows_per_block):
    with mock.patch.object(module, "ROWS_PER_BLOCK", rows_per_block):
        assert_same(collect(raster, *heights), expected_patches(raster))


@settings(max_examples=100, deadline=None)
@given(raster=rasters, heights=heights, side=st.integers(3, 6))
def test_what_is_not_wanted_is_left_out_whatever_the_bands(raster, heights, side):
    bands, width = cut(raster, *heights), raster.shape[2]
    is_wanted = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= side  # noqa: E731
    found = list(sweep(bands, width=width, threshold=THRESHOLD, is_wanted=is_wanted))
    expected = expected_patches(raster)
    assert_same(found, [patch for patch in expected if min(patch.mask.shape) >= side])
    assert [patch.box for patch in expected if is_wanted(np.array([patch.box]))[0]] == [p.box for p in found]


def test_what_is_wanted_depends_on_the_place():
    raster = np.zeros((1, 40, 30), np.uint8)
    raster[0, 10:12, 5:9] = raster[0, 20:30, 15:18] = 200
    for heights, place in (([40], (9, 4, 13, 10)), ([21], (19, 14, 31, 19))):
        bands = cut(raster, *heights)
        here = sweep(
            bands, width=30, threshold=128, is_wanted=lambda boxes, p=place: (boxes == p).all(axis=1)
        )
        assert [patch.box for patch in here] == [place]


@pytest.mark.parametrize("heights", [[1], [7], [64, 3, 1], [1000]])
def test_long_winding_components(heights):
    rng = np.random.default_rng(1)
    raster = ndimage.gaussian_filter(rng.random((600, 90)), 1.5)
    raster = ((raster > 0.5) * rng.integers(128, 255, raster.shape)).astype(np.uint8)[None]
    assert_same(collect(raster, *heights), expected_patches(raster))


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
    assert list(sweep([], width=5, threshold=THRESHOLD)) == []


def test_bands_are_taken_one_by_one():
    taken = []

    def bands():
        for number in range(3):
            taken.append(number)
            band = np.zeros((3, 300, 50), np.uint8)
            band[:, :, 40] = 200
            band[:, 100:110, 10:20] = 200
            yield band

    found = [(patch.row, patch.mask.shape, len(taken)) for patch in sweep(bands(), width=50, threshold=128)]
    assert found == [(99, (12, 12), 1), (399, (12, 12), 2), (699, (12, 12), 3), (-1, (902, 3), 3)]


@pytest.mark.parametrize("empty", [0, NODATA])
def test_bands_without_buildings_cost_next_to_nothing(empty):
    """300 GB of them: none is copied as a whole, nor even looked at where one value is repeated."""
    full = np.zeros((3, 5, 100_000), np.uint8)
    full[:, 2:, 4:9] = 200
    desert = np.broadcast_to(np.uint8(empty), (3, 1_000_000, 100_000))
    above, below = sweep([full, desert, full[:, ::-1]], width=100_000, threshold=THRESHOLD)
    assert (above.row, above.mask.shape) == (1, (5, 7))
    assert (below.row, below.mask.shape) == (1_000_004, (5, 7))
    for patch, outside in ((above, -1), (below, 0)):
        assert (patch.probabilities[:, outside] == empty).all()
