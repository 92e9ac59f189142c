import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import ColorInterp as Color

from geoconvnext.errors import SceneError
from geoconvnext.raster.grid import TileGrid, Window
from geoconvnext.raster.scene import Scene

RGBA = (Color.red, Color.green, Color.blue, Color.alpha)


def read_all(path, **options):
    with Scene.open(path, **options) as scene:
        return scene.read(Window(0, 0, scene.height, scene.width))


def test_attributes(write_raster, noise):
    path = write_raster(noise(3, 200, 301), photometric="RGB")
    with Scene.open(path, band_count=3) as scene:
        assert (scene.path, scene.height, scene.width) == (str(path), 200, 301)
        assert (scene.bands, scene.warnings) == ((1, 2, 3), ())
        assert scene.transform == Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
        assert scene.crs.to_epsg() == 32633
        assert scene.gsd_m == scene.source_gsd_m == pytest.approx(0.5, rel=1e-3)


def test_eight_bits_pass_untouched(write_raster, noise):
    pixels = noise(3, 100, 120)
    seen = read_all(write_raster(pixels))
    assert np.array_equal(seen.pixels, pixels)
    assert seen.pixels.dtype == np.uint8
    assert seen.valid.all()


def test_beyond_the_scene_is_its_reflection(write_raster, noise):
    pixels = noise(3, 100, 120)
    with Scene.open(write_raster(pixels)) as scene:
        seen = scene.read(Window(-10, 90, 128, 64))
    expected = np.pad(pixels, ((0, 0), (10, 18), (0, 34)), mode="reflect")[:, :, 90:]
    assert np.array_equal(seen.pixels, expected)
    inside = np.zeros((128, 64), bool)
    inside[10:110, :30] = True
    assert np.array_equal(seen.valid, inside)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_scenes_smaller_than_the_window(write_raster, noise, size):
    pixels = noise(3, *size)
    with Scene.open(write_raster(pixels)) as scene:
        seen = scene.read(Window(-4, 0, 64, 64))
    assert np.array_equal(seen.pixels[:, 4 : 4 + size[0], : size[1]], pixels)
    assert seen.valid.sum() == size[0] * size[1]
    assert set(np.unique(seen.pixels)) <= set(np.unique(pixels))


def test_nodata_of_one_band_is_just_dark(write_raster, noise):
    pixels = noise(3, 50, 50, low=1)
    pixels[0, :10] = 0
    pixels[:, 20:30] = 0
    seen = read_all(write_raster(pixels, nodata=0))
    assert np.array_equal(seen.valid, np.arange(50)[:, None].repeat(50, 1) // 10 != 2)
    assert np.array_equal(seen.pixels, pixels)


def test_nodata_option_replaces_the_declared_value(write_raster, noise):
    pixels = noise(3, 50, 50, low=1, high=200)
    pixels[:, :10], pixels[:, 40:] = 0, 255
    path = write_raster(pixels, nodata=0)
    seen = read_all(path, nodata=255)
    assert seen.valid[:40].all()
    assert not seen.valid[40:].any()
    assert not seen.pixels[:, 40:].any()
    assert read_all(path, nodata=-9999).valid.all()


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_masks_and_transparency(write_raster, noise, kind):
    pixels = noise(3, 70, 80)
    valid = np.zeros((70, 80), bool)
    valid[13:50, 5:77] = True
    grey = valid.astype(np.uint8) * 255
    if kind == "mask":
        path = write_raster(pixels, mask=grey)
    else:
        path = write_raster(np.concatenate([pixels, grey[None]]), colors=RGBA)
    seen = read_all(path, band_count=3)
    assert np.array_equal(seen.valid, valid)
    assert np.array_equal(seen.pixels, pixels * valid)


def test_infrared_declared_as_alpha_is_no_transparency(write_raster, noise):
    pixels = noise(4, 70, 80)
    path = write_raster(pixels, colors=RGBA)
    with Scene.open(path, band_count=4) as scene:
        assert scene.bands == (1, 2, 3, 4)
        assert "alpha" in scene.warnings[0]
        assert scene.read(Window(0, 0, 70, 80)).valid.all()
    with Scene.open(path, bands=(4, 1, 2)) as scene:
        assert np.array_equal(scene.read(Window(0, 0, 70, 80)).pixels, pixels[[3, 0, 1]])


def test_transparency_named_as_a_band_is_data(write_raster, noise):
    pixels = noise(4, 70, 80)
    pixels[3] = pixels[3] // 128 * 255
    seen = read_all(write_raster(pixels, colors=RGBA), bands=(1, 2, 4))
    assert seen.valid.all()
    assert np.array_equal(seen.pixels, pixels[[0, 1, 3]])


def test_nan_and_infinity_are_invalid(write_raster, noise):
    values = noise(3, 50, 60, dtype=np.float32)
    values[1, 7, 8], values[2, 9, 10] = np.nan, np.inf
    seen = read_all(write_raster(values))
    assert sorted(zip(*np.nonzero(~seen.valid), strict=True)) == [(7, 8), (9, 10)]
    assert seen.pixels[:, seen.valid].min() >= 1
    assert not seen.pixels[:, ~seen.valid].any()


def test_bright_uint16_uses_the_whole_range(write_raster, noise):
    values = noise(3, 300, 300, dtype=np.uint16, low=20_000, high=21_000)
    values[:, :100] = 0
    seen = read_all(write_raster(values, nodata=0))
    assert not seen.valid[:100].any()
    assert (seen.pixels[:, 100:].min(), seen.pixels.max()) == (1, 255)
    assert seen.pixels[:, 100:].mean() == pytest.approx(128, abs=3)


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 256, "blockysize": 256}])
def test_large_scenes_are_stretched_from_patches(write_raster, layout):
    values = np.add.outer(np.arange(4200), np.arange(4200))[None].repeat(3, 0).astype(np.uint16)
    with Scene.open(write_raster(values, **layout)) as scene:
        seen = scene.read(Window(2000, 2000, 200, 200))
    assert seen.pixels.mean() == pytest.approx(128, abs=3)


def test_no_crs(write_raster, noise):
    path = write_raster(noise(3, 60, 60), crs=None, transform=None)
    with Scene.open(path, gsd_range_m=(0.3, 0.6)) as scene:
        assert (scene.gsd_m, scene.crs, scene.height) == (None, None, 60)
        assert scene.transform == Affine.identity()
        assert any("pixel coordinates" in note for note in scene.warnings)
        assert any("state gsd_m" in note for note in scene.warnings)
    with Scene.open(path, gsd_range_m=(0.3, 0.6), gsd_m=0.15) as scene:
        assert (scene.source_gsd_m, scene.gsd_m, scene.height) == (0.15, 0.3, 30)
        assert scene.transform == Affine.scale(2)


def test_stated_gsd_wins_and_coarse_scenes_are_announced(write_raster, noise):
    path = write_raster(noise(3, 60, 60))
    with Scene.open(path, gsd_m=2.0, gsd_range_m=(0.3, 0.6)) as scene:
        assert (scene.height, scene.gsd_m) == (200, pytest.approx(0.6))
        assert any("gsd_m is used" in note for note in scene.warnings)
        assert any("coarser" in note for note in scene.warnings)


def test_resampled_scenes_keep_their_corners(write_raster, noise):
    turned = Affine.translation(5e5, 5e6) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5)
    with Scene.open(write_raster(noise(3, 333, 501), transform=turned), gsd_range_m=(0.8, 1)) as scene:
        corner = Affine(*scene.transform[:6]) @ (scene.width, scene.height)
    assert corner == pytest.approx(turned @ (501, 333))


def test_geographic_pixels_become_square(write_raster, noise):
    path = write_raster(noise(3, 200, 300), crs="EPSG:4326", transform=Affine(4e-6, 0, 10, 0, -4e-6, 60))
    with Scene.open(path) as scene:
        assert scene.height / scene.width == pytest.approx(200 / 300 * 2, rel=0.02)
        assert scene.gsd_m == pytest.approx(scene.source_gsd_m, rel=0.01)


def test_very_fine_scenes_are_read_in_pieces(write_raster, noise, monkeypatch):
    path = write_raster(noise(3, 900, 900), transform=Affine(0.02, 0, 5e5, 0, -0.02, 5e6))
    whole = read_all(path, gsd_range_m=(0.3, 0.6))
    monkeypatch.setattr("geoconvnext.raster.scene.CHUNK_PX", 900 * 40)
    pieces = read_all(path, gsd_range_m=(0.3, 0.6))
    assert whole.pixels.shape == (3, 60, 60)
    assert np.array_equal(whole.pixels, pieces.pixels)
    assert whole.pixels.std() < 10  # averaged, not picked


def test_vrt(write_raster, noise, tmp_path):
    pixels = noise(3, 90, 110)
    rasterio.shutil.copy(write_raster(pixels), tmp_path / "scene.vrt", driver="VRT")
    assert np.array_equal(read_all(tmp_path / "scene.vrt").pixels, pixels)


def test_not_a_raster(write_raster, noise, tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("no image")
    for name in ("missing.tif", "empty.tif", "text.tif", "."):
        with pytest.raises(SceneError, match="not a raster"):
            Scene.open(tmp_path / name)
    with pytest.raises(SceneError, match="the scene has 1"):
        Scene.open(write_raster(noise(1, 9, 9)), band_count=3)
    with pytest.raises(SceneError, match="complex"):
        Scene.open(write_raster(noise(1, 9, 9, dtype=np.complex64)), band_count=1)


def make_cog(write_raster, noise, tmp_path):
    pixels = noise(3, 1500, 1500)
    path = tmp_path / "cog.tif"
    rasterio.shutil.copy(write_raster(pixels), path, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=256)
    return path, pixels


def test_truncated_file_names_the_window(write_raster, noise, tmp_path):
    path, pixels = make_cog(write_raster, noise, tmp_path)
    os.truncate(path, path.stat().st_size * 2 // 3)
    with Scene.open(path) as scene:
        assert np.array_equal(scene.read(Window(0, 0, 256, 256)).pixels, pixels[:, :256, :256])
        with pytest.raises(SceneError, match=r"Window\(row=1200, col=1200.*truncated"):
            scene.read(Window(1200, 1200, 256, 256))


@pytest.fixture
def web(write_raster, noise, tmp_path):
    """Address of a web server with `/scene.tif`, and its pixels."""
    path, pixels = make_cog(write_raster, noise, tmp_path)
    command = [sys.executable, Path(__file__).with_name("range_server.py"), path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}", pixels
        server.terminate()


def test_cog_on_a_web_server(web):
    address, pixels = web
    with Scene.open(f"{address}/scene.tif", band_count=3) as scene:
        seen = scene.read(Window(512, 512, 256, 256))
        assert np.array_equal(seen.pixels, pixels[:, 512:768, 512:768])
        with urllib.request.urlopen(f"{address}/sent") as answer:
            assert int(answer.read()) < pixels.size / 4
        for window in TileGrid(scene.height, scene.width, tile=512, halo=32):
            assert scene.read(window).valid.any()
    with pytest.raises(SceneError, match=r"missing\.tif"):
        Scene.open(f"{address}/missing.tif")
