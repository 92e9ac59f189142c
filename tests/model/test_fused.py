"""Networks of fused layers, against the same network in float32."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.layers.norm import LayerNorm2d
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn
from torch.nn.functional import conv2d, layer_norm, pixel_shuffle, relu

from geoconvnext.model import fused
from geoconvnext.model.fold import fold
from geoconvnext.model.fused import (
    UNITS,
    Code,
    FusedBlock,
    FusedConvolution,
    FusedTable,
    find_code,
    load_code,
    pack,
)
from geoconvnext.model.fused_net import FusedNet, fuse
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.placement import Placement
from geoconvnext.model.runtime import Runner

CPU = torch.device("cpu")
needs_a_unit = pytest.mark.skipif(find_code() is None, reason="needs AMX or AVX512-BF16, and a compiler")


def make_net(encoder: str = "convnext_pico", **spec: object) -> BuildingNet:
    """A network whose probabilities spread over 0..1."""
    torch.manual_seed(0)
    net = build_net(NetSpec(encoder=encoder, decoder_channels=32, scale=4, **spec)).eval()
    with torch.no_grad():
        for output in net.head.outputs:
            output.weight.mul_(8)
        for block in (block for stage in net.encoder.trunk.stages for block in stage.blocks):
            for norm in (
                block.norm,
                *(module for module in block.modules() if isinstance(module, nn.LayerNorm)),
            ):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.5, 0.5)
    return net


@pytest.fixture(scope="module")
def net() -> BuildingNet:
    return make_net()


@pytest.fixture(scope="module", params=UNITS)
def code(request: pytest.FixtureRequest) -> Code:
    return load_code(request.param) or pytest.skip(f"needs {request.param} and a compiler that knows it")


def windows(count: int, height: int, width: int, bands: int = 3) -> Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (count, bands, height, width), dtype=np.uint8)
    )


def features(*shape: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(shape).bfloat16()


def by_hand(images: Tensor, conv: nn.Conv2d) -> Tensor:
    """Convolve features (N, H, W, channels) in float32, with weights as bfloat16 has them."""
    weight = conv.weight.bfloat16().float()
    return conv2d(images.float().permute(0, 3, 1, 2), weight, conv.bias, conv.stride, conv.padding)


def last(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(("count", "height", "width"), [(1, 32, 32), (2, 96, 160), (1, 224, 64)])
def test_it_is_as_close_to_float32_as_bfloat16(
    code: Code, net: BuildingNet, scale: int, count: int, height: int, width: int
) -> None:
    given = windows(count, height, width)
    plain = fold(net, scale, torch.bfloat16)
    in_fused_layers = FusedNet(code, plain)
    with torch.inference_mode():
        exact = fold(net, scale, torch.float32)(given).float()
        off, usual = ((made(given).float() - exact).abs().mean() for made in (in_fused_layers, plain))
    assert exact.std() > 20
    assert off <= 1.1 * usual + 0.01


def test_threads_and_company_change_nothing(code: Code, net: BuildingNet) -> None:
    given = windows(3, 96, 64)
    made = FusedNet(code, fold(net, 2, torch.bfloat16))
    before = torch.get_num_threads()
    try:
        with torch.inference_mode():
            together = made(given)
            torch.set_num_threads(1)
            alone = torch.cat([made(each[None]) for each in given])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, alone)


@pytest.mark.parametrize(("side", "stride", "padding"), [(3, 1, 1), (2, 2, 0), (4, 4, 0), (1, 1, 0)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 16), (16, 48), (40, 64)])
@pytest.mark.parametrize("width", [4, 36, 132])
def test_convolution(
    code: Code, side: int, stride: int, padding: int, inputs: int, outputs: int, width: int
) -> None:
    conv = nn.Conv2d(inputs, outputs, side, stride, padding)
    given = features(2, 12, width, inputs)
    found = FusedConvolution(code, conv)(given)
    assert torch.allclose(found.float(), last(by_hand(given, conv)), atol=0.01, rtol=0.01)


def test_what_comes_with_a_convolution(code: Code) -> None:
    conv = nn.Conv2d(64, 128, 3, padding=1)
    given, other = features(1, 20, 40, 32), features(1, 20, 40, 32) * 2
    joined = torch.cat([given, other], dim=3)
    exact = relu(by_hand(joined, conv))
    found = FusedConvolution(code, conv, rectified=True, joined=True)(given, other)
    assert torch.allclose(found.float(), last(exact), atol=0.01, rtol=0.01)

    found = FusedConvolution(code, conv, doubling=True)(joined)  # sub-pixels in groups
    grouped = by_hand(joined, conv).unflatten(1, (4, 32)).transpose(1, 2).flatten(1, 2)
    assert torch.allclose(found.float(), last(pixel_shuffle(grouped, 2)), atol=0.01, rtol=0.01)

    norm = LayerNorm2d(128)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    found = FusedConvolution(code, conv, norm=norm)(joined)
    assert torch.allclose(found.float(), last(norm(by_hand(joined, conv))), atol=0.02, rtol=0.02)

    single = nn.Conv2d(64, 32, 1)
    found = FusedConvolution(code, single, normal_inputs=True)(joined)
    exact = by_hand(layer_norm(joined.float(), (64,), eps=1e-6), single)
    assert torch.allclose(found.float(), last(exact), atol=0.03, rtol=0.03)


@pytest.mark.parametrize(("outputs", "finer"), [(16, 1), (64, 2), (192, 2)])
def test_logits_become_bytes(code: Code, outputs: int, finer: int) -> None:
    conv, output = nn.Conv2d(32, outputs, 3, padding=1), nn.Conv2d(outputs, 3 * finer**2, 1)
    nn.init.normal_(output.weight, std=2.0)
    given = features(2, 9, 37, 32)
    found = FusedConvolution(code, conv, rectified=True, output=output)(given)
    logits = by_hand(last(relu(by_hand(given, conv))).bfloat16(), output)
    exact = pixel_shuffle(logits, finer).sigmoid() * 254
    assert exact.std() > 60
    assert (found.float() - exact).abs().max() < 3  # features are rounded to bfloat16 in between
    assert (found.float() - exact).abs().mean() < 0.5


@pytest.mark.parametrize(("channels", "height", "width"), [(32, 5, 7), (64, 40, 33), (96, 3, 100)])
def test_block(code: Code, channels: int, height: int, width: int) -> None:
    torch.manual_seed(2)
    block = ConvNeXtBlock(channels, ls_init_value=None)
    folded = copy.deepcopy(block)
    folded.norm.weight = folded.norm.bias = None
    given = features(2, height, width, channels)
    with torch.no_grad():
        exact = block(given.float().permute(0, 3, 1, 2))
        found = FusedBlock(code, folded)(given)
    assert torch.allclose(found.float(), last(exact), atol=0.04, rtol=0.02)


def test_table(code: Code) -> None:
    given = windows(2, 8, 12, bands=4)
    values = torch.randn(4, 256)
    found = FusedTable(code, values)(given)
    exact = torch.stack([values[band][given[:, band].long()] for band in range(4)], dim=3)
    assert torch.equal(found, exact.bfloat16())


def test_tiles_of_weights() -> None:
    weight = torch.arange(17 * 5 * 2 * 2.0).view(17, 5, 2, 2) / 512  # exact in bfloat16 or nearly
    tiles = pack(weight)
    assert tiles.shape == (2, 2, 16, 16, 2)  # 17 outputs, 2 rows of 10 inputs
    assert tiles[0, 1, 3, 15, 0] == weight[15, 1, 1, 1].bfloat16()  # the 7th of row 1: column 1, input 1
    assert not tiles[1, :, :, 1:].any()
    assert not tiles[:, :, 5:].any()


@pytest.mark.parametrize(
    "spec",
    [
        {"encoder": "convnext_atto"},  # 40 channels
        {"encoder": "convnextv2_pico"},  # global response normalisation
        {"decoder": "upernet"},
    ],
)
def test_other_networks_run_without(spec: dict[str, str]) -> None:
    assert fuse(fold(make_net(**spec), 2, torch.bfloat16)) is None


def test_float32_runs_without(net: BuildingNet) -> None:
    assert fuse(fold(net, 2, torch.float32)) is None
    assert Runner(net, Placement(CPU, torch.float32), 2).engine == "plain"


@needs_a_unit
def test_a_runner_takes_it_unless_told_otherwise(net: BuildingNet) -> None:
    said: list[str] = []
    given = windows(1, 64, 64).numpy()
    found = {}
    best = Runner(net, Placement(CPU, torch.bfloat16), 2).engine
    assert best in UNITS
    for engine in (best, "plain"):
        runner = Runner(net, Placement(CPU, torch.bfloat16), 2)
        runner.prepare(64, 1, 10**9, said.append, engine=engine)
        assert runner.engine == engine
        found[engine] = runner(given)
    assert not said
    assert 0 < np.abs(found[best].astype(int) - found["plain"]).max() <= 12


def test_a_run_begun_with_it_goes_on_without(net: BuildingNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geoconvnext.model.runtime.fuse", lambda _: None)
    said: list[str] = []
    runner = Runner(net, Placement(CPU, torch.bfloat16), 2)
    runner.prepare(64, 1, 1, said.append, engine="amx")
    assert runner.engine == "plain"
    assert "without AMX" in said[0]


@needs_a_unit
def test_a_run_begun_with_another_unit_goes_on_with_this_one(net: BuildingNet) -> None:
    said: list[str] = []
    runner = Runner(net, Placement(CPU, torch.bfloat16), 2)
    before = runner.engine
    other = next(unit for unit in UNITS if unit != before)
    runner.prepare(64, 1, 1, said.append, engine=other)
    assert runner.engine == before
    assert f"without {other.upper()}" in said[0]


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler"])
def test_without_a_compiler_there_is_no_code(compiler: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from geoconvnext.model.fused import find_code; print(find_code())"]
    environment = {"CXX": compiler, "XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "None"
    assert not list(tmp_path.rglob("*.so"))


def test_it_is_compiled_once(code: Code, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = fused._compiled(code.unit)
    monkeypatch.setattr(subprocess, "run", None)
    assert fused._compiled(code.unit) == path
    assert path.is_file()
