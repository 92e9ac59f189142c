from dataclasses import replace

import numpy as np
import pytest

from geoconvnext.errors import ConfigError, WeightsError
from geoconvnext.inference import choose_view, load_model, read_confidence
from geoconvnext.model.net import NetSpec, build_net
from geoconvnext.model.runtime import choose_placement
from geoconvnext.model.weights import View, WeightsInfo, load_weights, save_weights

CPU = choose_placement("cpu", "fp32")
VIEWS = tuple(
    View(scale=scale, gsd_range_m=gsd_range_m)
    for scale, gsd_range_m in [(2, (0.3, 0.5)), (4, (0.8, 1.2)), (2, (1.6, 2.0))]
)
INFO = WeightsInfo(spec=NetSpec(scale=4), views=VIEWS)


@pytest.mark.parametrize(
    ("gsd_m", "expected"),
    [(None, 0), (0.4, 0), (0.05, 0), (0.5, 0), (0.62, 0), (0.64, 1), (1.0, 1), (1.38, 1), (1.39, 2), (10, 2)],
)
def test_the_view_with_the_nearest_range(gsd_m, expected):
    assert choose_view(INFO, gsd_m) == VIEWS[expected]


def test_the_first_of_equally_near_views():
    twice = replace(INFO, views=(VIEWS[0], View(scale=4, gsd_range_m=(0.2, 0.6))))
    assert choose_view(twice, 0.4) == VIEWS[0]


def test_a_view_by_its_scale():
    assert choose_view(INFO, 0.4, 4) == VIEWS[1]
    assert choose_view(INFO, 1.0, 2) == VIEWS[2]
    with pytest.raises(ConfigError, match=r"scale 1; they have 2 \(pixels of 0\.3 to 0\.5 m\), 4 "):
        choose_view(INFO, 0.4, 1)


def test_rules_of_weights_and_user(weights):
    ours = load_model(weights, CPU, body_threshold=0.3, min_area_m2=2.0, min_confidence=0.4)
    rules = ours.rules
    assert (rules.body_threshold, rules.min_area_m2, rules.min_hole_m2) == (0.3, 2.0, 2.0)
    assert (rules.min_confidence, rules.simplify_m) == (0.4, load_model(weights, CPU).rules.simplify_m)
    with pytest.raises(ConfigError, match="give one"):
        load_model(weights, CPU, min_confidence=0.5, precision=0.9)


def test_the_weights_say_how_small_a_building_may_be(weights, tmp_path):
    net, info = load_weights(weights)
    save_weights(tmp_path / "w.safetensors", net, replace(info, min_area_m2=3.0))
    rules = load_model(tmp_path / "w.safetensors", CPU).rules
    assert (rules.min_area_m2, rules.min_hole_m2) == (3.0, 3.0)
    assert load_model(tmp_path / "w.safetensors", CPU, min_area_m2=9.0).rules.min_area_m2 == 9.0


def test_a_runner_for_each_scale(tmp_path):
    spec = NetSpec(encoder="convnext_atto", decoder_channels=16, scale=4)
    info = WeightsInfo(spec=spec, views=VIEWS[1::-1], tile=128, halo=32)
    save_weights(tmp_path / "w.safetensors", build_net(spec), info)
    model = load_model(tmp_path / "w.safetensors", CPU)
    for scale in (2, 4):
        found = model.runners[scale](np.zeros((2, 3, 64, 96), np.uint8))
        assert (found.shape, found.dtype) == ((2, 3, 64 * scale, 96 * scale), np.uint8)


def test_a_calibration_that_cannot_be_understood():
    assert read_confidence(INFO, 2) is None
    for stored in ({"features": []}, [1, 2], "much"):
        with pytest.raises(WeightsError, match="geoconvnext calibrate"):
            read_confidence(replace(INFO, confidence={"2": stored}), 2)
