import csv
import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from geoconvnext.model.net import NetSpec, build_net
from geoconvnext.model.weights import read_info, save_weights

TOOL = Path(__file__).parents[2] / "tools" / "label_fractions.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("label_fractions", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiles(tmp_path):
    """A folder that looks like a tile set of 40 tiles, with names that are patterns to glob."""
    folder = tmp_path / "town"
    folder.mkdir()
    names = [f"s[1].{i}" for i in range(40)]
    with (folder / "tiles.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "licence"], *([name, "a, b"] for name in names)])
    for name in names:
        for suffix in (".tif", ".fgb"):
            (folder / f"{name}{suffix}").write_text(name + suffix)
    return folder


def named(folder):
    with (folder / "tiles.csv").open(newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def test_a_share_of_the_tiles_as_links(tool, tiles, tmp_path):
    assert tool.shorten(tiles, tmp_path / "few", 0.2, seed=0) == 8
    kept = named(tmp_path / "few")
    assert len(set(kept)) == 8
    assert {path.name for path in (tmp_path / "few").iterdir()} == {
        "tiles.csv", *(f"{name}{suffix}" for name in kept for suffix in (".tif", ".fgb"))
    }  # fmt: skip
    assert (tmp_path / "few" / f"{kept[0]}.tif").read_text() == f"{kept[0]}.tif"
    assert "a, b" in (tmp_path / "few" / "tiles.csv").read_text()


def test_shares_of_a_seed_are_nested_and_seeds_differ(tool, tiles, tmp_path):
    drawn = {}
    for fraction, seed in ((0.01, 0), (0.05, 0), (0.2, 0), (1.0, 0), (0.2, 1)):
        folder = tmp_path / f"{fraction}_{seed}"
        for _ in range(2):  # made again where a run goes on
            tool.shorten(tiles, folder, fraction, seed)
        drawn[fraction, seed] = set(named(folder))
    assert len(drawn[0.01, 0]) == 1
    assert drawn[0.01, 0] < drawn[0.05, 0] < drawn[0.2, 0] < drawn[1.0, 0] == set(named(tiles))
    assert drawn[0.2, 0] != drawn[0.2, 1]


def run(fraction, seed, start, **ious):
    return {"fraction": fraction, "seed": seed, "start": start, "tiles": 8, "iou": ious}


def test_the_table_by_hand(tool):
    runs = [
        run(0.2, 0, "random", town=0.4, mean=0.3),
        run(0.2, 0, "pretrained", town=0.5, mean=0.4),
        run(0.2, 1, "random", town=0.6, mean=0.5),
        run(0.2, 1, "pretrained", town=0.6, mean=0.6),
        run(0.05, 0, "random", town=0.1, mean=0.2),
    ]
    assert tool.table(runs).splitlines() == [
        "| labelled tiles | encoder | town | mean |",
        "|---|---|---|---|",
        "| 5% (8) | random | 0.100 | 0.200 |",
        "| 20% (8) | random | 0.500 ± 0.141 | 0.400 ± 0.141 |",
        "| 20% (8) | pretrained | 0.550 ± 0.071 | 0.500 ± 0.141 |",
        "|  | gain | +0.050 ± 0.071 | +0.100 ± 0.000 |",
    ]


@pytest.fixture
def trained(tool, monkeypatch, weights):
    """Configurations that were trained, by a training that writes weights with made-up scores."""
    configs = []

    def train(config, *, resume):
        assert not resume
        configs.append(config)
        iou = 0.5 + 0.1 * bool(config.net.encoder_weights)
        info = replace(read_info(weights), scores={"town": {"iou": iou}, "forest": {"iou": math.nan}})
        save_weights(config.output / "model.safetensors", build_net(info.spec), info)

    monkeypatch.setattr(tool, "train", train)
    return configs


@pytest.fixture
def command(tool, monkeypatch, tiles, tmp_path):
    encoder = tmp_path / "encoder.safetensors"
    metadata = {"geoconvnext-encoder": "convnext_atto"}
    save_file(build_net(NetSpec(encoder="convnext_atto")).encoder.state_dict(), encoder, metadata)
    fixed = [str(encoder), "--train", str(tiles), "--val", str(tiles), "-o", str(tmp_path / "out")]

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["label_fractions", *fixed, *options])
        tool.main()

    return call


def test_every_share_seed_and_start_is_trained_once(command, trained, tiles, tmp_path, capsys):
    command("--fractions", "0.1", "1", "--seeds", "2", "--steps", "20")
    assert len(trained) == 8
    for first, second in zip(trained[::2], trained[1::2], strict=True):
        assert (first.net.encoder_weights, bool(second.net.encoder_weights)) == (None, True)
        unlike = {"output", "net"}
        assert first.model_dump(exclude=unlike) == second.model_dump(exclude=unlike)
        assert first.net.encoder == "convnext_atto"
        assert first.data.val == [tiles]
    assert [config.seed for config in trained[::2]] == [0, 0, 1, 1]
    counts = [len(named(config.data.train[0].path)) for config in trained[::2]]
    assert counts == [4, 40, 4, 40]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [round(r["iou"]["mean"], 3) for r in results["runs"]] == [0.5, 0.6] * 4
    assert "| 10% (4) | pretrained | 0.600 ± 0.000 |" in capsys.readouterr().out
    command("--fractions", "0.1", "1", "--seeds", "3", "--steps", "20")
    assert len(trained) == 12


def test_runs_of_other_settings_are_not_mixed(command, trained):
    command("--fractions", "1", "--seeds", "1", "--steps", "20")
    with pytest.raises(SystemExit, match="runs with another steps; name another --output"):
        command("--fractions", "1", "--seeds", "1", "--steps", "30")
    assert len(trained) == 2
