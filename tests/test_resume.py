"""A run that was interrupted goes on: same results, less work, and nothing mixed up."""

import re
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from geoconvnext.errors import ConfigError
from geoconvnext.predict import predict
from geoconvnext.scenes import PredictOptions, open_scene
from geoconvnext.vector.files import read_footprints


class Killed(BaseException):
    """As if the process had died."""


@pytest.fixture
def scene(write_scene):
    """Noise with a hole, so that nothing is left to chance or to symmetry."""
    pixels = np.random.default_rng(1).integers(0, 255, (3, 700, 500), np.uint8)
    pixels[:, 200:420] = 60
    pixels[:, 300:380, 100:400] = 220
    pixels[:, 600:, :200] = 0
    return write_scene(pixels, nodata=0)


@pytest.fixture
def start(tmp_path, scene, brightness):
    """Run over the scene; the network fails after so many windows. Returns how many it saw."""

    def start(name="out", *, windows=10**9, overwrite=False, rules=None, **options):
        model, seen = brightness(2, **(rules or {})), 0

        def run(batch):
            nonlocal seen
            seen += 1
            if seen > windows:
                raise Killed
            return model.runners[2](batch)

        chosen = PredictOptions(tile_px=128, halo_px=32, **options)
        with open_scene(str(scene), model.info, chosen) as opened:
            predict(
                opened,
                tmp_path / f"{name}.gpkg",
                replace(model, runners={2: run}),
                chosen,
                probabilities=tmp_path / f"{name}.tif",
                overwrite=overwrite,
            )
        return seen

    return start


def assert_same_results(tmp_path, ours, other):
    assert read_footprints(tmp_path / f"{ours}.gpkg").equals(read_footprints(tmp_path / f"{other}.gpkg"))
    with rasterio.open(tmp_path / f"{ours}.tif") as one, rasterio.open(tmp_path / f"{other}.tif") as two:
        assert np.array_equal(one.read(), two.read())


@pytest.mark.parametrize("stops", [(1,), (20,), (40,), (9, 9, 9, 9), (63,)])
def test_the_same_command_goes_on(start, tmp_path, listing, stops):
    windows = start("whole")
    for count in stops:
        with pytest.raises(Killed):
            start("parts", windows=count)
        assert not (tmp_path / "parts.gpkg").exists()
    left = start("parts")
    assert_same_results(tmp_path, "parts", "whole")
    assert left < windows or stops == (1,)
    assert listing(tmp_path) == ["parts.gpkg", "parts.tif", "scene.tif", "whole.gpkg", "whole.tif"]


def test_overwrite_starts_afresh(start):
    windows = start("whole")
    with pytest.raises(Killed):
        start(windows=30)
    assert start(overwrite=True) == windows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 2}, "batch size was not given, is 2"),
        ({"nodata": 7.0}, "nodata was not given, is 7.0"),
        ({"rules": {"body_threshold": 0.4}}, "body threshold was 0.5, is 0.4"),
    ],
)
def test_changed_options_are_refused(start, tmp_path, change, message):
    with pytest.raises(Killed):
        start(windows=30)
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        start(**change)
    assert "--overwrite" in str(error.value)
    start()
    assert (tmp_path / "out.gpkg").exists()


def test_a_changed_scene_is_refused(start, scene):
    with pytest.raises(Killed):
        start(windows=30)
    with rasterio.open(scene, "r+") as file:
        file.write(np.full((3, 10, 10), 9, np.uint8), window=((0, 10), (0, 10)))
    with pytest.raises(ConfigError, match=r"scene was .*scene\.tif"):
        start()
