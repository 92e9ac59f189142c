import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from geoconvnext.errors import ConfigError
from geoconvnext.model.weights import load_weights, save_weights

TOOL = Path(__file__).parents[2] / "tools" / "ablation.py"
VALUES = {"output": "runs/x", "data": {"train": [{"path": "town"}], "val": ["village"]}}


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("ablation", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_values_are_changed_by_dotted_keys(tool, tmp_path):
    values = {**VALUES, "data": {**VALUES["data"], "samples": [{"scale": 2}]}}
    changes = {"loss.dice": 0, "data.samples.0.size": 128, "data.val": ["a", "b"]}
    config = tool.configure(values, changes, output=tmp_path, seed=7)
    assert (config.loss.dice, config.data.samples[0].size, config.seed) == (0, 128, 7)
    assert config.data.val == [Path("a"), Path("b")]
    assert config.output == tmp_path
    assert "loss" not in values
    assert values["data"]["samples"] == [{"scale": 2}]


def test_a_variant_that_is_no_configuration(tool, tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)variant of x.*loss.dicer"):
        tool.configure(VALUES, {"loss.dicer": 1}, output=tmp_path / "x", seed=0)


def test_gains_are_between_runs_of_one_seed(tool):
    runs = {
        "as it is": [{"mean": 0.5, "town": 0.6}, {"mean": 0.7, "town": 0.7}],
        "other": [{"mean": 0.6, "town": 0.5}, {"mean": 0.6, "town": 0.9}],
    }
    head, first, second = tool.table(runs).splitlines()
    assert head.split() == ["variant", "seeds", "mean", "IoU", "from", "to", "gain", "from", "to", "town"]
    assert first.split()[3:] == ["2", "0.6000", "0.5000", "0.7000", "+0.0000", "+0.0000", "+0.0000", "0.6500"]
    assert second.split()[1:] == [
        "2",
        "0.6000",
        "0.6000",
        "0.6000",
        "+0.0000",
        "-0.1000",
        "+0.1000",
        "0.7000",
    ]


def test_each_run_is_trained_once(tool, weights, tmp_path, monkeypatch, capsys):
    net, info = load_weights(weights)
    trained = []

    def train(config, *, resume):
        trained.append((config.output.name, config.loss.dice, config.seed, resume))
        scores = {"village": {"iou": 0.5 + 0.1 * config.loss.dice}, "town": {"iou": 0.25}}
        save_weights(config.output / "model.safetensors", net, replace(info, scores=scores))

    monkeypatch.setattr(tool, "train", train)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(VALUES))
    command = ["ablation.py", str(tmp_path / "c.yaml"), "--output", str(tmp_path / "out"), "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", [*command, "--variant", "no_dice", "loss.dice=0"])
    tool.main()
    tool.main()
    assert trained == [
        (f"{name}_seed{seed}", dice, seed, False)
        for seed in (0, 1)
        for name, dice in (("as_it_is", 1.0), ("no_dice", 0.0))
    ]
    found = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert found["variants"] == {"as it is": {}, "no_dice": {"loss.dice": 0}}
    assert found["runs"]["no_dice"] == 2 * [{"mean": 0.375, "village": 0.5, "town": 0.25}]
    assert capsys.readouterr().out.splitlines()[-1].split()[:3] == ["no_dice", "2", "0.3750"]


def test_other_settings_do_not_reuse_a_run(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "train", lambda *_, **__: pytest.fail("trained"))
    config = tool.configure(VALUES, {}, output=tmp_path, seed=0)
    (tmp_path / "settings.yaml").write_text("other: 1\n")
    with pytest.raises(ConfigError, match="was trained with other settings; remove it"):
        tool.scores_of(config)
