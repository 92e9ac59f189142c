"""How fast the bare network runs: eager, folded, compiled, fused; against the machine's own matrix product.

Every variant gets the same windows in turn, several rounds; the medians count. The matrix rate is that of
square bfloat16 products, the best of several sizes, measured in the same rounds. Compilation starts from an
empty cache in a folder of its own, and is loaded again for the seconds that a later run needs. On a processor
`compiled lanes` and `fused lanes` run as many windows at once as there are cores, as `predict` does.

    python tools/bench/network.py --encoder convnext_tiny --scale 2 --tiles 512 1024 --json network.json
    python tools/bench/network.py --weights geoconvnext/weights/default.safetensors --scale 4
"""

from __future__ import annotations

from geoconvnext.heap import keep_freed_memory

# isort: split
import argparse
import copy
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from geoconvnext.model.compiled import CompilableNet
from geoconvnext.model.fold import FoldedNet, NamedLevels, fold
from geoconvnext.model.fused_net import fuse
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.placement import choose_placement
from geoconvnext.model.weights import load_weights

MATRIX_SIZES = (2048, 4096)
COLUMNS = ("tile", "batch", "variant", "mpx_s", "tflop_s", "share", "compile_s", "load_s", "peak_gb")
WIDTHS = {"variant": 16}
Run = Callable[[Tensor], Tensor]


def main() -> None:
    """Measure and print."""
    arguments = read_arguments()
    placement = choose_placement(arguments.device)
    if placement.device.type == "cpu":
        keep_freed_memory()
    net = (
        load_weights(arguments.weights)[0]
        if arguments.weights
        else build_net(NetSpec(encoder=arguments.encoder)).eval()
    )
    print(f"{placement.describe()}, torch {torch.__version__}, {net.spec.encoder}, scale {arguments.scale}")
    rows: list[dict[str, Any]] = []
    for tile in arguments.tiles:
        for batch in arguments.batches:
            before = len(rows)
            rows += measure(net, arguments.scale, tile, batch, placement.device, arguments.rounds)
            print_rows(rows[before:], header=before == 0)
    parts = time_parts(net, arguments.scale, arguments.tiles[0], placement.device)
    for name, (gflop, tflop_s) in parts.items():
        print(f"{name:>8}: {gflop:8.1f} GFLOP/Mpx, {tflop_s:5.2f} TFLOP/s, folded, not compiled")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "parts": parts}, indent=1))


def measure(
    net: BuildingNet, scale: int, tile: int, batch: int, device: torch.device, rounds: int
) -> list[dict[str, Any]]:
    """Rows of the table for one shape."""
    windows = torch.randint(0, 256, (batch, net.spec.bands, tile, tile), dtype=torch.uint8).to(device)
    plain = (
        NamedLevels(copy.deepcopy(net), scale)
        .to(device, torch.bfloat16)
        .to(memory_format=torch.channels_last)
        .eval()
    )
    folded = fold(net, scale, torch.bfloat16).to(device)
    cores = torch.get_num_threads() if device.type == "cpu" else 1
    compiled, compile_s, load_s = compile_anew(folded, windows, cores, 1)
    variants: dict[str, Run] = {"eager": plain, "folded": folded, "compiled": compiled}
    if fused := fuse(folded) if device.type == "cpu" else None:
        variants["fused"] = fused
    if cores > 1:
        variants["compiled lanes"] = in_lanes(compile_anew(folded, windows, 1, cores)[0], cores)
    if fused and cores > 1:
        variants["fused lanes"] = in_lanes(fused, cores)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    rates = []
    with torch.inference_mode():
        for _ in range(rounds):
            rates.append(matrix_rate(device))
            for name, run in variants.items():
                run(windows)
                seconds[name].append(time_run(lambda run=run: run(windows), device))  # type: ignore[misc]
    flops, px = count_flops(plain, windows), batch * tile**2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rows = []
    for name in variants:
        median = statistics.median(seconds[name]) / (cores if name.endswith("lanes") else 1)
        row = {"tile": tile, "batch": batch, "variant": name, "mpx_s": px / median / 1e6}
        row |= {"tflop_s": flops / median / 1e12, "share": flops / median / statistics.median(rates)}
        rows.append(row | {"compile_s": compile_s, "load_s": load_s, "peak_gb": peak})
    return rows


def compile_anew(
    net: torch.nn.Module, windows: Tensor, threads: int, at_once: int
) -> tuple[Run, float, float]:
    """Compile with an empty cache; seconds to compile, and seconds to load what was compiled."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        start = time.perf_counter()
        CompilableNet(net, windows, threads).compile()
        compiled = time.perf_counter()
        run = CompilableNet(net, windows, threads).load(at_once)
        return run, compiled - start, time.perf_counter() - compiled


def in_lanes(run: Run, count: int) -> Run:
    """Run the same windows several times at once, with one thread each."""
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def once(windows: Tensor) -> Tensor:
        with torch.inference_mode():
            return run(windows)

    def run_all(windows: Tensor) -> Tensor:
        *_, last = pool.map(once, [windows] * count)
        return last

    return run_all


def matrix_rate(device: torch.device) -> float:
    """FLOP per second of a square bfloat16 product, at the best of MATRIX_SIZES."""
    rates = []
    for size in MATRIX_SIZES:
        left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
        product = torch.empty_like(left)
        torch.mm(left, right, out=product)
        seconds = min(time_run(lambda: torch.mm(left, right, out=product), device) for _ in range(3))  # noqa: B023
        rates.append(2 * size**3 / seconds)
    return max(rates)


def time_run(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def count_flops(net: torch.nn.Module, windows: Tensor) -> int:
    """Floating point operations of a plain network, two per multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(windows)
    return int(counter.get_total_flops())


def time_parts(
    net: BuildingNet, scale: int, tile: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """GFLOP per Mpx and TFLOP per second of encoder, decoder and head, folded."""
    folded = fold(net, scale, torch.bfloat16).to(device)
    assert isinstance(folded, FoldedNet)
    with torch.inference_mode():
        image = torch.randn(1, net.spec.bands, tile, tile)
        image = image.contiguous(memory_format=torch.channels_last)
        stages = net.encoder(image)
        decoded = net.decoder(stages)
        fast = image.bfloat16().to(device)
        fast_stages, fast_decoded = (
            [stage.bfloat16().to(device) for stage in stages],
            decoded.bfloat16().to(device),
        )
        parts = {
            "encoder": (lambda: net.encoder(image), lambda: folded.encoder(fast)),
            "decoder": (lambda: net.decoder(stages), lambda: folded.decoder(fast_stages)),
            "head": (lambda: net.head(decoded, image, scale), lambda: folded.head(fast_decoded, fast)),
        }
        return {name: _part(*runs, tile, device) for name, runs in parts.items()}


def _part(
    plain: Callable[[], object], folded: Callable[[], object], tile: int, device: torch.device
) -> tuple[float, float]:
    with FlopCounterMode(display=False) as counter:
        plain()
    folded()
    seconds = min(time_run(folded, device) for _ in range(5))
    return counter.get_total_flops() / tile**2 / 1e3, counter.get_total_flops() / seconds / 1e12


def print_rows(rows: list[dict[str, Any]], *, header: bool) -> None:
    """Print as a table."""
    if header:
        print("".join(f"{name:>{WIDTHS.get(name, 10)}}" for name in COLUMNS))
    for row in rows:
        cells = {
            name: f"{row[name]:.2f}" if isinstance(row[name], float) else str(row[name]) for name in COLUMNS
        }
        print("".join(f"{cell:>{WIDTHS.get(name, 10)}}" for name, cell in cells.items()), flush=True)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="instead of random ones")
    parser.add_argument("--encoder", default="convnext_tiny", help="of random weights")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--tiles", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
