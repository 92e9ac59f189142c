"""What each size of model needs: parameters, multiply-adds, memory and time to train and to predict.

Each configuration runs in a process of its own, on random pixels, with its own batch size unless --batch is
given; the memory is the most that the process held (of the GPU, if there is one).

    python tools/bench/sizes.py configs/small.yaml configs/base.yaml configs/large.yaml --batch 2
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from geoconvnext.config import read_config
from geoconvnext.model.cpu_training import prepare_cpu_training
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.runtime import Runner, choose_placement

COLUMNS = ("parameters_m", "gmac_per_mpx", "train_images_s", "train_gb", "predict_mpx_s", "predict_gb")
WINDOW = 1024


def main() -> None:
    """Measure every configuration and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--batch", type=int, default=None, help="instead of the configuration's")
    parser.add_argument("--job", choices=("train", "predict"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(_measure(arguments.configs[0], arguments.batch, arguments.job)))
        return
    print(f"{'configuration':<16}" + "".join(f"{name:>16}" for name in COLUMNS))
    for config in arguments.configs:
        row = {
            **_in_process(config, arguments.batch, "train"),
            **_in_process(config, arguments.batch, "predict"),
        }
        print(f"{config.stem:<16}" + "".join(f"{row[name]:16.2f}" for name in COLUMNS), flush=True)


def _in_process(config: Path, batch: int | None, job: str) -> dict[str, float]:
    command = [sys.executable, __file__, str(config), "--job", job]
    if batch:
        command += ["--batch", str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, float] = json.loads(done.stdout)
    return row


def _measure(path: Path, batch: int | None, job: str) -> dict[str, float]:
    config = read_config(path)
    net = build_net(
        NetSpec(**config.net.model_dump(exclude={"encoder_weights", "start_from"}, exclude_none=True))
    )
    view = config.data.samples[0]
    if job == "train":
        speed = _train_speed(net, batch or config.optim.batch_size, view.size, view.scale)
        return {"train_images_s": speed, "train_gb": _peak_gb()}
    parameters = sum(parameter.numel() for parameter in net.parameters()) / 1e6
    multiply_adds = _multiply_adds(net, view.scale)
    speed = _predict_speed(net, view.scale)
    return {
        "parameters_m": parameters,
        "gmac_per_mpx": multiply_adds,
        "predict_mpx_s": speed,
        "predict_gb": _peak_gb(),
    }


def _train_speed(net: BuildingNet, batch: int, size: int, scale: int) -> float:
    """Images per second, forward and backward, in bfloat16."""
    device = choose_placement().device
    net = net.train().to(device, memory_format=torch.channels_last)
    if device.type == "cpu":
        prepare_cpu_training(net)
    image = torch.randint(0, 256, (batch, net.spec.bands, size, size), dtype=torch.uint8, device=device)
    image = image.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            outputs = net(image, scale)
        torch.stack([value.float().mean() for value in outputs.values()]).sum().backward()
        net.zero_grad()

    return batch * _per_second(step)


def _multiply_adds(net: BuildingNet, scale: int) -> float:
    """Thousands of multiply-adds per pixel of the image: GMAC per Mpx."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net.eval()(torch.zeros(1, net.spec.bands, 512, 512), scale)
    return float(counter.get_total_flops()) / 2 / 512**2 / 1e3


def _predict_speed(net: BuildingNet, scale: int) -> float:
    runner = Runner(net, choose_placement(), scale=scale)
    window = torch.randint(0, 256, (1, net.spec.bands, WINDOW, WINDOW), dtype=torch.uint8).numpy()
    return WINDOW**2 / 1e6 * _per_second(lambda: runner(window))


def _per_second(call: Callable[[], object], repeats: int = 3) -> float:
    call()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return repeats / (time.perf_counter() - start)


def _peak_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
