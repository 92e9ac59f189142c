from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoconvnext.raster.blend import NODATA, Trusted, cut, drop_ground, fade_in
from geoconvnext.raster.grid import FULL_WEIGHT, TileGrid


def faded(before, after, axis=2, first=0, length=None):
    """What fade_in leaves in a copy of `after`."""
    result = after.copy()
    fade_in(before, result, first, length or after.shape[axis], axis)
    return result


@pytest.mark.parametrize("length", [1, 32, 96, 768])
@pytest.mark.parametrize("axis", [1, 2])
def test_the_weights_are_a_straight_line_of_256ths_around_the_middle(length, axis):
    shape = (2, length, 5) if axis == 1 else (2, 5, length)
    values = faded(np.full(shape, 0, np.uint8), np.full(shape, 254, np.uint8), axis)
    weights = np.rint((np.arange(length) + 0.5) / length * FULL_WEIGHT)
    line = np.floor(254 * weights / FULL_WEIGHT + 0.5)
    assert np.array_equal(values, np.broadcast_to(line[:, None] if axis == 1 else line, shape))


@given(st.integers(1, 800))
def test_a_seam_and_its_mirror_image_are_the_same_mixtures(length):
    low, high = np.full((2, 1, 1, length), [[[[0]]], [[[254]]]], np.uint8)
    assert np.array_equal(faded(low, high), faded(high, low)[:, :, ::-1])


@given(st.integers(1, 800))
def test_where_windows_agree_the_value_stays(length):
    every = np.arange(256, dtype=np.uint8)[None, :, None].repeat(length, 2)
    assert np.array_equal(faded(every, every), every)


@pytest.mark.parametrize("axis", [1, 2])
def test_where_one_has_no_data_the_other_counts_alone(axis):
    before, after = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 64), np.uint8)
    without = np.random.default_rng(1).random((2, 64, 64)) < 0.3
    before[:, without[0]], after[:, without[1]] = NODATA, NODATA
    found = faded(before, after, axis)
    assert np.array_equal(found[:, without[0]], after[:, without[0]])
    assert np.array_equal(found[:, without[1]], before[:, without[1]])
    assert (found[:, ~without.any(axis=0)] != NODATA).all()


@given(st.data())
def test_a_seam_may_come_in_pieces(data):
    before, after = np.random.default_rng(2).integers(0, 256, (2, 2, 64, 3), np.uint8)
    ends = sorted({0, 64, *data.draw(st.lists(st.integers(1, 63), max_size=4))})
    pieces = [faded(before[:, a:b], after[:, a:b], axis=1, first=a, length=64) for a, b in pairwise(ends)]
    assert np.array_equal(np.concatenate(pieces, axis=1), faded(before, after, axis=1))


@pytest.mark.parametrize("scale", [1, 2, 4])
@given(data=st.data())
def test_cut_erases_invalid_pixels(scale, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    probabilities = rng.integers(0, 255, (3, 32 * scale, 32 * scale), np.uint8)
    valid = rng.random((32, 32)) < data.draw(st.sampled_from([0, 0.5, 0.99, 1]))
    row, col = (data.draw(st.integers(0, 32 * scale)) for _ in range(2))
    rows, cols = (data.draw(st.integers(0, 32 * scale - start)) for start in (row, col))
    out = np.full((3, rows, cols), 7, np.uint8)
    cut(probabilities, valid, row, col, out)
    erased = np.where(valid.repeat(scale, 0).repeat(scale, 1), probabilities, NODATA)
    assert np.array_equal(out, erased[:, row : row + rows, col : col + cols])


def near_buildings(body, level):
    """Whether a pixel or one of its eight neighbours reaches a level."""
    rows, cols = body.shape
    reaches = np.pad(body >= level, 1)
    return np.any([reaches[i : i + rows, j : j + cols] for i in range(3) for j in range(3)], axis=0)


@given(
    st.integers(0, 99), st.integers(3, 40), st.integers(1, 40), st.sampled_from([1, 128, 240, 254]), st.data()
)
def test_ground_is_dropped_where_no_building_is_near(seed, rows, cols, level, data):
    probabilities = np.random.default_rng(seed).integers(0, 255, (3, rows, cols), np.uint8)
    probabilities[:, np.random.default_rng(seed + 1).random((rows, cols)) < 0.02] = NODATA
    first = data.draw(st.integers(1, rows - 1))
    stop = data.draw(st.integers(first, rows - 1))
    expected, inner = probabilities.copy(), (slice(None), slice(first, stop), slice(1, -1))
    expected[inner] = np.where(near_buildings(expected[0], level), expected, 0)[inner]
    drop_ground(probabilities, level, first, stop)
    assert np.array_equal(probabilities, expected)


@st.composite
def grids(draw):
    halo = draw(st.integers(0, 4)) * 32
    tile = 2 * halo + draw(st.integers(1, 8)) * 32
    return TileGrid(draw(st.integers(1, 2000)), draw(st.integers(1, 2000)), tile, halo)


@given(grids(), st.sampled_from([1, 2, 4]))
def test_trusted_pixels_cover_the_extent_and_overlap_by_the_fade(grid, scale):
    for axis, extent in ((Trusted.rows(grid, scale), grid.height), (Trusted.cols(grid, scale), grid.width)):
        firsts, stops = zip(*(axis[start] for start in axis.starts), strict=True)
        assert axis.fade == grid.halo * scale
        assert (firsts[0], stops[-1]) == (0, extent * scale)
        for first, stop in zip(firsts[1:], stops[:-1], strict=True):
            assert stop - first == axis.fade


@given(grids(), st.sampled_from([1, 2, 4]))
def test_trusted_pixels_are_half_a_halo_from_a_windows_inner_edges(grid, scale):
    axis = Trusted.rows(grid, scale)
    for start in axis.starts:
        first, stop = axis[start]
        is_first, is_last = start == 0, start == axis.starts[-1]
        assert first == (0 if is_first else (start + grid.halo // 2) * scale)
        assert stop <= (start + grid.tile - (0 if is_last else grid.halo // 2)) * scale
