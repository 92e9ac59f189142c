import os

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoconvnext.errors import OutputError, SceneError
from geoconvnext.raster.blend import NODATA
from geoconvnext.raster.mosaic import ProbabilityMosaic

TRANSFORM = Affine(0.25, 0, 5e5, 0, -0.25, 5e6)
CHANNELS = ("body", "edge", "contact")


def create(path, height, width):
    crs = rasterio.CRS.from_epsg(32633)
    return ProbabilityMosaic.create(
        path, height=height, width=width, transform=TRANSFORM, crs=crs, channels=CHANNELS
    )


@pytest.fixture
def probabilities():
    return np.random.default_rng(0).integers(0, 256, (3, 1300, 700), np.uint8)


@pytest.fixture
def finished(tmp_path, probabilities):
    path = tmp_path / "mosaic.tif"
    with create(path, 1300, 700) as mosaic:
        mosaic.write_rows(0, probabilities)
    return path


@pytest.mark.parametrize("step", [1, 200, 512, 700, 1300])
def test_bands_of_any_height_come_back(tmp_path, probabilities, step):
    with create(tmp_path / "mosaic.tif", 1300, 700) as mosaic:
        for row in range(0, 1300, step):
            mosaic.write_rows(row, probabilities[:, row : row + step])
    with ProbabilityMosaic.open(tmp_path / "mosaic.tif") as mosaic:
        assert (mosaic.height, mosaic.width, mosaic.channels) == (1300, 700, CHANNELS)
        assert mosaic.transform == TRANSFORM
        assert mosaic.crs.to_epsg() == 32633
        assert np.array_equal(mosaic.read(0, 0, 1300, 700), probabilities)
        assert np.array_equal(mosaic.read(500, 30, 101, 7), probabilities[:, 500:601, 30:37])


def test_no_block_is_compressed_twice(tmp_path, probabilities):
    sizes = []
    for step in (100, 1300):
        with create(tmp_path / "mosaic.tif", 1300, 700) as mosaic:
            for row in range(0, 1300, step):
                mosaic.write_rows(row, probabilities[:, row : row + step])
        sizes.append((tmp_path / "mosaic.tif").stat().st_size)
    assert sizes[0] == sizes[1]


def test_nodata_takes_no_space(tmp_path):
    with create(tmp_path / "mosaic.tif", 5000, 5000) as mosaic:
        mosaic.write_rows(0, np.broadcast_to(np.uint8(NODATA), (3, 5000, 5000)))
    assert (tmp_path / "mosaic.tif").stat().st_size < 50_000
    with ProbabilityMosaic.open(tmp_path / "mosaic.tif") as mosaic:
        assert (mosaic.read(100, 0, 1000, 5000) == NODATA).all()


def test_rows_come_in_order_and_complete(tmp_path, probabilities):
    with (
        pytest.raises(ValueError, match="expected rows from 0"),
        create(tmp_path / "a.tif", 1300, 700) as mosaic,
    ):
        mosaic.write_rows(10, probabilities[:, 10:20])
    with pytest.raises(ValueError, match="20 of 1300 rows"), create(tmp_path / "b.tif", 1300, 700) as mosaic:
        mosaic.write_rows(0, probabilities[:, :20])
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_no_half_mosaic(tmp_path, probabilities):
    def stop_halfway():
        with create(tmp_path / "mosaic.tif", 1300, 700) as mosaic:
            mosaic.write_rows(0, probabilities[:, :600])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert not list(tmp_path.iterdir())


def test_reading_errors_keep_the_mosaic(finished):
    with pytest.raises(KeyError), ProbabilityMosaic.open(finished):
        raise KeyError
    assert finished.exists()


def test_refuses_what_is_no_mosaic(write_raster, noise, tmp_path):
    with pytest.raises(SceneError, match="nodata 255"):
        ProbabilityMosaic.open(write_raster(noise(3, 10, 10)))
    with pytest.raises(SceneError, match="not a mosaic"):
        ProbabilityMosaic.open(tmp_path / "missing.tif")


def test_truncated_mosaic_is_an_error(finished):
    os.truncate(finished, finished.stat().st_size // 2)
    with pytest.raises(SceneError), ProbabilityMosaic.open(finished) as mosaic:
        mosaic.read(0, 0, 1300, 700)


def test_cog(finished, tmp_path, probabilities):
    target = tmp_path / "body.tif"
    with ProbabilityMosaic.open(finished) as mosaic:
        mosaic.to_cog(target)
    with rasterio.open(target) as file:
        assert np.array_equal(file.read(), probabilities)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1)
        assert (file.nodata, file.descriptions) == (NODATA, CHANNELS)
        assert file.scales == pytest.approx((1 / 254,) * 3)
        assert file.transform == TRANSFORM
    assert sorted(path.name for path in tmp_path.iterdir()) == ["body.tif", "mosaic.tif"]


@pytest.mark.parametrize("missing_bytes", [1, 40_000])
def test_a_copy_that_lost_its_end_is_an_error(finished, tmp_path, monkeypatch, missing_bytes):
    copy = rasterio.shutil.copy

    def lossy(source, path, **options):
        copy(source, path, **options)
        os.truncate(path, path.stat().st_size - missing_bytes - 4)  # a COG ends with four bytes of checking

    monkeypatch.setattr("rasterio.shutil.copy", lossy)
    with ProbabilityMosaic.open(finished) as mosaic, pytest.raises(OutputError, match=r"\d of 6 blocks"):
        mosaic.to_cog(tmp_path / "body.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["mosaic.tif"]


def test_unwritable_folders(finished, tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        create(tmp_path / "nowhere" / "mosaic.tif", 10, 10)
    with ProbabilityMosaic.open(finished) as mosaic, pytest.raises(OutputError, match="nowhere"):
        mosaic.to_cog(tmp_path / "nowhere" / "body.tif")
    (tmp_path / "taken").mkdir()
    with ProbabilityMosaic.open(finished) as mosaic, pytest.raises(OutputError, match="taken"):
        mosaic.to_cog(tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mosaic.tif", "taken"]


# The last pages are written while GDAL closes the file, and rasterio does not say when that fails.
@pytest.mark.parametrize("missing_pages", [500, 100, 30, 10, 3, 2, 1])
def test_full_disk_while_writing(small_disk, finished, probabilities, missing_pages):
    folder = small_disk((finished.stat().st_size // 4096 + 1 - missing_pages) * 4096)
    with pytest.raises(OutputError, match="free space"), create(folder / "mosaic.tif", 1300, 700) as mosaic:
        mosaic.write_rows(0, probabilities)
    assert not list(folder.iterdir())


def test_just_enough_disk(small_disk, finished, probabilities):
    folder = small_disk((finished.stat().st_size // 4096 + 2) * 4096)
    with create(folder / "mosaic.tif", 1300, 700) as mosaic:
        mosaic.write_rows(0, probabilities)
    assert (folder / "mosaic.tif").stat().st_size == finished.stat().st_size


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_full_disk_while_copying(small_disk, finished, tmp_path, share):
    with ProbabilityMosaic.open(finished) as mosaic:
        mosaic.to_cog(tmp_path / "whole.tif")
        folder = small_disk(int((tmp_path / "whole.tif").stat().st_size * share))
        with pytest.raises(OutputError, match="free space"):
            mosaic.to_cog(folder / "body.tif")
    assert not list(folder.iterdir())
