"""Checkpoints in every published format give the stage features of timm's own model."""

import argparse
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import timm.models._hub
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor, nn

from geoconvnext.errors import WeightsError
from geoconvnext.model.checkpoint import load_encoder_checkpoint, pretrained_normalisation
from geoconvnext.model.encoder import ConvNeXtEncoder

State = dict[str, Tensor]
V1, V2 = "convnext_atto", "convnextv2_atto"


@cache
def timm_model(name: str) -> nn.Module:
    """A whole classifier whose weights all differ from each other and from any fresh start."""
    torch.manual_seed(1)
    arguments: dict[str, Any] = {} if "v2" in name else {"ls_init_value": 1.0}
    model = timm.create_model(name, num_classes=7, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model.eval()


def timm_features(model: nn.Module, image: Tensor) -> list[Tensor]:
    assert isinstance(model.stages, nn.Sequential)
    assert isinstance(model.stem, nn.Module)
    features, stages = model.stem(image), []
    for stage in model.stages:
        features = stage(features)
        stages.append(features)
    return stages


AUTHORS_NAMES = {
    r"^stem\.": "downsample_layers.0.",
    r"^stages\.(\d)\.downsample\.": r"downsample_layers.\1.",
    r"^stages\.(\d)\.blocks\.(\d+)\.": r"stages.\1.\2.",
    r"mlp\.grn\.weight": "grn.gamma",
    r"mlp\.grn\.bias": "grn.beta",
    r"conv_dw": "dwconv",
    r"mlp\.fc": "pwconv",
    r"^head\.norm\.": "norm.",
    r"^head\.fc\.": "head.",
}


def authors_form(name: str, value: Tensor) -> tuple[str, Tensor]:
    """One weight as both ConvNeXt repositories keep it: linear layers, GRN of shape (1, 1, 1, 4C)."""
    for pattern, replacement in AUTHORS_NAMES.items():
        name = re.sub(pattern, replacement, name)
    if "grn" in name:
        return name, value.view(1, 1, 1, -1)
    return name, value[:, :, 0, 0] if "pwconv" in name and value.ndim == 4 else value


def authors_state(model: nn.Module) -> State:
    return dict(authors_form(name, value) for name, value in model.state_dict().items())


def backbone_state(model: nn.Module) -> State:
    trunk = {n: v for n, v in authors_state(model).items() if not n.startswith(("norm.", "head."))}
    norms = {f"norm{i}.{kind}": torch.ones(40 * 2**i) for i in range(4) for kind in ("weight", "bias")}
    heads = {"decode_head.conv_seg.weight": torch.ones(150, 512, 1, 1)}
    return {f"backbone.{name}": value for name, value in {**trunk, **norms}.items()} | heads


def write_authors(model: nn.Module, folder: Path) -> Path:
    torch.save({"model": authors_state(model)}, folder / "official.pth")
    return folder / "official.pth"


def write_authors_training(model: nn.Module, folder: Path) -> Path:
    """A checkpoint of a training with their code: options, epoch and optimiser lie beside the model."""
    content = {
        "model": authors_state(model),
        "args": argparse.Namespace(lr=1e-3),
        "epoch": 3,
        "optimizer": {},
    }
    torch.save(content, folder / "checkpoint-best.pth")
    return folder / "checkpoint-best.pth"


def write_timm(model: nn.Module, folder: Path) -> Path:
    torch.save(model.state_dict(), folder / "timm.pth")
    return folder / "timm.pth"


def write_timm_safetensors(model: nn.Module, folder: Path) -> Path:
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


def write_mmseg(model: nn.Module, folder: Path) -> Path:
    torch.save({"meta": {"epoch": 1}, "state_dict": backbone_state(model)}, folder / "mmseg.pth")
    return folder / "mmseg.pth"


def write_mmseg_1x(model: nn.Module, folder: Path) -> Path:
    state = {
        name.replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv"): value
        for name, value in backbone_state(model).items()
    }
    torch.save({"state_dict": state}, folder / "mmseg1.pth")
    return folder / "mmseg1.pth"


def write_parallel(model: nn.Module, folder: Path) -> Path:
    state = {f"module.{name}": value for name, value in authors_state(model).items()}
    torch.save({"state_dict": state}, folder / "parallel.pth")
    return folder / "parallel.pth"


WRITERS = [
    write_authors,
    write_authors_training,
    write_timm,
    write_timm_safetensors,
    write_mmseg,
    write_mmseg_1x,
    write_parallel,
]


def assert_same_features(encoder: ConvNeXtEncoder, model: nn.Module, image: Tensor) -> None:
    with torch.no_grad():
        ours, theirs = encoder.eval()(image), timm_features(model, image)
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [V1, V2])
@pytest.mark.parametrize("write", WRITERS)
def test_features_equal_timms(name: str, write: Callable[[nn.Module, Path], Path], tmp_path: Path) -> None:
    model, encoder = timm_model(name), ConvNeXtEncoder(name)
    load_encoder_checkpoint(encoder, str(write(model, tmp_path)))
    assert_same_features(encoder, model, torch.randn(1, 3, 64, 96))


def test_linear_layers_stay_linear(tmp_path: Path) -> None:
    """From Tiny on timm has linear layers, as the authors; a trunk without a weight of another size."""
    model, encoder = timm_model("convnext_tiny"), ConvNeXtEncoder("convnext_tiny")
    load_encoder_checkpoint(encoder, str(write_authors(model, tmp_path)))
    assert_same_features(encoder, model, torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize("bands", [1, 2, 4, 8])
def test_other_bands_keep_the_response_to_grey(bands: int, tmp_path: Path) -> None:
    model, encoder = timm_model(V1), ConvNeXtEncoder(V1, bands=bands).eval()
    load_encoder_checkpoint(encoder, str(write_authors(model, tmp_path)))
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        found = encoder(grey.expand(-1, bands, -1, -1))
        expected = timm_features(model, grey.expand(-1, 3, -1, -1))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_more_bands_start_from_the_given_ones(tmp_path: Path) -> None:
    """The fourth band shares the first kernel; the second and third keep theirs."""
    model, encoder = timm_model(V1), ConvNeXtEncoder(V1, bands=4)
    load_encoder_checkpoint(encoder, str(write_authors(model, tmp_path)))
    given, adapted = model.state_dict()["stem.0.weight"], encoder.trunk.state_dict()["stem.0.weight"]
    assert torch.equal(adapted[:, 1:3], given[:, 1:3])
    assert torch.equal(adapted[:, 0], given[:, 0] / 2)
    assert torch.equal(adapted[:, 3], given[:, 0] / 2)


@pytest.mark.parametrize(
    ("made_for", "loaded_into"),
    [("convnext_femto", V1), (V1, "convnext_femto"), (V2, V1), (V1, V2)],
)
def test_wrong_size_is_refused(made_for: str, loaded_into: str, tmp_path: Path) -> None:
    encoder = ConvNeXtEncoder(loaded_into)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    path = write_authors(timm_model(made_for), tmp_path)
    with pytest.raises(WeightsError, match=r"official\.pth .*choose the encoder it was made for"):
        load_encoder_checkpoint(encoder, str(path))
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_missing_weights_are_named(tmp_path: Path) -> None:
    state = authors_state(timm_model(V1))
    del state["stages.2.3.gamma"], state["stages.2.3.dwconv.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"2 missing \(first: stages\.2\.blocks\.3\.conv_dw\.bias\)"):
        load_encoder_checkpoint(ConvNeXtEncoder(V1), str(tmp_path / "part.pth"))


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.marker, "executed"))


def test_code_is_refused_and_not_executed(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    torch.save({"model": authors_state(timm_model(V1)), "extra": Malicious(marker)}, path)
    with pytest.raises(WeightsError, match=r"holds code") as caught:
        load_encoder_checkpoint(ConvNeXtEncoder(V1), str(path))
    assert not marker.exists()
    assert "weights_only" not in str(caught.value)  # torch advises to load it unsafely


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"weights: none, only text\n",
        b"\x80\x02\xff\x00\x81",
        b"PK\x03\x04" + bytes(60),
        b"\x80\x02(K\x01.",
    ],
)
def test_garbage_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="garbage"):
        load_encoder_checkpoint(ConvNeXtEncoder(V1), str(path))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Whatever bytes change, nothing but a WeightsError comes out."""
    encoder, path = ConvNeXtEncoder(V1), tmp_path / "damaged.pth"
    torch.save({"stem.0.weight": torch.zeros(1)}, path)
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for position in torch.randint(len(whole), (8,), generator=generator).tolist():
            damaged[position] = int(torch.randint(256, (1,), generator=generator))
        path.write_bytes(damaged)
        with pytest.raises(WeightsError):
            load_encoder_checkpoint(encoder, str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"epoch": 3}, "holds no ConvNeXt"),
        ({"layer1.0.conv1.weight": torch.zeros(1)}, "holds no ConvNeXt"),
        ({0: torch.zeros(1)}, "holds no ConvNeXt"),
    ],
)
def test_other_contents_are_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=message):
        load_encoder_checkpoint(ConvNeXtEncoder(V1), str(tmp_path / "other.pth"))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no checkpoint at .*none\.pth"):
        load_encoder_checkpoint(ConvNeXtEncoder(V1), str(tmp_path / "none.pth"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub with one model, our made-up one; what is asked of it is listed."""
    asked: list[str] = []
    model = timm.create_model(V1)
    model.load_state_dict(
        {**model.state_dict(), **{n: v for n, v in timm_model(V1).state_dict().items() if "head.fc" not in n}}
    )
    path = write_timm_safetensors(model, tmp_path)

    def download(repo_id: str, **_: Any) -> str:
        asked.append(repo_id)
        return str(path)

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", download)
    return asked


@pytest.mark.parametrize("source", ["hub", "hub:convnext_atto.d2_in1k"])
def test_weights_from_the_hub(source: str, hub: list[str]) -> None:
    encoder = ConvNeXtEncoder(V1)
    load_encoder_checkpoint(encoder, source)
    assert hub == ["timm/convnext_atto.d2_in1k"]
    assert_same_features(encoder, timm_model(V1), torch.randn(1, 3, 64, 96))


def test_weights_from_the_hub_for_other_bands(hub: list[str]) -> None:
    encoder = ConvNeXtEncoder(V1, bands=1)
    load_encoder_checkpoint(encoder, "hub")
    given = timm_model(V1).state_dict()["stem.0.weight"]
    torch.testing.assert_close(encoder.trunk.state_dict()["stem.0.weight"], given.sum(dim=1, keepdim=True))


def test_no_connection_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(**_: Any) -> str:
        raise LocalEntryNotFoundError("Please check your connection. Traceback follows")

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", download)
    url = r"https://huggingface\.co/timm/convnext_atto\.d2_in1k/resolve/main/model\.safetensors"
    with pytest.raises(WeightsError, match=rf"cannot be fetched: .* download {url} and give the path"):
        load_encoder_checkpoint(ConvNeXtEncoder(V1), "hub")


@pytest.mark.parametrize(
    ("encoder", "source", "message"),
    [
        (V1, "hub:convnext_atto.nonsense", r"no weights convnext_atto\.nonsense .*convnext_atto\.d2_in1k"),
        (V1, "hub:nonsense", r"no weights nonsense .*convnext_atto\.d2_in1k"),
        (
            V1,
            "hub:convnext_femto.d1_in1k",
            r"no weights convnext_femto.* for the encoder convnext_atto; it has",
        ),
        ("convnextv2_small", "hub", "no weights convnextv2_small .*it has: none"),
    ],
)
def test_weights_that_the_hub_does_not_have(encoder: str, source: str, message: str) -> None:
    made: Any = SimpleNamespace(name=encoder)
    for ask in (partial(load_encoder_checkpoint, made), partial(pretrained_normalisation, encoder, bands=3)):
        with pytest.raises(WeightsError, match=message):
            ask(source=source)


def test_normalisation_of_published_weights(tmp_path: Path) -> None:
    imagenet = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
    path = str(write_authors(timm_model(V1), tmp_path))
    for source in ("hub", path):
        found = pretrained_normalisation(V1, source, bands=3)
        assert {name: pytest.approx(values) for name, values in found.items()} == imagenet
        assert pretrained_normalisation(V1, source, bands=4) == {}


def write_pretraining(encoder: ConvNeXtEncoder, folder: Path, **metadata: str) -> str:
    path = folder / "encoder.safetensors"
    save_file(encoder.state_dict(), path, metadata={"geoconvnext-encoder": encoder.name, **metadata})
    return str(path)


def test_our_own_pretraining(tmp_path: Path) -> None:
    source, encoder = ConvNeXtEncoder(V2, bands=4), ConvNeXtEncoder(V2, bands=4)
    load_encoder_checkpoint(encoder, write_pretraining(source, tmp_path))
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(("name", "bands"), [(V2, 3), ("convnextv2_femto", 4)])
def test_our_own_pretraining_of_another_network_is_refused(name: str, bands: int, tmp_path: Path) -> None:
    path = write_pretraining(ConvNeXtEncoder(V2, bands=4), tmp_path)
    with pytest.raises(WeightsError, match=rf"pretrained for {V2} with 4 bands, not for {name} with {bands}"):
        load_encoder_checkpoint(ConvNeXtEncoder(name, bands=bands), path)


def test_normalisation_of_our_own_pretraining(tmp_path: Path) -> None:
    encoder = ConvNeXtEncoder(V2, bands=2)
    path = write_pretraining(encoder, tmp_path, normalisation='{"mean": [1.0, 2.0], "std": [3.0, 4.0]}')
    assert pretrained_normalisation(V2, path, bands=2) == {"mean": (1.0, 2.0), "std": (3.0, 4.0)}
    path = write_pretraining(encoder, tmp_path)
    assert pretrained_normalisation(V2, path, bands=3) == {}
