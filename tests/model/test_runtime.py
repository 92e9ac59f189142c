"""Where and how networks run."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from geoconvnext.errors import ConfigError
from geoconvnext.model import runtime, tuning
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.runtime import (
    Placement,
    Runner,
    choose_placement,
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


class Mean(nn.Module):
    """Body, edge and contact from the brightness, and a record of the batches."""

    def __init__(self, fits: int = 99) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.fits = fits
        self.batches: list[int] = []

    def __deepcopy__(self, _memo: object) -> "Mean":
        return self

    def forward(self, image: torch.Tensor, _scale: int | None) -> dict[str, torch.Tensor]:
        self.batches.append(len(image))
        if len(image) > self.fits:
            raise torch.OutOfMemoryError
        return dict.fromkeys(("body", "edge", "contact"), (image[:, :1].float() - 127) / 40)


def test_the_network_is_not_changed(net: BuildingNet, windows: NDArray[np.uint8]) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for scale in (1, 2):
        Runner(net, Placement(CPU, torch.bfloat16), scale)(windows)
    after = net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_batches_are_halved_where_memory_is_too_small(windows: NDArray[np.uint8]) -> None:
    net = Mean(fits=2)
    runner = Runner(net, Placement(CPU, torch.float32))
    many = np.concatenate([windows] * 4)
    expected = Runner(Mean(), Placement(CPU, torch.float32))(many)
    assert np.array_equal(runner(many), expected)
    assert net.batches == [8, 4, 2, 2, 2, 2]
    runner(many)
    assert net.batches[6:] == [2, 2, 2, 2]  # it is remembered


def test_one_window_that_is_too_large(windows: NDArray[np.uint8]) -> None:
    runner = Runner(Mean(fits=0), Placement(CPU, torch.float32))
    with pytest.raises(ConfigError, match=r"a window of 64 px does not fit .*lower --tile-size"):
        runner(windows)


def test_augmentation_is_the_mean_over_the_symmetries(net: BuildingNet) -> None:
    windows = np.random.default_rng(1).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    placement = Placement(CPU, torch.float32)
    plain, augmented = Runner(net, placement, 1), Runner(net, placement, 1, tta=True)
    views = []
    for mirrored in (windows, windows.swapaxes(2, 3)):
        for turns in range(4):
            seen = plain(np.ascontiguousarray(np.rot90(mirrored, turns, (2, 3))))
            seen = np.rot90(seen, -turns, (2, 3))
            views.append(seen if mirrored is windows else seen.swapaxes(2, 3))
    assert np.abs(augmented(windows) - np.mean(views, axis=0)).max() <= 0.5
    turned = np.ascontiguousarray(np.rot90(windows, 1, (2, 3)))
    assert np.abs(augmented(turned).astype(int) - np.rot90(augmented(windows), 1, (2, 3))).max() <= 1


def test_stream_keeps_the_order(net: BuildingNet, windows: NDArray[np.uint8]) -> None:
    runner = Runner(net, Placement(CPU, torch.float32))
    found = list(runner.stream([windows, windows[:1]]))
    assert [len(result) for result in found] == [2, 1]
    assert np.array_equal(found[0], runner(windows))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_lanes_keep_the_order(threads: int, net: BuildingNet) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        runner = Runner(net, Placement(CPU, torch.float32))
        batches = np.random.default_rng(2).integers(0, 256, (9, 1, 3, 64, 64), dtype=np.uint8)
        found = list(runner.stream(iter(batches)))
        assert torch.get_num_threads() == threads
        torch.set_num_threads(1)  # as in a lane: the last bits may depend on it
        assert all(np.array_equal(*pair) for pair in zip(found, map(runner, batches), strict=True))
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_lane_comes_where_its_batch_would(net: BuildingNet) -> None:
    runner = Runner(net, Placement(CPU, torch.float32))
    good, bad = np.zeros((1, 3, 64, 64), np.uint8), np.zeros((1, 3, 64, 33), np.uint8)
    found = runner.stream([good, bad, good])
    assert next(found).shape == (1, 3, 128, 128)
    with pytest.raises(RuntimeError):
        next(found)


def test_a_stream_of_nothing(net: BuildingNet) -> None:
    assert list(Runner(net, Placement(CPU, torch.float32)).stream([])) == []


def test_few_lanes_where_windows_are_large(net: BuildingNet, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(net, Placement(CPU, torch.bfloat16))
    runner._threads = 8
    lanes, threads = runner._lanes((512, 1))
    assert lanes * threads <= 8
    assert lanes > 1
    assert runner._lanes((8192, 1)) == (1, 8)
    monkeypatch.setattr(runner, "placement", Placement(torch.device("mps"), torch.bfloat16))
    assert runner._lanes((512, 1)) == (1, 1)


def test_verify_accepts_bfloat16_that_decides_alike(net: BuildingNet, windows: NDArray[np.uint8]) -> None:
    runner = Runner(net, Placement(CPU, torch.bfloat16))
    assert runner.verify(windows, 254) is None
    assert runner.placement.dtype == torch.bfloat16


def test_verify_falls_back_to_float32(net: BuildingNet, windows: NDArray[np.uint8]) -> None:
    exact = Runner(net, Placement(CPU, torch.float32))
    assert exact.verify(windows, 127) is None
    runner = Runner(net, Placement(CPU, torch.bfloat16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "DIFFERENT_SHARE", 0.0)
        message = runner.verify(windows, int(np.median(exact(windows)[:, 0])))
    assert message is not None
    assert "float32" in message
    assert runner.placement.dtype == torch.float32
    assert np.array_equal(runner(windows), exact(windows))


@pytest.mark.parametrize(("height", "width", "expected"), [(300, 200, 512), (5000, 5000, 1024)])
def test_small_scenes_are_not_measured(
    net: BuildingNet, height: int, width: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TILES", (512, 1024))
    monkeypatch.setattr(tuning, "known_rates", None)
    tile, batch = Runner(net, Placement(CPU, torch.bfloat16)).choose_windows(height, width, 64)
    assert (tile, batch) == (expected, 1)


def test_large_scenes_are_measured_once(
    net: BuildingNet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tuning, "TILES", (32, 64))
    measured = []
    monkeypatch.setattr(Runner, "_rate", lambda _self, size: measured.append(size) or 1e6 / size[0] ** 2)
    for _ in range(2):
        runner = Runner(net, Placement(CPU, torch.bfloat16))
        assert runner.choose_windows(20_000, 20_000, 0) == (32, 1)
    assert measured == [(32, 1), (64, 1)]


def test_short_jobs_are_not_compiled(net: BuildingNet) -> None:
    said: list[str] = []
    runner = Runner(net, Placement(CPU, torch.bfloat16))
    runner.prepare(64, 1, 10, said.append)
    runner.prepare(64, 1, 10**9, said.append, engine="plain")
    assert not said
    assert runner.engine == "plain"


def test_without_a_compiler_the_network_runs_all_the_same(
    net: BuildingNet, windows: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(_self: object) -> None:
        raise RuntimeError("no C++ compiler\nlong story")

    monkeypatch.setattr(runtime.CompilableNet, "compile", fail)
    said: list[str] = []
    runner = Runner(net, Placement(CPU, torch.bfloat16))
    runner.prepare(64, 1, 10, said.append, engine="compiled")
    assert len(said) == 2
    assert "compiling" in said[0]
    assert said[1] == "the network runs uncompiled: no C++ compiler"
    assert runner(windows).shape == (2, 3, 128, 64)


def test_the_rate_of_a_window_that_does_not_fit() -> None:
    assert Runner(Mean(fits=0), Placement(CPU, torch.float32))._rate((32, 1)) == 1
    assert Runner(Mean(), Placement(CPU, torch.float32))._rate((32, 1)) > 1
