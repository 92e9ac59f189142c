import numpy as np
import pytest
from affine import Affine

from geoconvnext.errors import SceneError, WeightsError
from geoconvnext.info import describe_fit, describe_scene, describe_weights
from geoconvnext.model.net import NetSpec, build_net
from geoconvnext.model.weights import View, WeightsInfo, save_weights
from geoconvnext.vector.confidence import Confidence, OperatingPoint
from geoconvnext.vector.features import FEATURES


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
    assert lines["read as"] == "bands 1, 2, 3, 200 x 100 px of 0.500 m, mask 1 x as fine"
    assert lines["weights"] == "small.safetensors, made for pixels of 0.1 to 1.0 m"
    finer = describe_fit(str(scene), weights, bands=(4, 2, 1), gsd_m=0.05)
    assert finer["read as"] == "bands 4, 2, 1, 100 x 50 px of 0.100 m, mask 1 x as fine"
    assert "gsd_m" in finer["note 1"]


def test_scene_that_does_not_fit(write_scene, weights):
    path = str(write_scene(np.zeros((1, 10, 20), np.uint8)))
    assert describe_scene(path, bands=None, gsd_m=None)["bands"] == "1"
    with pytest.raises(SceneError):
        describe_fit(path, weights, bands=None, gsd_m=None)


@pytest.fixture
def two_views(tmp_path):
    """Weights with two views, the second one calibrated."""
    others = (0.0,) * (len(FEATURES) - 1)
    ones = (1.0,) * len(FEATURES)
    table = (OperatingPoint(0.0, 0.6, 0.9, 90), OperatingPoint(0.55, 0.8, 0.7, 60))
    confidence = Confidence(FEATURES, (0.8, *others), ones, (20.0, *others), 0.0, table)
    spec = NetSpec(encoder="convnext_atto", decoder_channels=16, scale=4)
    views = (View(scale=2, gsd_range_m=(0.3, 0.5)), View(scale=4, gsd_range_m=(0.8, 1.2)))
    info = WeightsInfo(spec=spec, views=views, confidence={"4": confidence.to_dict()})
    save_weights(tmp_path / "two.safetensors", build_net(spec), info)
    return tmp_path / "two.safetensors"


def test_views_and_confidence(two_views, weights):
    lines = describe_weights(two_views)
    assert (lines["pixels"], lines["mask"]) == ("0.3 to 0.5 m", "2 x as fine as the image")
    assert lines["other views"] == "0.8 to 1.2 m: 4 x as fine"
    assert lines["confidence at 2 x"].endswith("not calibrated")
    assert lines["confidence at 4 x"] == "probability of being right, calibrated"
    assert lines["  from 0.55 at 4 x"] == "precision 0.800, recall 0.700"
    assert sum("precision" in line for line in lines.values()) == 2
    assert "other views" not in describe_weights(weights)


def test_the_view_that_suits_a_scene(write_scene, two_views):
    coarse = write_scene(np.zeros((3, 100, 200), np.uint8), transform=Affine(1, 0, 500_000, 0, -1, 5_500_000))
    lines = describe_fit(str(coarse), two_views, bands=None, gsd_m=None)
    assert lines["weights"] == "two.safetensors, made for pixels of 0.8 to 1.2 m"
    assert lines["read as"].endswith("200 x 100 px of 1.000 m, mask 4 x as fine")


def test_weights(weights, tmp_path):
    lines = describe_weights(weights)
    assert lines["network"] == "convnext_atto, fpn of 16 channels"
    assert lines["mask"] == "1 x as fine as the image"
    assert lines["windows"] == "128 px, halo 32 px"
    with pytest.raises(WeightsError):
        describe_weights(tmp_path / "missing.safetensors")
