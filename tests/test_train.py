import csv
import shutil

import pytest
import torch

import geoconvnext.train as module
from geoconvnext.config import TrainConfig
from geoconvnext.data.tiles import MANIFEST
from geoconvnext.errors import ConfigError, GeoconvnextError, LabelError, OutputError, WeightsError
from geoconvnext.model.losses import building_loss
from geoconvnext.model.weights import load_weights
from geoconvnext.synth import write_synthetic
from geoconvnext.tile import TileOptions, tile_scene
from geoconvnext.train import train


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """A tile set of two small synthetic scenes, of different licences."""
    root = tmp_path_factory.mktemp("data")
    for seed, licence in ((1, "CC0"), (2, "CC BY 4.0")):
        made = write_synthetic(root / f"s{seed}.tif", seed=seed, height=96, width=96, gsd_m=0.3)
        tile_scene(made.scene, made.footprints, root / "town", TileOptions(licence=licence))
    return root / "town"


@pytest.fixture
def settings(tiles, tmp_path):
    """Configuration values of a run of 5 steps, validated every 2."""
    return {
        "output": tmp_path / "run",
        "precision": "32-true",
        "val_every_steps": 2,
        "net": {"encoder": "convnext_atto", "decoder_channels": 16, "scale": 2, "drop_path": 0.0},
        "data": {"train": [{"path": tiles}], "val": [tiles], "sample_size": 64, "workers": 0},
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


def step_of(output, name="last"):
    checkpoint = torch.load(output / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return checkpoint["global_step"]


def logged(path):
    """Steps done at each validation, from the log of a run."""
    with (path / "metrics.csv").open() as file:
        return [int(row["step"]) + 1 for row in csv.DictReader(file) if row["val/iou"]]


def test_a_run_from_tiles_to_weights(settings, capfd, caplog, recwarn):
    output = settings["output"]
    path = train(config(settings))
    assert path == output / "model.safetensors"
    net, info = load_weights(path)
    assert (info.spec.encoder, info.spec.scale, info.gsd_range_m) == ("convnext_atto", 2, (0.3, 0.5))
    assert info.training_data == "town x2 tiles"
    assert info.licence == "CC BY 4.0; CC0"
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 64, 64))["body"].shape == (1, 1, 128, 128)
    # The run ends with a validation, in the middle of what would be the third epoch.
    assert logged(output / "logs") == [2, 4, 5]
    assert step_of(output) == 5
    check_weights_are_the_best(output, net)
    check_only_progress_is_said(capfd.readouterr(), caplog, recwarn)


def check_weights_are_the_best(output, net):
    best = torch.load(output / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    for name, value in net.state_dict().items():
        assert torch.equal(value.to(torch.bfloat16), best[f"net.{name}"].to(torch.bfloat16)), name


def check_only_progress_is_said(said, caplog, recwarn):
    lines = said.out.splitlines()
    assert lines[0] == "training on cpu, 32-true: steps 0 to 5"
    assert [line.split("  ")[0] for line in lines[1:]] == ["step 2", "step 4", "step 5"]
    assert "iou_town 0." in lines[1]
    assert said.err == ""
    assert not [record for record in caplog.records if record.name.startswith("lightning")]
    assert not [warning for warning in recwarn if "lightning" in warning.filename]


def test_progress_lines_tell_loss_speed_and_time_left(capsys):
    class Trainer:
        global_step = 0

    progress = module.ProgressLines(steps=100, batch_size=4, every=5)
    for step in range(1, 11):
        Trainer.global_step = step
        progress.on_train_batch_end(Trainer, None, {"loss": torch.tensor(step / 10)})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("step 5/100  loss 0.3000  ")
    assert second.startswith("step 10/100  loss 0.8000  ")
    assert "images/s" in second
    assert "min left" in second


class Killed(BaseException):
    pass


@pytest.fixture
def kill_at(monkeypatch):
    """Stop a run at a step as a kill would: nothing is saved on the way out."""
    step = module.BuildingTraining.training_step

    def arrange(last):
        def dying(self, batch, index):
            if self.global_step == last:
                raise Killed
            return step(self, batch, index)

        monkeypatch.setattr(module.BuildingTraining, "training_step", dying)

    return arrange


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_resumes_from_its_last_validation(settings, kill_at, capsys, optimizer):
    output, settings["val_every_steps"] = settings["output"], 3
    kill_at(4)
    with pytest.raises(Killed):
        train(config(settings, steps=8, optimizer=optimizer))
    assert step_of(output) == 3
    assert not (output / "model.safetensors").exists()
    kill_at(None)
    capsys.readouterr()
    train(config(settings, steps=8, optimizer=optimizer), resume=True)
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "training on cpu, 32-true: steps 3 to 8",
        "step 6",
        "step 8",
    ]
    assert step_of(output) == 8
    # The log of the first part is kept beside that of the second.
    assert logged(output / "logs") == [3]
    assert len(logged(output / "logs" / "from_step_3")) == 2
    load_weights(output / "model.safetensors")


def test_the_last_checkpoint_is_kept_where_the_score_falls(settings, monkeypatch):
    scores = iter([0.5, 0.4, 0.3])
    monkeypatch.setattr(
        module.BuildingTraining, "on_validation_epoch_end", lambda self: self.log("val/iou", next(scores))
    )
    train(config(settings))
    assert step_of(settings["output"], "best") == 2
    assert step_of(settings["output"], "last") == 5


def test_a_finished_run_resumes_to_the_same_weights(settings):
    path = train(config(settings, steps=2))
    before = path.read_bytes()
    path.unlink()
    assert train(config(settings, steps=2), resume=True) == path
    assert path.read_bytes() == before


def test_nothing_to_resume_from(settings, capsys):
    train(config(settings, steps=1), resume=True)
    assert "to resume from: starting at step 0" in capsys.readouterr().out
    assert step_of(settings["output"]) == 1


def run_of(settings, content=b""):
    last = settings["output"] / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.write_bytes(content)
    return last


def test_a_run_is_not_overwritten(settings):
    last = run_of(settings)
    with pytest.raises(ConfigError, match=r"run has a run already .*--resume, or name another output"):
        train(config(settings))
    assert last.read_bytes() == b""


def test_a_damaged_checkpoint(settings):
    run_of(settings, b"half of a checkp")
    with pytest.raises(WeightsError, match=r"checkpoint .*last.ckpt is damaged"):
        train(config(settings), resume=True)


def test_a_checkpoint_of_another_network(settings):
    torch.save({"state_dict": {"net.mean": torch.zeros(3)}, "global_step": 7}, last := run_of(settings))
    with pytest.raises(ConfigError, match="holds another network"):
        train(config(settings), resume=True)
    assert last.exists()


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


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_tile_is_named(settings, tiles, tmp_path, workers):
    shutil.copytree(tiles, tmp_path / "bad")
    for path in (tmp_path / "bad").glob("*_labels.tif"):
        path.write_bytes(b"")
    settings["data"] |= {"train": [{"path": tmp_path / "bad"}], "workers": workers}
    with pytest.raises(LabelError, match=r"^tile s\d_r0_c0 of .*bad cannot be read") as error:
        train(config(settings))
    assert "Traceback" not in str(error.value)


def test_an_infinite_loss_stops_the_run(settings, monkeypatch):
    def broken(*arguments):
        return {name: part * torch.inf for name, part in building_loss(*arguments).items()}

    monkeypatch.setattr(module, "building_loss", broken)
    with pytest.raises(GeoconvnextError, match=r"the loss became inf at step 0; lower optim.learning_rate"):
        train(config(settings))
    assert not (settings["output"] / "model.safetensors").exists()


def test_the_loss_falls_on_a_single_tile(settings, tiles, tmp_path, monkeypatch):
    shutil.copytree(tiles, tmp_path / "one")
    lines = (tiles / MANIFEST).read_text().splitlines()
    (tmp_path / "one" / MANIFEST).write_text("\n".join(lines[:2]) + "\n")
    settings["data"] |= {"train": [{"path": tmp_path / "one"}], "val": [tmp_path / "one"]}
    settings["val_every_steps"] = 100
    losses = []
    step = module.BuildingTraining.training_step

    def listening(self, batch, index):
        loss = step(self, batch, index)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(module.BuildingTraining, "training_step", listening)
    train(config(settings, steps=30, ema_decay=0.0))
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_learning_rate_warms_up_and_decays(settings):
    training = module.BuildingTraining(
        torch.nn.Linear(2, 2), module.LossWeights(), config(settings, steps=100, warmup_steps=10).optim
    )
    factors = [training._learning_rate_factor(step) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0.0)
