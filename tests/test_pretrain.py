import json

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

import geoconvnext.pretrain as module
from geoconvnext.config import PretrainConfig
from geoconvnext.errors import ConfigError, GeoconvnextError, OutputError, SceneError, WeightsError
from geoconvnext.model.checkpoint import load_encoder_checkpoint, pretrained_normalisation
from geoconvnext.model.encoder import ConvNeXtEncoder
from geoconvnext.pretrain import pretrain
from geoconvnext.training.masked import MaskedTraining


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def scene(write_scene):
    """Broad stripes, so that what is hidden can be guessed."""
    rows, cols = np.mgrid[:160, :160]
    stripes = 120 + 100 * np.sin(rows / 9) * np.cos(cols / 40)
    return write_scene(np.stack([stripes, stripes + 20, 230 - stripes]).astype(np.uint8))


@pytest.fixture
def settings(tmp_path, scene):
    """Configuration values of a run of 5 steps, saved every 2."""
    return {
        "output": tmp_path / "run",
        "scenes": [str(scene)],
        "encoder": "convnextv2_atto",
        "gsd_range_m": (0.5, 0.6),
        "sample_size": 64,
        "decoder_channels": 16,
        "workers": 0,
        "save_every_steps": 2,
        "steps": 5,
        "batch_size": 2,
        "base_learning_rate": 0.05,
        "warmup_steps": 1,
    }


def run(settings, *, resume=False, **changes):
    config = PretrainConfig.model_validate({**settings, **changes})
    return pretrain(config, config.scenes, resume=resume)


def content(path):
    """Weights and metadata of an encoder's file."""
    with safe_open(path, framework="pt") as file:
        names = file.keys()  # it is no dict
        return {name: file.get_tensor(name) for name in names}, file.metadata()


def test_a_run_from_scenes_to_an_encoder(settings, capsys):
    path = run(settings)
    output = settings["output"]
    assert path == output / "encoder.safetensors"
    state, _ = content(path)
    encoder = ConvNeXtEncoder("convnextv2_atto")
    assert list(state) == sorted(encoder.state_dict())
    load_encoder_checkpoint(encoder, str(path))
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    trained = torch.load(output / "checkpoints" / "last.ckpt", weights_only=True)
    assert trained["step"] == 5
    assert all(torch.equal(trained["weights"][f"encoder.{name}"], value) for name, value in state.items())
    *said, last = capsys.readouterr().out.splitlines()
    assert said == [
        "scenes: 1, 0.0256 million pixels; 0 skipped",
        "device: cpu, 32-true",
        "steps: 0 to 5, 2 images each",
    ]
    assert last.startswith("step 5/5  loss ")


def test_the_encoder_tells_what_it_was_made_from(settings, scene):
    path = run(settings, steps=1, bands=2, mean=(90, 100), std=(30, 40))
    _, metadata = content(path)
    assert metadata["geoconvnext-encoder"] == "convnextv2_atto"
    assert metadata["bands"] == "2"
    assert json.loads(metadata["scenes"]) == [scene.name]
    assert "licences" in metadata["licence"]
    normalisation = pretrained_normalisation("convnextv2_atto", str(path), bands=2)
    assert normalisation == {"mean": (90.0, 100.0), "std": (30.0, 40.0)}


def test_pictures_show_original_mask_and_reconstruction(settings):
    run(settings)
    folder = settings["output"] / "pictures"
    assert [path.name for path in sorted(folder.iterdir())] == [
        "step_000002.png", "step_000004.png", "step_000005.png"
    ]  # fmt: skip
    sheet = cv2.imread(str(folder / "step_000005.png")).astype(int)
    assert sheet.shape == (6 * 68, 3 * 68, 3)
    original, masked, guess = (sheet[:64, 68 * i : 68 * i + 64] for i in range(3))
    hidden = (masked == 128).all(-1)
    assert hidden.sum() == 2 * 32 * 32
    assert (original[~hidden] == masked[~hidden]).all()
    assert (original[~hidden] == guess[~hidden]).all()
    assert (original[hidden] != guess[hidden]).any()


@pytest.mark.parametrize("encoder", ["convnextv2_atto", "convnext_atto"])
def test_what_is_hidden_is_learned(settings, write_scene, monkeypatch, encoder):
    """Rings look the same however they are turned, so each sample is one picture, hidden in other parts."""
    radius = np.hypot(*(np.mgrid[:64, :64] - 31.5))
    rings = (120 + 100 * np.cos(radius / 6)).astype(np.uint8)
    settings["scenes"] = [str(write_scene(np.stack([rings, rings + 20, 230 - rings]), "rings.tif"))]
    losses = []
    monkeypatch.setattr(module._Progress, "add", lambda _self, _step, loss: losses.append(loss))
    settings |= {"gsd_range_m": (0.5, 0.5), "base_learning_rate": 0.2, "save_every_steps": 100}
    run(settings, encoder=encoder, steps=24, batch_size=4)
    assert len(losses) == 24
    assert sum(losses[:3]) / 3 > 0.95  # nothing known: the mean is as good a guess as any
    assert sum(losses[-3:]) / 3 < 0.85


class Killed(BaseException):
    pass


def kill_at(monkeypatch, last):
    step = MaskedTraining.make_step

    def dying(self, batch):
        if self.step == last:
            raise Killed
        return step(self, batch)

    monkeypatch.setattr(MaskedTraining, "make_step", dying)


def test_a_killed_run_ends_as_the_uninterrupted_one(settings, tmp_path, monkeypatch, capsys):
    expected = run(settings, output=tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, 3)
        with pytest.raises(Killed):
            run(settings)
    assert not (settings["output"] / "encoder.safetensors").exists()
    capsys.readouterr()
    path = run(settings, resume=True)
    assert "steps: 2 to 5" in capsys.readouterr().out
    check_same(path, expected)
    path.unlink()
    check_same(run(settings, resume=True), expected)  # a finished run can be finished again


def check_same(path, expected):
    (weights, metadata), (others, other_metadata) = content(path), content(expected)
    assert metadata == other_metadata
    assert weights.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in weights.items())


def test_an_interrupted_run_tells_how_to_go_on(settings, monkeypatch, capsys):
    def interrupt(_self, _batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(MaskedTraining, "make_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    assert "stopped at step 0; --resume goes on" in capsys.readouterr().out


def test_mixed_precision_learns_alike(settings, tmp_path):
    exact, _ = content(run(settings, output=tmp_path / "exact", steps=3))
    rough, _ = content(run(settings, output=tmp_path / "rough", steps=3, precision="bf16-mixed"))
    for name, value in exact.items():
        assert rough[name].dtype == torch.float32
        assert torch.cosine_similarity(value.flatten(), rough[name].flatten(), dim=0) > 0.9
    assert any(not torch.equal(value, rough[name]) for name, value in exact.items())


def test_learning_rate_and_decay(settings, monkeypatch):
    rates = []
    step = MaskedTraining.make_step

    def listening(self, batch):
        loss = step(self, batch)
        others, decayed = self.optimizer.param_groups
        rates.append(decayed["lr"])
        assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0)
        assert decayed["lr"] == others["lr"]
        assert decayed["betas"] == (0.9, 0.95)
        kinds = {id(p) for p in others["params"]}
        net = self.net.module
        assert {id(net.token), id(net.block.mlp.grn.weight), id(net.block.mlp.grn.bias)} <= kinds
        return loss

    monkeypatch.setattr(MaskedTraining, "make_step", listening)
    run(settings, steps=6, warmup_steps=3, batch_size=4, base_learning_rate=0.064)
    peak = 0.064 * 4 / 256
    assert rates[:4] == pytest.approx([peak / 3, 2 * peak / 3, peak, peak])
    assert peak > rates[4] > rates[5] > 0


def test_a_run_is_not_overwritten(settings):
    run(settings, steps=1)
    with pytest.raises(ConfigError, match=r"run has a run already .*--resume, or name another output"):
        run(settings)


def test_nothing_to_resume_from(settings, capsys):
    run(settings, steps=1, resume=True)
    assert "to resume from: starting at step 0" in capsys.readouterr().out


def test_a_run_of_another_network(settings):
    run(settings, steps=1)
    with pytest.raises(ConfigError, match="holds another network"):
        run(settings, decoder_channels=32, resume=True)


def test_a_damaged_checkpoint(settings):
    last = settings["output"] / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"half of a checkp")
    with pytest.raises(WeightsError, match=r"last.ckpt is damaged"):
        run(settings, resume=True)


def test_an_infinite_loss_stops_the_run(settings, monkeypatch):
    monkeypatch.setattr("geoconvnext.training.masked.masked_loss", lambda *_: torch.tensor(torch.inf))
    with pytest.raises(GeoconvnextError, match="the loss became inf in step 1; lower base_learning_rate"):
        run(settings)


def test_scenes_that_cannot_be_used(settings, scene, tmp_path, capsys):
    missing = str(tmp_path / "missing.tif")
    run(settings, steps=1, scenes=[missing, str(scene)])
    said = capsys.readouterr()
    assert f"skipped: {missing}: not a raster" in said.err
    assert "scenes: 1, 0.0256 million pixels; 1 skipped" in said.out
    with pytest.raises(SceneError, match="none of 1 can be used"):
        run(settings, scenes=[missing], output=tmp_path / "other")


def test_bands_need_their_normalisation(settings):
    with pytest.raises(ConfigError, match="as many values of mean and std"):
        run(settings, bands=5)


def test_an_output_that_cannot_be(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name another output"):
        run(settings, output=tmp_path / "file" / "run")
