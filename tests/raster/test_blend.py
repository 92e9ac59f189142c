from itertools import pairwise

import numpy as np
import pytest

from geoconvnext.raster.blend import NODATA, Blender
from geoconvnext.raster.grid import TileGrid, Window


def blend(grid, *, scale, tiles, valid=None, skip=()):
    """Run windows whose probabilities are tiles[n] through a Blender; all bands in one array."""
    blender = Blender(grid, scale=scale, channels=tiles[0].shape[0])
    known = np.ones((grid.tile, grid.tile), bool)
    bands = []
    for number, window in enumerate(grid):
        if number not in skip:
            bands += blender.add(window, tiles[number], known if valid is None else cut(valid, window))
    bands += blender.finish()
    assert [band.row for band in bands] == list(
        np.cumsum([0] + [b.probabilities.shape[1] for b in bands[:-1]])
    )
    return np.concatenate([band.probabilities for band in bands], axis=1)


def cut(image, window):
    """Part of a (height, width) image under a window, 0 outside."""
    rows, cols = image.shape
    padded = np.pad(image, ((0, window.height), (0, window.width)))
    assert 0 <= window.row < rows
    assert 0 <= window.col < cols
    return padded[window.row : window.row + window.height, window.col : window.col + window.width]


def random_tiles(grid, *, scale, channels=2, seed=0):
    side = grid.tile * scale
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 255, (channels, side, side), np.uint8) for _ in range(len(grid))]


def telescoping_weights(starts, extent, grid, scale):
    """(windows, extent) weights as differences of ramps centred at the seams, in float64."""
    pixels = np.arange(extent * scale) + 0.5
    steps = []
    for start in starts[1:]:
        centre = (start + grid.halo) * scale
        steps.append(np.clip((pixels - centre) / (grid.halo * scale) + 0.5, 0, 1))
    full = [np.ones_like(pixels), *steps, np.zeros_like(pixels)]
    return np.array([before - after for before, after in pairwise(full)])


@pytest.mark.parametrize("scale", [1, 2])
def test_equals_the_weighted_sum_of_all_windows(scale):
    grid = TileGrid(300, 410, tile=192, halo=32)
    tiles = random_tiles(grid, scale=scale)
    down = telescoping_weights(grid.row_starts, grid.height, grid, scale)
    across = telescoping_weights(grid.col_starts, grid.width, grid, scale)
    assert np.allclose(down.sum(0), 1, atol=1e-6)
    assert np.allclose(across.sum(0), 1, atol=1e-6)
    total = np.zeros((2, 300 * scale, 410 * scale))
    for window, tile in zip(grid, tiles, strict=True):
        row, col = window.row * scale, window.col * scale
        here = total[:, row : row + 192 * scale, col : col + 192 * scale]
        y = down[grid.row_starts.index(window.row), row : row + here.shape[1]]
        x = across[grid.col_starts.index(window.col), col : col + here.shape[2]]
        here += tile[:, : here.shape[1], : here.shape[2]] * y[:, None] * x
    # Two roundings to whole steps, and weights in steps of 1/256.
    assert np.abs(blend(grid, scale=scale, tiles=tiles) - total).max() <= 2


@pytest.mark.parametrize("halo", [0, 32, 96])
def test_outer_half_of_the_halo_is_never_trusted(halo):
    grid = TileGrid(700, 500, tile=224, halo=halo)
    image = np.random.default_rng(1).integers(0, 255, (700, 500), np.uint8)
    tiles, margin = random_tiles(grid, scale=1, channels=1), halo // 2
    for window, tile in zip(grid, tiles, strict=True):
        rows, cols = np.arange(224) + window.row, np.arange(224) + window.col
        good_rows = (rows >= window.row + margin * (window.row > 0)) & (rows < window.row + 224 - margin)
        good_cols = (cols >= window.col + margin * (window.col > 0)) & (cols < window.col + 224 - margin)
        if window.row + 224 >= 700:
            good_rows |= rows > window.row + 112
        if window.col + 224 >= 500:
            good_cols |= cols > window.col + 112
        tile[0] = np.where(good_rows[:, None] & good_cols, cut(image, window), tile[0])
    assert np.array_equal(blend(grid, scale=1, tiles=tiles)[0], image)


def test_nodata_is_erased_on_the_finer_grid():
    grid = TileGrid(100, 90, tile=96, halo=32)
    valid = np.random.default_rng(2).random((100, 90)) > 0.3
    tiles = [np.full((1, 192, 192), 7, np.uint8)] * len(grid)
    expected = np.where(valid, 7, NODATA).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(blend(grid, scale=2, tiles=tiles, valid=valid)[0], expected)


@pytest.mark.parametrize("seed", range(8))
def test_windows_without_data_may_be_left_out(seed):
    grid = TileGrid(500, 470, tile=128, halo=32)
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (500, 470), np.uint8)
    valid = np.zeros((500, 470), bool)
    for row, col in rng.integers(0, 470, (4, 2)):
        valid[row : row + 40, col : col + 20] = True
    tiles = [cut(image, window)[None] for window in grid]
    empty = [number for number, window in enumerate(grid) if not cut(valid, window).any()]
    assert empty
    result = blend(grid, scale=1, tiles=tiles, valid=valid, skip=empty)
    assert np.array_equal(result[0], np.where(valid, image, NODATA))


def test_all_windows_may_be_left_out():
    grid = TileGrid(300, 200, tile=128, halo=32)
    blender = Blender(grid, scale=2, channels=3)
    bands = blender.finish()
    assert sum(band.probabilities.shape[1] for band in bands) == 600
    assert all((band.probabilities == NODATA).all() for band in bands)


def test_bands_already_handed_out_do_not_change():
    grid = TileGrid(600, 100, tile=128, halo=32)
    blender = Blender(grid, scale=1, channels=1)
    kept = []
    for number, window in enumerate(grid):
        bands = blender.add(window, np.full((1, 128, 128), number, np.uint8), np.ones((128, 128), bool))
        kept += [(band.probabilities, band.probabilities.copy()) for band in bands]
    blender.finish()
    assert len(kept) == len(grid) - 1
    assert all(np.array_equal(band, copy) for band, copy in kept)


def test_refuses_windows_that_do_not_fit():
    grid = TileGrid(300, 300, tile=128, halo=32)
    windows, tile, valid = list(grid), np.zeros((1, 128, 128), np.uint8), np.ones((128, 128), bool)
    blender = Blender(grid, scale=1, channels=1)
    blender.add(windows[1], tile, valid)
    with pytest.raises(ValueError, match="out of order"):
        blender.add(windows[0], tile, valid)
    with pytest.raises(ValueError, match="expected uint8"):
        blender.add(windows[2], tile.astype(np.float32), valid)
    with pytest.raises(ValueError, match="expected uint8"):
        blender.add(windows[2], tile[:, :64], valid)
    with pytest.raises(ValueError, match="validity"):
        blender.add(windows[2], tile, valid[:64])
    with pytest.raises(ValueError, match="not a window"):
        blender.add(Window(0, 70, 128, 128), tile, valid)
