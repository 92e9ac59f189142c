import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from geoconvnext.errors import SceneError
from geoconvnext.raster import rows
from geoconvnext.raster.grid import TileGrid
from geoconvnext.raster.rows import read_windows
from geoconvnext.raster.scene import Scene
from geoconvnext.raster.source import Source

GRIDS = [(64, 0), (96, 32), (224, 96), (512, 64)]
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 48, "compress": "deflate"}
PIECES = [(256, 2**21), (32, 64 * 64)]
"""Rows of a slab and pixels of a piece: those of the package, and so few that every window needs several."""


def check(scene, windows, *, threads=2):
    """All windows with data come, in order, with the pixels and the validity of Scene.read."""
    seen = dict(read_windows(scene, windows, threads=threads))
    expected = {window: scene.read(window) for window in windows}
    assert list(seen) == [window for window in windows if expected[window].valid.any()]
    for window, found in seen.items():
        assert np.array_equal(found.pixels, expected[window].pixels), window
        assert np.array_equal(found.valid, expected[window].valid), window
    return seen


def check_all_grids(path, **options):
    with Scene.open(path, **options) as scene:
        for tile, halo in GRIDS:
            check(scene, list(TileGrid(scene.height, scene.width, tile, halo)))


@pytest.fixture(params=PIECES, ids=["large pieces", "small pieces"])
def pieces(request, monkeypatch):
    slab_rows, piece_px = request.param
    monkeypatch.setattr(rows, "SLAB_ROWS", slab_rows)
    monkeypatch.setattr(rows, "PIECE_PX", piece_px)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("size", [(600, 450), (1, 700), (700, 1), (1, 1), (2, 3), (513, 65)])
@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
def test_any_size_and_layout(write_raster, noise, size, layout):
    check_all_grids(write_raster(noise(3, *size), **layout))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("gsd_range_m", [(0.7, 1.0), (0.2, 0.31), (1.7, 2.0)])
@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
def test_resampled(write_raster, noise, gsd_range_m, layout):
    pixels = noise(3, 331, 405, low=1)
    pixels[:, 50:200, 120:] = 0
    check_all_grids(write_raster(pixels, nodata=0, **layout), gsd_range_m=gsd_range_m)


@pytest.mark.usefixtures("pieces")
def test_other_sample_formats(write_raster, noise):
    values = noise(3, 300, 410, low=200, high=3000, dtype=np.uint16)
    check_all_grids(write_raster(values, **TILED))


@pytest.mark.usefixtures("pieces")
def test_windows_without_data_are_left_out(write_raster, noise):
    pixels = noise(3, 600, 700, low=1)
    pixels[:, 100:400], pixels[:, :, 250:500] = 0, 0
    path = write_raster(pixels, nodata=0, **TILED)
    check_all_grids(path)
    with Scene.open(path) as scene:
        windows = list(TileGrid(600, 700, 64, 0))
        with_data = [w for w in windows if pixels[:, w.row : w.row + 64, w.col : w.col + 64].any()]
        assert 0 < len(with_data) < len(windows)
        assert [window for window, _ in read_windows(scene, windows, threads=2)] == with_data


@pytest.mark.usefixtures("pieces")
def test_a_scene_without_data(write_raster, noise):
    with Scene.open(write_raster(noise(3, 200, 200, high=1), nodata=0)) as scene:
        assert not list(read_windows(scene, TileGrid(200, 200, 64, 0), threads=2))
        assert not list(read_windows(scene, [], threads=2))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("tile_rows", [[2], [0, 4], [1, 2, 8], [8]])
def test_some_tile_rows(write_raster, noise, tile_rows):
    with Scene.open(write_raster(noise(3, 600, 200))) as scene:
        grid = list(TileGrid(600, 200, 128, 32).rows())
        seen = check(scene, [window for number in tile_rows for window in grid[number]])
        assert len(seen) == 3 * len(tile_rows)


@pytest.mark.usefixtures("pieces")
def test_some_windows_of_a_row(write_raster, noise):
    with Scene.open(write_raster(noise(3, 400, 900))) as scene:
        chosen = np.random.default_rng(0).random(len(TileGrid(400, 900, 96, 32))) < 0.3
        check(scene, [w for w, yes in zip(TileGrid(400, 900, 96, 32), chosen, strict=True) if yes])


@pytest.fixture
def asked(monkeypatch):
    """Windows of a file that were asked for."""
    windows, read = [], Source.read

    def noting(self, window):
        windows.append(window)
        return read(self, window)

    monkeypatch.setattr(Source, "read", noting)
    return windows


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("tile_px", [(96, 32), (224, 96), (512, 64)])
def test_no_block_is_decoded_twice(write_raster, noise, asked, tile_px):
    with Scene.open(write_raster(noise(3, 1000, 700), **TILED)) as scene:
        grid = TileGrid(1000, 700, *tile_px)
        assert sum(1 for _ in read_windows(scene, grid, threads=2)) == len(grid)
    assert sum(window.height * window.width for window in asked) == 1000 * 700
    assert all(window.row % 48 == window.col % 64 == 0 for window in asked)


def test_only_slabs_of_the_tile_rows_are_read(write_raster, noise, asked):
    with Scene.open(write_raster(noise(3, 3000, 64))) as scene:
        first, *_, last = TileGrid(3000, 64, 64, 0).rows()
        deque(read_windows(scene, [*first, *last], threads=2), maxlen=0)
    assert sum(window.height for window in asked) <= 3 * (rows.SLAB_ROWS + 64)


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_any_number_of_threads(write_raster, noise, monkeypatch, threads):
    monkeypatch.setattr(rows, "SLAB_ROWS", 48)
    monkeypatch.setattr(rows, "PIECE_PX", 48 * 64)
    with Scene.open(write_raster(noise(3, 900, 1000, low=1), nodata=0, **TILED)) as scene:
        check(scene, list(TileGrid(900, 1000, 160, 32)), threads=threads)


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="needs Linux")
def test_files_are_closed_when_nobody_wants_more(write_raster, noise, asked):
    with Scene.open(write_raster(noise(3, 3000, 600), **TILED)) as scene:
        before = len(list(OPEN_FILES.iterdir()))
        windows = read_windows(scene, TileGrid(3000, 600, 96, 32), threads=4)
        next(windows)
        assert len(list(OPEN_FILES.iterdir())) > before
        windows.close()
        assert len(list(OPEN_FILES.iterdir())) == before
    assert sum(window.height for window in asked) < 2900


def test_a_truncated_file_names_the_place(write_raster, noise):
    path = write_raster(noise(3, 1200, 600), **TILED)
    os.truncate(path, path.stat().st_size * 2 // 3)
    with Scene.open(path) as scene:
        windows = read_windows(scene, TileGrid(1200, 600, 96, 32), threads=3)
        with pytest.raises(SceneError, match=r"scene\.tif: cannot read Window\(row=.*truncated"):
            list(windows)
