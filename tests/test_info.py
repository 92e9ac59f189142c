import numpy as np
import pytest

from geoconvnext.errors import SceneError, WeightsError
from geoconvnext.info import describe_fit, describe_scene, describe_weights


@pytest.fixture
def scene(write_scene):
    return write_scene(np.zeros((4, 100, 200), np.uint8))


def test_scene(scene):
    lines = describe_scene(str(scene), bands=None, gsd_m=None)
    assert lines["size"] == "200 x 100 px"
    assert (lines["CRS"], lines["pixels"]) == ("EPSG:32633", "0.500 m")


def test_scene_without_georeference(write_scene):
    path = str(write_scene(np.zeros((3, 10, 20), np.uint8), "scene.tif", crs=None))
    lines = describe_scene(path, bands=None, gsd_m=None)
    assert (lines["CRS"], lines["pixels"]) == ("none", "size unknown")
    assert describe_scene(path, bands=(3, 2, 1), gsd_m=0.3)["pixels"] == "0.300 m"


def test_how_a_network_reads_a_scene(scene, weights):
    lines = describe_fit(str(scene), weights, bands=None, gsd_m=None)
    assert lines["read as"] == "bands 1, 2, 3, 200 x 100 px of 0.500 m"
    assert lines["weights"] == "small.safetensors, made for pixels of 0.1 to 1.0 m"
    finer = describe_fit(str(scene), weights, bands=(4, 2, 1), gsd_m=0.05)
    assert finer["read as"] == "bands 4, 2, 1, 100 x 50 px of 0.100 m"
    assert "gsd_m" in finer["note 1"]


def test_scene_that_does_not_fit(write_scene, weights):
    path = str(write_scene(np.zeros((1, 10, 20), np.uint8)))
    assert describe_scene(path, bands=None, gsd_m=None)["bands"] == "1"
    with pytest.raises(SceneError):
        describe_fit(path, weights, bands=None, gsd_m=None)


def test_weights(weights, tmp_path):
    lines = describe_weights(weights)
    assert lines["network"] == "convnext_atto, fpn of 16 channels"
    assert lines["mask"] == "1 x as fine as the image"
    assert lines["windows"] == "128 px, halo 32 px"
    with pytest.raises(WeightsError):
        describe_weights(tmp_path / "missing.safetensors")
