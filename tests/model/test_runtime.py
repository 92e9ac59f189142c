"""Where and how networks run."""

import copy
import ctypes
import platform
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from geoconvnext.errors import ConfigError
from geoconvnext.model import runtime
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.runtime import (
    Float32Depthwise,
    Placement,
    Runner,
    choose_placement,
    prepare_cpu_training,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net() -> BuildingNet:
    """A network whose probabilities spread over 0..1."""
    torch.manual_seed(0)
    made = build_net(NetSpec(encoder="convnext_atto", decoder_channels=16, scale=2)).eval()
    with torch.no_grad():
        for level in (0, 1):
            made.head.get_parameter(f"outputs.{level}.weight").mul_(30)
    return made


@pytest.fixture
def windows() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2, 3, 64, 32), dtype=np.uint8)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_devices_that_are_not_there() -> None:
    for device in ("cuda", "mps", "tpu"):
        with pytest.raises(
            ConfigError, match=f"device {device} is not available on this machine; found: cpu"
        ):
            choose_placement(device)  # type: ignore[arg-type]


def test_unknown_precision() -> None:
    with pytest.raises(ConfigError, match=r"fp8.*choose auto, bf16 or fp32"):
        choose_placement("cpu", "fp8")  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("in_hardware", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_precision_follows_the_processor(
    in_hardware: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: in_hardware)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert choose_placement() == Placement(CPU, dtype)
    assert choose_placement("cpu", "fp32") == Placement(CPU, torch.float32)
    assert choose_placement("cpu", "bf16") == Placement(CPU, torch.bfloat16)


def test_a_gpu_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert choose_placement() == Placement(torch.device("cuda"), torch.float32)
    assert choose_placement("cpu", "fp32").device == CPU


def test_placement_says_what_runs() -> None:
    line = Placement(CPU, torch.bfloat16).describe()
    assert line == f"CPU ({torch.get_num_threads()} threads), bfloat16"


@pytest.mark.parametrize(("scale", "shape"), [(None, (128, 64)), (2, (128, 64)), (1, (64, 32))])
def test_probabilities_equal_those_by_hand(
    net: BuildingNet, windows: NDArray[np.uint8], scale: int | None, shape: tuple[int, int]
) -> None:
    with torch.no_grad():
        logits = net(torch.from_numpy(windows), scale)
    by_name = [logits[name].double().sigmoid() for name in ("body", "edge", "contact")]
    expected = (torch.cat(by_name, dim=1) * 254).numpy()
    found = Runner(copy.deepcopy(net), Placement(CPU, torch.float32), scale)(windows)
    assert found.dtype == np.uint8
    assert found.shape == (2, 3, *shape)
    assert expected.max() - expected.min() > 100
    assert np.abs(found - expected).max() < 0.51


def test_bfloat16_is_close(net: BuildingNet, windows: NDArray[np.uint8]) -> None:
    exact = Runner(copy.deepcopy(net), Placement(CPU, torch.float32))(windows)
    rounded = Runner(copy.deepcopy(net), Placement(CPU, torch.bfloat16))(windows)
    difference = np.abs(exact.astype(int) - rounded)
    assert difference.mean() < 2
    assert difference.max() < 25
    assert difference.any()  # it did run in another precision


def test_certain_pixels_stay_below_the_nodata_value() -> None:
    class Certain(nn.Module):
        def forward(self, image: torch.Tensor, _scale: int | None) -> dict[str, torch.Tensor]:
            return dict.fromkeys(("body", "edge", "contact"), image[:, :1] * 1000.0)

    found = Runner(Certain(), Placement(CPU, torch.float32))(np.full((1, 3, 32, 32), 255, np.uint8))
    assert (found == 254).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float32_depthwise_gives_the_same_values(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, 7, padding=3, groups=8).to(dtype)
    kept = copy.deepcopy(plain)
    kept.__class__ = Float32Depthwise
    features = torch.randn(2, 8, 16, 16, dtype=dtype)
    assert torch.equal(plain(features), kept(features))


def test_float32_depthwise_under_autocast() -> None:
    torch.manual_seed(0)
    kept = Float32Depthwise(8, 8, 7, padding=3, groups=8)
    features = torch.randn(2, 8, 16, 16).bfloat16()
    expected = nn.functional.conv2d(features.float(), kept.weight, kept.bias, padding=3, groups=8)
    with torch.autocast("cpu", torch.bfloat16):
        found = kept(features)
    assert torch.equal(found, expected.bfloat16())
    found.sum().backward()
    assert kept.weight.grad is not None
    assert kept.weight.grad.dtype == torch.float32


def test_training_on_a_processor_changes_depthwise_convolutions_only(
    net: BuildingNet, windows: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_keep_freed_memory", lambda: None)
    prepared = copy.deepcopy(net)
    prepare_cpu_training(prepared)
    before, after = dict(net.named_modules()), dict(prepared.named_modules())
    changed = {name for name in before if type(before[name]) is not type(after[name])}
    assert changed == {name for name in before if name.endswith(".conv_dw")}
    assert len(changed) == 12
    assert all(type(after[name]) is Float32Depthwise for name in changed)
    assert list(prepared.state_dict()) == list(net.state_dict())
    image = torch.from_numpy(windows)
    with torch.no_grad():
        assert torch.equal(net(image)["body"], prepared(image)["body"])


@pytest.mark.parametrize("library", ["glibc", "", "musl"])
def test_memory_is_kept_where_the_library_can(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    class Libc:
        def __init__(self, name: str) -> None:
            assert name == "libc.so.6"

        def mallopt(self, option: int, value: int) -> None:
            calls.append((option, value))

    monkeypatch.setattr(platform, "libc_ver", lambda: (library, "2.39"))
    monkeypatch.setattr(ctypes, "CDLL", Libc)
    no_depthwise: Any = nn.Conv2d(3, 3, 1)
    prepare_cpu_training(no_depthwise)
    assert bool(calls) is (library == "glibc")
    assert all(value < 2**31 for _, value in calls)  # mallopt takes a C int
