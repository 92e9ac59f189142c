"""Measures one run of one tool in a process of its own.

Runs in the environments of other tools too, so it needs nothing but psutil and torch.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

WARM_UP = 3  # calls in which TorchScript compiles itself
STEP_S = 0.02
CHILDREN_EVERY = 25  # steps; the list of all processes costs a hundred times what the own memory costs


@dataclass(frozen=True)
class Job:
    """What a tool is to do: find the buildings of `scene`, and write their mask (1, on 0) to `output`.

    network: TorchScript of a network that gives logits of ground and building, (N, 2, H, W), for (N, 3, H, W)
    in 0..1; of geoconvnext, its weights. tile_px and overlap_px: of the windows, which are run by `batch`;
    all 0 for geoconvnext to choose. scale: pixels of the mask per pixel, 1 for all but geoconvnext.
    """

    scene: Path
    output: Path
    network: Path
    tile_px: int
    overlap_px: int
    batch: int
    scale: int


class Counted(torch.nn.Module):
    """The network of a job; counts the windows it is given."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.net = torch.jit.load(job.network).eval()
        for _ in range(WARM_UP):
            self.net(torch.zeros(1, 3, 64, 64))
        self.windows = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits, as the job says."""
        self.windows += len(image)
        return self.net(image)


def measure(run: Callable[[Job, Any], None], load: Callable[[Job], Any] = Counted) -> None:
    """Let a tool do the job of the command line once; print what it took, as JSON, in the last line.

    Imports are over by now, and the network is loaded: what is counted is wall and CPU seconds (with those of
    child processes), and how far resident memory grows.
    """
    parser = argparse.ArgumentParser()
    for name in ("scene", "output", "network"):
        parser.add_argument(name, type=Path)
    for name in ("tile_px", "overlap_px", "batch", "scale", "threads"):
        parser.add_argument(name, type=int)
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    job = Job(**options)
    net = load(job)
    watch, start, cpu = MemoryWatch(), time.monotonic(), cpu_seconds()
    run(job, net)
    taken = {"wall_s": time.monotonic() - start, "cpu_s": cpu_seconds() - cpu}
    taken |= {"growth_gb": watch.stop() / 1e9, "windows": getattr(net, "windows", None)}
    print(json.dumps(taken))


def cpu_seconds() -> float:
    """User and system seconds of this process and of its children that have ended."""
    times = psutil.Process().cpu_times()
    return times.user + times.system + times.children_user + times.children_system


class MemoryWatch:
    """Follows the resident memory of this process and its children."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []
        self._start = self._peak = self._resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return by how many bytes it grew at most."""
        self._done.set()
        self._thread.join()
        return max(self._peak, self._resident()) - self._start

    def _sample(self) -> None:
        steps = 0
        while not self._done.wait(STEP_S):
            if steps % CHILDREN_EVERY == 0:
                self._children = self._process.children(recursive=True)
            self._peak = max(self._peak, self._resident())
            steps += 1

    def _resident(self) -> int:
        total = 0
        for process in (self._process, *self._children):
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total
