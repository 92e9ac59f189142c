import numpy as np
import pytest

from geoconvnext.errors import SceneError
from geoconvnext.inference import load_model
from geoconvnext.model.runtime import choose_placement
from geoconvnext.predict import predict
from geoconvnext.scenes import PredictOptions, open_scene

CPU = choose_placement("cpu", "fp32")


@pytest.fixture
def scene(write_scene):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 700, 500), np.uint8)
    pixels[:, :300, :200] = 0
    return write_scene(pixels, nodata=0)


@pytest.fixture
def run(scene, weights, tmp_path):
    """Predict with so many workers; returns the bytes of the probabilities."""

    def run(workers):
        model = load_model(weights, CPU)
        options = PredictOptions(tile_px=128, halo_px=32, workers=workers)
        path = tmp_path / f"{workers}.tif"
        with open_scene(str(scene), model.info, options) as opened:
            predict(opened, tmp_path / f"{workers}.gpkg", model, options, probabilities=path)
        return path.read_bytes()

    return run


def test_two_workers_give_the_bytes_of_one(run):
    assert run(1) == run(2)


def test_a_worker_that_fails_stops_the_run(scene, weights, tmp_path):
    model = load_model(weights, CPU)
    options = PredictOptions(tile_px=128, halo_px=32, workers=2)
    with open_scene(str(scene), model.info, options) as opened:
        scene.rename(tmp_path / "moved.tif")  # it stays open here, but workers cannot open it
        with pytest.raises(SceneError, match=r"scene\.tif"):
            predict(opened, tmp_path / "out.gpkg", model, options)
    assert not list(tmp_path.glob("*.gpkg"))
