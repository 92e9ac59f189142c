import csv
import math
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from affine import Affine
from shapely import box

import geoconvnext.train as module
from geoconvnext.config import TrainConfig
from geoconvnext.data.tiles import TileFolder, TileRecord
from geoconvnext.errors import ConfigError, GeoconvnextError, LabelError, OutputError, WeightsError
from geoconvnext.model.losses import building_loss
from geoconvnext.model.weights import load_weights, read_info
from geoconvnext.train import train
from geoconvnext.training import module as training_module
from geoconvnext.training import progress
from geoconvnext.training.checkpoints import load_checkpoint
from geoconvnext.training.module import BuildingTraining
from geoconvnext.training.validation import Tally

SIZE, GSD_M = 96, 0.3


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def calibrated(monkeypatch):
    """Calls of `calibrate`, which tests of its own."""
    calls = []

    def calibrate(path, tile_sets, *, placement):
        calls.append((path, tile_sets))
        return SimpleNamespace(describe=lambda: iter(["calibrated"]))

    monkeypatch.setattr(module, "calibrate", calibrate)
    return calls


def write_tile(folder, name, place, *houses, licence="CC0"):
    """Add a tile of bright houses (column, row, columns, rows) on noisy ground, `place` tiles to the east."""
    rng = np.random.default_rng(place)
    image = rng.integers(20, 80, (3, SIZE, SIZE)).astype(np.uint8)
    transform = Affine(GSD_M, 0, 400_000 + place * SIZE * GSD_M, 0, -GSD_M, 5_800_000)
    polygons = []
    for column, row, columns, rows in houses:
        image[:, row : row + rows, column : column + columns] += 150
        polygons.append(box(*(transform @ (column, row + rows)), *(transform @ (column + columns, row))))
    record = TileRecord(
        name, f"{name}.tif", GSD_M, separate=True, building_share=0.1, licence=licence, buildings=len(houses)
    )
    TileFolder(folder).write(
        record, image, polygons, np.ones((SIZE, SIZE), bool), transform=transform, crs="EPSG:32633"
    )


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Tile sets `town` and `village`, side by side."""
    root = tmp_path_factory.mktemp("tiles")
    write_tile(root / "town", "a", 0, (5, 5, 40, 30), (55, 50, 30, 30))
    write_tile(root / "town", "b", 1, (20, 10, 20, 50), (60, 30, 25, 25), licence="CC BY 4.0")
    write_tile(root / "village", "c", 2, (10, 40, 40, 40), (60, 8, 20, 24))
    return root


@pytest.fixture
def settings(drawn_settings, monkeypatch):
    """Configuration values of a run of 5 steps, validated every 2, without pictures and report."""
    monkeypatch.setattr(module, "write_report", lambda *_: None)
    monkeypatch.setattr(module, "Showcase", Undrawn)
    return drawn_settings


class Undrawn(pl.Callback):
    best = worst = ()

    def __init__(self, *_):
        pass


@pytest.fixture
def drawn_settings(tiles, tmp_path):
    """Those, with pictures and report."""
    return {
        "output": tmp_path / "run",
        "precision": "32-true",
        "val_every_steps": 2,
        "net": {"encoder": "convnext_atto", "decoder_channels": 16, "scale": 2, "drop_path": 0.0},
        "data": {
            "train": [{"path": tiles / "town"}],
            "val": [tiles / "village"],
            "samples": [{"scale": 2, "size": 64}],
            "workers": 0,
        },
        "optim": {
            "steps": 5,
            "batch_size": 2,
            "warmup_steps": 1,
            "optimizer": "adamw",
            "learning_rate": 1e-3,
        },
    }


def config(settings, **optim):
    return TrainConfig.model_validate({**settings, "optim": {**settings["optim"], **optim}})


def last(output):
    return load_checkpoint(output / "checkpoints" / "last.ckpt")


def logged(output, name="train/loss"):
    """Values of a metric by step, from the log of a run."""
    with (output / "logs" / "metrics.csv").open() as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row[name]}


def test_a_run_from_tiles_to_weights(drawn_settings, tiles, calibrated, monkeypatch, capfd, caplog, recwarn):
    monkeypatch.setattr(progress, "SAY_EVERY_S", math.inf)  # this machine may be slow
    output = drawn_settings["output"]
    path = train(config(drawn_settings))
    assert path == output / "model.safetensors"
    net, info = load_weights(path)
    assert (info.spec.encoder, info.spec.scale, info.gsd_range_m) == ("convnext_atto", 2, (0.3, 0.5))
    assert (info.training_data, info.licence) == ("town x2 tiles", "CC BY 4.0; CC0")
    assert info.scores["village"]["iou"] == pytest.approx(max(logged(output, "val/iou").values()), abs=0.01)
    assert calibrated == [(path, [tiles / "village"])]
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 64, 64))["body"].shape == (1, 1, 128, 128)
    # The run ends with a validation, in the middle of what would be the third interval.
    assert list(logged(output)) == list(logged(output, "val/iou_village")) == [2, 4, 5]
    assert last(output).step == 5
    assert sorted(file.name for file in (output / "pictures").iterdir()) == [
        f"step_{step:06d}.png" for step in (2, 4, 5)
    ]
    assert "village" in (output / "report.html").read_text()
    assert list((output / "logs").glob("events.out.tfevents.*"))
    check_what_is_said(capfd.readouterr(), output, caplog, recwarn)


def check_what_is_said(said, output, caplog, recwarn):
    lines = said.out.splitlines()
    assert lines[0].startswith("device: CPU (1 threads), 32-true")
    assert lines[1].startswith("network: convnext_atto, fpn, scale 2, 3.")
    assert lines[2].endswith("town, 2 tiles")
    assert lines[3].endswith("village, 1 tiles, 4 samples")
    assert lines[4:6] == ["steps: 0 to 5, 2 images each", f"output: {output}"]
    assert [line.split("  ")[0] for line in lines[6:13]] == [
        *("step 2/5", "step 2", "step 4/5", "step 4", "step 5/5", "step 5"),
        "best weights",
    ]
    assert lines[13:] == [
        "calibrated",
        f"weights: {output}/model.safetensors",
        f"report: {output}/report.html",
    ]
    assert said.err == ""
    assert not [record for record in caplog.records if record.name.startswith("lightning")]
    assert not [warning for warning in recwarn if "lightning" in warning.filename]


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
import torch
import geoconvnext.train
from geoconvnext.config import read_config
from geoconvnext.training.module import BuildingTraining

torch.set_num_threads(1)
step = BuildingTraining.training_step

def dying(self, batch, index):
    if self.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)

BuildingTraining.training_step = dying
geoconvnext.train.train(read_config(Path(sys.argv[1])))
"""


def write_config(settings, path, **optim):
    path.write_text(yaml.safe_dump(config(settings, **optim).model_dump(mode="json", exclude_none=True)))
    return path


def run(command, **environment):
    """Run a command to its end; returns its exit code and what it said. Nothing of it is left over."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True, **pipes)
    try:
        said, _ = process.communicate(timeout=600)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def assert_same_state(found, expected, *, atol=1e-6):
    assert found.step == expected.step
    for name, value in expected.weights.items():
        torch.testing.assert_close(found.weights[name], value, rtol=0, atol=atol, msg=name)


def test_a_run_killed_between_validations_ends_as_if_it_had_not_been(drawn_settings, tmp_path, listing):
    output, settings = drawn_settings["output"], {**drawn_settings, "val_every_steps": 3}
    settings["net"]["drop_path"] = 0.5
    optim = {"steps": 8, "optimizer": "muon", "accumulate": 2}
    code, said = run(
        [sys.executable, "-c", KILLED_RUN, write_config(settings, tmp_path / "run.yaml", **optim)]
    )
    assert code == -signal.SIGKILL, said
    assert last(output).step == 3
    assert not (output / "model.safetensors").exists()
    train(config(settings, **optim), resume=True)
    resumed, losses = last(output), logged(output)
    files = listing(output)
    shutil.move(output, tmp_path / "resumed")
    train(config(settings, **optim))
    assert list(losses) == [3, 6, 8]
    assert losses == pytest.approx(logged(output), rel=1e-5)
    assert logged(tmp_path / "resumed", "val/iou") == pytest.approx(logged(output, "val/iou"), abs=1e-4)
    assert_same_state(resumed, last(output))
    # TensorBoard alone writes a file for each part.
    assert [name for name in files if "tfevents" not in name] == [
        name for name in listing(output) if "tfevents" not in name
    ]


def test_two_processes_are_one_with_twice_the_batch(settings, tmp_path):
    settings["val_every_steps"], settings["loss"] = 1, {"auxiliary": 0}  # its BatchNorm is not shared on CPUs
    settings["data"]["samples"][0]["size"] = SIZE  # one validation sample: the second process has none
    output, optim = settings["output"], {"steps": 3}
    path = write_config(settings, tmp_path / "run.yaml", **optim)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    code, said = run([*torchrun, "-m", "geoconvnext", "train", path], OMP_NUM_THREADS="1")
    assert code == 0, said
    assert "device: 2 x CPU" in said
    assert "steps: 0 to 3, 4 images each" in said
    assert said.count("best weights") == 1
    assert (output / "model.safetensors").exists()
    shutil.move(output, tmp_path / "two")
    train(config(settings, **optim, batch_size=4))
    assert logged(tmp_path / "two") == pytest.approx(logged(output), rel=1e-5)
    assert logged(tmp_path / "two", "val/iou") == pytest.approx(logged(output, "val/iou"), abs=1e-3)
    assert_same_state(last(tmp_path / "two"), last(output), atol=5e-5)


def test_the_best_weights_are_kept_and_the_last_state_too(settings, monkeypatch):
    scores, averages = iter([0.5, 0.4, float("nan"), 0.3]), []

    def mean_scores(_self):
        return dict.fromkeys(("iou", "f1", "precision", "recall"), next(scores))

    monkeypatch.setattr(module, "ProgressLines", lambda *_, **__: pl.Callback())
    monkeypatch.setattr(Tally, "mean_scores", mean_scores)
    update = training_module.update_average

    def listening(average, *arguments, **options):
        update(average, *arguments, **options)
        averages.append({name: value.clone() for name, value in average.state_dict().items()})

    monkeypatch.setattr(training_module, "update_average", listening)
    net, _ = load_weights(train(config(settings, steps=7)))
    assert (last(settings["output"]).step, last(settings["output"]).best) == (7, 0.5)
    for name, value in net.state_dict().items():
        assert torch.equal(value.bfloat16(), averages[1][name].bfloat16()), name
    final = last(settings["output"]).weights
    assert all(torch.equal(final[f"average.{name}"], value) for name, value in averages[-1].items())


def test_a_finished_run_resumes_to_the_same_weights(settings):
    path = train(config(settings, steps=2))
    before = path.read_bytes()
    path.unlink()
    assert train(config(settings, steps=2), resume=True) == path
    assert path.read_bytes() == before


def test_a_run_is_resumed_with_other_settings(settings, capsys):
    train(config(settings, steps=2))
    settings["val_every_steps"] = 4
    train(config(settings, steps=4, learning_rate=1e-6, weight_decay=0, schedule="linear"), resume=True)
    assert "steps: 2 to 4" in capsys.readouterr().out
    assert logged(settings["output"], "learning_rate")[4] == pytest.approx(1e-6 / 3)


def test_nothing_to_resume_from(settings, capsys):
    train(config(settings, steps=1), resume=True)
    assert "to resume from: starting at step 0" in capsys.readouterr().out
    assert last(settings["output"]).step == 1


def run_of(settings, content=b""):
    path = settings["output"] / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_run_is_not_overwritten(settings):
    path = run_of(settings)
    with pytest.raises(ConfigError, match=r"run has a run already .*--resume, or name another output"):
        train(config(settings))
    assert path.read_bytes() == b""


def test_a_damaged_checkpoint(settings):
    run_of(settings, b"half of a checkp")
    with pytest.raises(WeightsError, match=r"checkpoint .*last.ckpt is damaged"):
        train(config(settings), resume=True)


def test_a_checkpoint_of_another_network(settings):
    train(config(settings, steps=1))
    settings["net"]["decoder_channels"] = 32
    with pytest.raises(ConfigError, match="holds another network"):
        train(config(settings), resume=True)
    assert last(settings["output"]).step == 1


def test_an_output_that_cannot_be(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings["output"] = tmp_path / "file" / "run"
    with pytest.raises(OutputError, match="name another output"):
        train(config(settings))


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_missing_tile_set_is_told_before_any_work(settings, tmp_path, monkeypatch, part):
    monkeypatch.setattr(module, "build_net", lambda _spec: pytest.fail("built a network first"))
    settings["data"][part] = {"train": [{"path": tmp_path / "none"}], "val": [tmp_path / "none"]}[part]
    with pytest.raises(LabelError, match=r"no tile set at .*none"):
        train(config(settings))


def test_a_finer_scale_than_the_network_has(settings):
    settings["data"]["samples"] = [{"scale": 2, "size": 64}, {"scale": 4, "size": 64}]
    with pytest.raises(ConfigError, match=r"data.samples asks for scale 4 .* set net.scale to 4"):
        train(config(settings))


def test_damaged_tiles_are_counted_and_left_out(settings, tiles, tmp_path, capfd):
    shutil.copytree(tiles / "town", tmp_path / "bad")
    (tmp_path / "bad" / "b.tif").write_bytes(b"")
    settings["data"] |= {"train": [{"path": tmp_path / "bad"}], "val": [tmp_path / "bad"]}
    train(config(settings, steps=2))
    said = capfd.readouterr()
    assert "warning: 2 damaged tiles are left out, such as bad/b" in said.out
    assert "left out: tile b of" in said.err


@pytest.mark.parametrize("workers", [0, 1])
def test_a_validation_tile_that_breaks_in_a_run_is_named(settings, tiles, tmp_path, monkeypatch, workers):
    shutil.copytree(tiles / "village", tmp_path / "soon")
    settings["data"] |= {"val": [tmp_path / "soon"], "workers": workers}
    breaking = lambda _: (tmp_path / "soon" / "c.tif").write_bytes(b"")  # noqa: E731
    monkeypatch.setattr(BuildingTraining, "on_train_start", breaking)
    with pytest.raises(LabelError, match=r"^tile c of .*soon cannot be read") as error:
        train(config(settings))
    assert "Traceback" not in str(error.value)


def test_leaks_are_told(settings, tiles, capsys):
    settings["data"]["val"] = [tiles / "village", tiles / "town"]
    train(config(settings, steps=1))
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "warning: 2 pairs of a training and a validation tile show the same, such as"
    )


def test_a_validation_set_without_buildings_does_not_count(settings, tiles, tmp_path, capsys):
    write_tile(tmp_path / "desert", "d", 9)
    settings["data"]["val"] = [tmp_path / "desert", tiles / "village"]
    info = read_info(train(config(settings, steps=2)))
    assert "desert IoU - F1 -, village IoU 0." in capsys.readouterr().out
    assert logged(settings["output"], "val/iou") == logged(settings["output"], "val/iou_village")
    assert info.scores.keys() == {"village"}


def test_an_infinite_loss_stops_the_run(settings, monkeypatch):
    def broken(*arguments):
        broken.batches += 1
        parts = building_loss(*arguments)
        return {name: part * (torch.inf if broken.batches == 6 else 1) for name, part in parts.items()}

    broken.batches = 0
    monkeypatch.setattr(training_module, "building_loss", broken)
    message = r"the loss became inf in step 3; lower optim.learning_rate and go on from the last validation"
    with pytest.raises(GeoconvnextError, match=message):
        train(config(settings, accumulate=2))
    assert last(settings["output"]).step == 2
    assert not (settings["output"] / "model.safetensors").exists()


def test_batches_that_are_too_large(settings, monkeypatch):
    def refuse(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(training_module, "building_loss", refuse)
    with pytest.raises(ConfigError, match=r"optim.batch_size 2 do not fit .* double optim.accumulate"):
        train(config(settings))


def test_weights_that_cannot_be_calibrated_are_kept(settings, monkeypatch, capsys):
    def refuse(*_, **__):
        raise LabelError("no tile with separate buildings")

    monkeypatch.setattr(module, "calibrate", refuse)
    load_weights(train(config(settings, steps=1)))
    assert (
        "warning: the confidence is not calibrated: no tile with separate buildings"
        in capsys.readouterr().out
    )


def test_scales_and_the_image_branch_are_trained_together(settings):
    samples = [{"scale": 1, "size": 64, "gsd_range_m": (0.6, 0.6)}, {"scale": 2, "size": 64}]
    settings["data"]["samples"], settings["loss"] = samples, {"image": 0.5, "affinity": 0.1}
    settings["data"]["samples"][0]["gsd_range_m"] = (0.6, 1.0)
    info = read_info(train(config(settings, steps=4)))
    assert [(view.scale, view.gsd_range_m) for view in info.views] == [(1, (0.6, 1.0)), (2, (0.3, 0.5))]
    assert set(logged(settings["output"], "train/affinity")) == {2, 4}
    state = last(settings["output"])
    names = state.optimizer.keys()
    assert {
        "net.head.outputs.0.weight",
        "net.head.outputs.1.weight",
        "image_branch.outputs.1.weight",
    } <= names


def test_a_run_starts_from_other_weights_with_their_normalisation(settings, tmp_path, monkeypatch, capsys):
    settings["net"] |= {"mean": (90, 91, 92), "std": (40, 41, 42)}
    path = train(config(settings, steps=1))
    start = tmp_path / "start.safetensors"
    shutil.move(path, start)
    shutil.rmtree(settings["output"])
    monkeypatch.setattr(module, "default_weights_path", lambda: start)
    settings["net"] |= {"mean": None, "std": None, "start_from": "default"}
    began = []
    monkeypatch.setattr(
        BuildingTraining, "on_train_start", lambda self: began.append(self.state_dict()["net.mean"])
    )
    train(config(settings, steps=1))
    assert f"starting from {start}; fresh: nothing" in capsys.readouterr().out
    assert began[0].flatten().tolist() == [90, 91, 92]


def test_the_loss_falls(settings, monkeypatch):
    settings["val_every_steps"] = 15
    train(config(settings, steps=30, ema_decay=0.0))
    losses = logged(settings["output"])
    assert losses[30] < 0.9 * losses[15]
    assert logged(settings["output"], "val/iou")[30] > 0.5
