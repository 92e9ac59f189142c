"""Compiled networks."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from geoconvnext.model.compiled import CompilableNet
from geoconvnext.model.fold import fold
from geoconvnext.model.net import NetSpec, build_net
from geoconvnext.model.placement import Placement
from geoconvnext.model.runtime import Runner

RUN = """
import sys, torch
from geoconvnext.model.net import NetSpec, build_net
from geoconvnext.model.placement import Placement
from geoconvnext.model.runtime import Runner
import numpy as np
torch.manual_seed(0)
net = build_net(NetSpec(encoder="convnext_atto", decoder_channels=16))
runner = Runner(net, Placement(torch.device("cpu"), torch.bfloat16))
said = []
runner.prepare(64, 2, 1, said.append, engine="compiled")
windows = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
np.save(sys.argv[1], runner(windows))
np.save(sys.argv[2], runner(windows[:1]))
several = np.random.default_rng(1).integers(0, 256, (7, 2, 3, 64, 64), dtype=np.uint8)
streamed = list(runner.stream(several))
assert all(np.array_equal(found, runner(given)) for found, given in zip(streamed, several, strict=True))
print(len(said), runner.engine, type(runner._compiled).__name__)
"""


def in_process(folder: Path, name: str) -> tuple[str, np.ndarray, np.ndarray]:
    paths = [folder / f"{name}{part}.npy" for part in ("", "-first")]
    command = [sys.executable, "-c", RUN, *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip(), np.load(paths[0]), np.load(paths[1])


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_two_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (in_process(tmp_path, name) for name in ("one", "two"))
    assert first[0].startswith("1 compiled")  # it says that it compiles
    assert second[0].startswith("0 compiled")  # and what was compiled is kept
    if sys.platform == "linux":
        assert first[0].endswith("NativeNet")  # which lets other threads work meanwhile
    assert np.array_equal(first[1], second[1])
    assert np.array_equal(first[1][:1], first[2])  # a last batch that is not full
    torch.manual_seed(0)
    net = build_net(NetSpec(encoder="convnext_atto", decoder_channels=16))
    windows = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    eager = Runner(net, Placement(torch.device("cpu"), torch.bfloat16))(windows)
    assert np.abs(first[1].astype(int) - eager).max() <= 6


def test_other_weights_shapes_and_precisions_are_compiled_apart() -> None:
    paths = []
    for seed, size, dtype in (
        (0, 64, torch.float32),
        (1, 64, torch.float32),
        (0, 96, torch.float32),
        (0, 64, torch.bfloat16),
    ):
        torch.manual_seed(seed)
        net = build_net(NetSpec(encoder="convnext_atto", decoder_channels=16, scale=1))
        windows = torch.zeros(1, 3, size, size, dtype=torch.uint8)
        paths += [CompilableNet(fold(net, None, dtype), windows).path for _ in range(2)]
    assert paths[::2] == paths[1::2]
    assert len(set(paths)) == 4


class Scaled(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return windows * self.factor


def test_settings_without_weights_and_threads_are_compiled_apart() -> None:
    windows = torch.zeros(1, 3, 64, 64)
    paths = [
        CompilableNet(Scaled(factor), windows, threads).path for factor in (2.0, 3.0) for threads in (1, 2)
    ]
    assert len(set(paths)) == 4
    assert paths[0] == CompilableNet(Scaled(2.0), windows, 1).path


def test_changed_code_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from torch import nn\nclass Shifted(nn.Module):\n    def forward(self, x):\n        return x + "
    monkeypatch.syspath_prepend(tmp_path)
    paths = []
    for shift in "12":
        (tmp_path / "shifted.py").write_text(f"{code}{shift}\n")
        sys.modules.pop("shifted", None)
        importlib.invalidate_caches()
        net = importlib.import_module("shifted").Shifted()
        paths.append(CompilableNet(net, torch.zeros(1, 3, 64, 64)).path)
    assert paths[0] != paths[1]
