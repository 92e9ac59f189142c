"""The gate: with a pointwise network, the tiled result equals the whole-image result at every pixel."""

import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoconvnext.raster.blend import NODATA
from geoconvnext.raster.grid import TileGrid, Window
from geoconvnext.raster.rows import read_windows
from geoconvnext.raster.scene import Scene
from geoconvnext.raster.strips import Strips, blend_strips, write_strip

GRIDS = [(64, 0), (96, 32), (128, 32), (512, 64), (256, 96)]
TABLE = np.random.default_rng(7).permutation(255).astype(np.uint8)
"""A different probability for neighbouring grey values, so that any mixing of pixels shows."""


def network(pixels, scale):
    """Two channels of probabilities (2, scale * height, scale * width) from the mean of the bands."""
    mean = pixels.astype(int).sum(axis=0) // len(pixels)
    both = np.stack([TABLE[mean % 255], TABLE[254 - mean % 255]])
    return both.repeat(scale, 1).repeat(scale, 2)


def predict(scene, folder, *, tile, halo, scale):
    """The raster half of the predict verb, on a stub network."""
    strips = Strips(folder, TileGrid(scene.height, scene.width, tile, halo), scale, channels=2)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    answers = [
        (window, network(seen.pixels, scale), seen.valid)
        for window, seen in read_windows(scene, strips.grid, threads=2)
    ]
    for number, row in enumerate(strips.grid.row_starts):
        with write_strip(strips, number) as writer:
            for window, probabilities, valid in answers:
                if window.row == row:
                    writer.add(window, probabilities, valid)
    return np.concatenate(list(blend_strips(strips, iter(()))), axis=1)


def whole(pixels, valid, scale):
    expected = network(pixels, scale)
    expected[:, ~valid.repeat(scale, 0).repeat(scale, 1)] = NODATA
    return expected


def check_all_grids(path, tmp_path, pixels, valid, **options):
    for tile, halo in GRIDS:
        for scale in (1, 2):
            with Scene.open(path, **options) as scene:
                found = predict(scene, tmp_path / "strips", tile=tile, halo=halo, scale=scale)
            assert np.array_equal(found, whole(pixels, valid, scale)), (tile, halo, scale)


@pytest.mark.parametrize("size", [(200, 200), (400, 2100), (700, 1), (1, 700), (1, 1), (513, 515), (2, 3)])
def test_any_size(write_raster, noise, tmp_path, size):
    pixels = noise(3, *size)
    check_all_grids(write_raster(pixels), tmp_path, pixels, np.ones(size, bool))


@pytest.mark.parametrize(
    "profile",
    [
        {"transform": Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)},
        {"crs": "EPSG:4326", "transform": Affine(4.5e-6, 0, 10, 0, -4.5e-6, 0.01)},
        {"crs": None, "transform": None},
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"},
    ],
    ids=["rotated", "geographic", "no CRS", "tiled"],
)
def test_any_georeference_and_layout(write_raster, noise, tmp_path, profile):
    pixels = noise(3, 300, 450)
    check_all_grids(write_raster(pixels, **profile), tmp_path, pixels, np.ones((300, 450), bool))


def test_nodata_stripes(write_raster, noise, tmp_path):
    pixels = noise(3, 420, 600, low=1)
    pixels[:, 100:260] = 0
    pixels[:, :, 33:300] = 0
    pixels[0, :, 400] = 0  # dark in one band only: valid
    path = write_raster(pixels, nodata=0)
    with rasterio.open(path) as file:
        valid = file.dataset_mask() > 0
    assert not valid[:64, 64:128].any()
    assert valid[:64, 400].all()
    check_all_grids(path, tmp_path, pixels, valid)


def test_zeros_without_nodata_are_data(write_raster, noise, tmp_path):
    pixels = noise(3, 200, 300, high=2)
    check_all_grids(write_raster(pixels), tmp_path, pixels, np.ones((200, 300), bool))


@pytest.mark.parametrize(("dtype", "nodata"), [(np.uint16, 0), (np.float32, np.nan), (np.int16, -9999)])
def test_other_sample_formats(write_raster, noise, tmp_path, dtype, nodata):
    values = noise(3, 300, 410, low=200, high=3000, dtype=dtype)
    values[:, 40:90, 100:] = nodata
    valid = np.ones((300, 410), bool)
    valid[40:90, 100:] = False
    low, high = np.percentile(values[:, valid].astype(float), (1, 99), axis=1)
    grey = (values.astype(float) - low[:, None, None]) / (high - low)[:, None, None] * 254 + 1
    pixels = np.clip(np.rint(np.where(valid, grey, 0)), 1, 255).astype(np.uint8)
    check_all_grids(write_raster(values, nodata=nodata), tmp_path, pixels, valid)


@pytest.mark.parametrize("gsd_range_m", [(0.7, 1.0), (0.2, 0.31), (1.7, 2.0)])
@pytest.mark.parametrize("has_gap", [False, True])
def test_resampled(write_raster, noise, tmp_path, gsd_range_m, has_gap):
    pixels = noise(3, 330, 450, low=1)
    if has_gap:
        pixels[:, 50:200, 120:] = 0
    path = write_raster(pixels, nodata=0 if has_gap else None)
    with Scene.open(path, gsd_range_m=gsd_range_m) as scene:
        assert scene.height != 330
        seen = scene.read(Window(0, 0, scene.height, scene.width))
    assert seen.valid.all() != has_gap
    check_all_grids(path, tmp_path, seen.pixels, seen.valid, gsd_range_m=gsd_range_m)
