"""Weights files: what is written comes back, what is damaged or foreign is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from geoconvnext.errors import OutputError, WeightsError
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.weights import (
    KEY,
    View,
    WeightsInfo,
    load_weights,
    read_info,
    save_weights,
    start_from,
)

SPEC = NetSpec(
    encoder="convnext_atto",
    decoder_channels=16,
    scale=2,
    mean=(123.675, 116.28, 103.53),
    std=(58.4, 57.1, 57.4),
)
INFO = WeightsInfo(
    spec=SPEC,
    views=(View(scale=1, gsd_range_m=(0.3, 0.6)), View(scale=2, gsd_range_m=(0.6, 1.2))),
    body_threshold=0.45,
    seed_threshold=0.6,
    edge_weight=0.7,
    min_area_m2=9.0,
    confidence={"weights": [0.5, -1.25], "table": [{"threshold": 0.5, "precision": 0.75}]},
    tile=768,
    halo=96,
    seam_error=0.002,
    licence="CC-BY-4.0",
    training_data="drawn scenes",
    scores={"drawn": {"iou": 0.8}},
)


@pytest.fixture(scope="module")
def net() -> BuildingNet:
    torch.manual_seed(0)
    made = build_net(SPEC)
    with torch.no_grad():
        made.train()(torch.rand(4, 3, 64, 64) * 255)  # running statistics that differ from a fresh start
    return made.eval()


@pytest.fixture
def path(net: BuildingNet, tmp_path: Path) -> Path:
    save_weights(tmp_path / "model.safetensors", net, INFO)
    return tmp_path / "model.safetensors"


def rewrite(path: Path, **changes: Any) -> None:
    """Change values of the metadata; those that are `...` go."""
    with safe_open(path, framework="pt") as file:
        values = {**json.loads(file.metadata()[KEY]), **changes}
    kept = {name: value for name, value in values.items() if value is not ...}
    save_file(load_file(path), path, metadata={KEY: json.dumps(kept)})


def test_round_trip_keeps_the_outputs(net: BuildingNet, path: Path) -> None:
    loaded, info = load_weights(path)
    assert info == INFO == read_info(path)
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected, found = net(image), loaded(image)
    for name, logits in expected.items():
        spread = (logits.max() - logits.min()).item()
        assert (found[name] - logits).abs().max() < 0.02 * spread, name


def test_the_first_view_is_the_default() -> None:
    assert (INFO.scale, INFO.gsd_range_m) == (1, (0.3, 0.6))


def test_parameters_are_bfloat16_and_buffers_are_exact(net: BuildingNet, path: Path) -> None:
    stored, parameters = load_file(path), dict(net.named_parameters())
    assert {stored[name].dtype for name in parameters} == {torch.bfloat16}
    loaded = load_weights(path)[0]
    for name, value in loaded.state_dict().items():
        rounded = parameters[name].bfloat16().float() if name in parameters else net.state_dict()[name]
        assert value.dtype == rounded.dtype, name
        assert torch.equal(value, rounded), name
    assert loaded.state_dict()["auxiliary.1.num_batches_tracked"] == 1


def test_a_loaded_network_can_be_trained(path: Path) -> None:
    loaded = load_weights(path)[0].train()
    loaded(torch.rand(2, 3, 64, 64))["body"].sum().backward()
    gradient = loaded.mean.new_tensor(0.0)
    for parameter in loaded.encoder.parameters():
        assert parameter.grad is not None
        gradient += parameter.grad.abs().sum()
    assert gradient > 0


def test_metadata_is_complete(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()[KEY])
    assert stored["format"] == 2
    assert stored["tile_local"] is True
    assert set(stored) == {
        *("format", "tile_local", "spec", "views", "body_threshold", "seed_threshold", "edge_weight"),
        *("min_area_m2", "confidence", "tile", "halo", "seam_error", "licence", "training_data", "scores"),
        "version",
    }
    assert stored["views"][0] == {"scale": 1, "gsd_range_m": [0.3, 0.6]}
    assert set(stored["spec"]) == {
        *("encoder", "decoder", "decoder_channels", "bands", "scale", "drop_path", "mean", "std")
    }


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_file_mode_is_the_users(net: BuildingNet, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        save_weights(tmp_path / "new" / "model.safetensors", net, INFO)
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.safetensors"]


def test_an_older_file_is_replaced(net: BuildingNet, path: Path) -> None:
    save_weights(path, net, replace(INFO, licence="MIT"))
    assert read_info(path).licence == "MIT"


@pytest.mark.parametrize("name", ["file/model.safetensors", "file/deeper/model.safetensors", "folder"])
def test_unwritable_place(net: BuildingNet, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write weights"):
        save_weights(tmp_path / name, net, INFO)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder"]


def test_full_disk_leaves_the_older_file(
    net: BuildingNet, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(part: Path, content: bytes) -> int:
        with part.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match="No space left"):
        save_weights(path, net, replace(INFO, licence="MIT"))
    assert read_info(path) == INFO
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 0.999])
def test_truncated_file(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match=r"model\.safetensors is not a weights file, or damaged"):
        load_weights(path)


def test_text_folder_and_missing_file(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("these are no weights at all")
    with pytest.raises(WeightsError, match="not a weights file"):
        read_info(tmp_path / "text.safetensors")
    for none in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(WeightsError, match="no weights file at"):
            read_info(none)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_foreign_safetensors(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors", metadata=metadata)
    with pytest.raises(WeightsError, match="geoconvnext did not write"):
        load_weights(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    "text", ["", "{", "3", "[]", "{}", '{"format": 2}', '{"format": 2, "tile_local": true}']
)
def test_malformed_metadata(path: Path, text: str) -> None:
    save_file(load_file(path), path, metadata={KEY: text})
    with pytest.raises(WeightsError, match=r"model\.safetensors has metadata that cannot be understood"):
        read_info(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, r"format 1, this version reads format 2; get the weights again"),
        ({"format": 3}, "format 3"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"views": []}, "at least one"),
        ({"views": [{"scale": 4, "gsd_range_m": [0.3, 0.5]}]}, r"scales \(1, 2\).*found \[4\]"),
        ({"views": [{"scale": 1, "gsd_range_m": [0.5, 0.3]}]}, "gsd_range_m"),
        ({"views": [{"scale": 1, "gsd_range_m": [0.3]}]}, "gsd_range_m"),
        ({"views": [{"scale": 1, "gsd_range_m": "0.3"}]}, "cannot be understood"),
        ({"views": [{"scale": 1}]}, "cannot be understood"),
        ({"min_area_m2": -1}, "min_area_m2"),
        ({"body_threshold": 1.5}, "body_threshold"),
        ({"seed_threshold": float("nan")}, "seed_threshold"),
        ({"edge_weight": -0.1}, "edge_weight"),
        ({"tile": 500}, "multiples of 32"),
        ({"tile": 128, "halo": 64}, "larger than two halos"),
        ({"spec": None}, "cannot be understood"),
        ({"spec": {"encoder": "convnext_atto", "mean": [1, 1, 1], "std": [0, 1, 1]}}, "std"),
        ({"spec": {"encoder": "resnet18", "mean": [1, 1, 1], "std": [1, 1, 1]}}, "resnet18"),
    ],
)
def test_impossible_metadata(path: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(path, **changes)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(path)
    assert "model.safetensors" in str(caught.value)


def test_shapes_that_do_not_match(path: Path) -> None:
    wider = replace(INFO, spec=replace(SPEC, decoder_channels=20))
    save_file(load_file(path), path, metadata={KEY: wider.to_json()})
    with pytest.raises(WeightsError, match=r"of another shape \(first: decoder\."):
        load_weights(path)


def test_missing_and_unknown_weights(path: Path) -> None:
    state = load_file(path)
    state["surplus"] = state.pop("head.join.bias")
    save_file(state, path, metadata={KEY: INFO.to_json()})
    with pytest.raises(
        WeightsError, match=r"1 missing \(first: head\.join\.bias\), 1 unknown \(first: surplus\)"
    ):
        load_weights(path)


def test_start_from_the_same_network_copies_all(path: Path) -> None:
    net = build_net(SPEC)
    assert start_from(net, path) == []
    source = load_weights(path)[0].state_dict()
    assert all(torch.equal(value, source[name]) for name, value in net.state_dict().items())


def test_start_from_a_coarser_scale_loses_nothing(path: Path) -> None:
    """Finer outputs begin as copies: each of their pixels has the logits of the coarser pixel it lies in."""
    net = build_net(replace(SPEC, scale=4)).eval()
    fresh = start_from(net, path)
    assert fresh == ["head.beyond_image.1.conv.bias", "head.beyond_image.1.conv.weight"]
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        coarse, fine = net(image, 2), net(image, 4)
    for name, logits in fine.items():
        enlarged = coarse[name].repeat_interleave(2, -1).repeat_interleave(2, -2)
        torch.testing.assert_close(logits, enlarged)


def test_start_from_a_finer_scale(path: Path) -> None:
    net = build_net(replace(SPEC, scale=1)).eval()
    assert start_from(net, path) == []
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(net(image)["body"], load_weights(path)[0](image, 1)["body"])


def test_start_from_keeps_the_normalisation_of_the_spec(path: Path) -> None:
    net = build_net(NetSpec(encoder="convnext_atto", decoder_channels=16, scale=2))
    start_from(net, path)
    assert net.mean.flatten().tolist() == list(net.spec.mean)
    source, name = load_weights(path)[0], "encoder.trunk.stem.0.weight"
    assert torch.equal(net.state_dict()[name], source.state_dict()[name])


def test_start_from_another_encoder_is_refused(path: Path) -> None:
    net = build_net(NetSpec(encoder="convnext_femto", decoder_channels=16))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match="choose weights of the same encoder and decoder"):
        start_from(net, path)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
