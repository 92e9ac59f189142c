"""The size of windows and batches that runs a scene fastest, within the memory at hand."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from geoconvnext.model.cache import cache_folder
from geoconvnext.model.memory import available_bytes

STRIDE_PX = 32
SMALL_PX = 128 * 10**6
"""Scenes with fewer pixels get what is best if all sizes run at the same speed, without a measurement."""

TILES = (512, 1024, 1536, 2048)
FINE_TILES = tuple(range(512, 1281, STRIDE_PX))
"""For what need not be compiled for each. Larger ones cost more for memory than they save in overlaps."""
BATCHES = {"cpu": (1,), "cuda": (1, 2, 4, 8, 16), "mps": (1,)}
BYTES_PER_PX = (98, 32)
FUSED_BYTES_PER_PX = (50, 4)
"""Activations per image pixel: in units of a value's size, so many and so many more per mask pixel."""

MOST_BYTES = {"cpu": 3 << 29}
"""A processor takes no more for activations: all of a run should stay below 3 GB."""

ALONE = 0.75
"""Speed of one batch on several cores, as a share of that of several batches on a core each."""

Size = tuple[int, int]
"""Tile and batch."""


def sizes_that_fit(
    device: torch.device, needed_bytes: Callable[[Size], float], tiles: Sequence[int] = TILES
) -> list[Size]:
    """Sizes whose activations, in all lanes, take at most half of the free memory; if none, the smallest."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    free, most = available_bytes(device) / 2, MOST_BYTES.get(device.type, math.inf)
    sizes = [(tile, batch) for tile in tiles for batch in BATCHES[device.type]]
    needed = {size: needed_bytes(size) for size in sizes}
    fit = [
        size for size, each in needed.items() if each <= most and each * count_lanes(each, threads) <= free
    ]
    return fit or sizes[:1]


def needed_bytes(
    size: Size, dtype: torch.dtype, scale: int, width: int, each: tuple[int, int] = BYTES_PER_PX
) -> float:
    """Memory for the activations of a batch. width: channels of the decoder."""
    (tile, batch), (fixed, per_mask_px) = size, each
    return batch * tile**2 * dtype.itemsize * (fixed + per_mask_px * scale**2) * max(1.0, width / 64)


def count_lanes(bytes_each: float, threads: int) -> int:
    """Count the batches that a processor runs at once: one a thread, as far as there is memory."""
    return max(1, min(threads, int(MOST_BYTES["cpu"] / bytes_each)))


def computed_px(height: int, width: int, tile: int, halo: int, at_once: int = 1) -> int:
    """Pixels that the network runs over to cover a scene with windows of `tile`, so many at once."""
    whole = -(-max(height, width) // STRIDE_PX) * STRIDE_PX
    if whole <= tile:
        return whole**2
    count = math.prod(1 + -(-max(0, extent - tile) // (tile - 2 * halo)) for extent in (height, width))
    return -(-count // at_once) * at_once * tile**2


def fastest(height: int, width: int, halo: int, rates: dict[Size, float], lanes: Mapping[Size, int]) -> Size:
    """Size that takes the least time; rates: pixels per second of the sizes, lanes: batches run at once."""
    possible = {size: rate for size, rate in rates.items() if size[0] > 2 * halo}
    if not possible:
        return 2 * halo + TILES[0], 1

    def seconds(size: Size) -> float:
        return computed_px(height, width, size[0], halo, lanes[size]) / possible[size]

    return min(possible, key=seconds)


def known_rates(key: str, sizes: Sequence[Size], measure: Callable[[Size], float]) -> dict[Size, float]:
    """Pixels per second of the sizes, from the user's cache or measured now and kept there.

    Only those of TILES are measured; others run as fast as the next smaller of these.
    """
    path = cache_folder() / "rates.json"
    stored = _read(path)
    rates = stored.get(key, {})
    measured = {
        size: (max((tile for tile in TILES if tile <= size[0]), default=size[0]), size[1]) for size in sizes
    }
    missing = sorted({size for size in measured.values() if _name(size) not in rates})
    if missing:
        rates = rates | {_name(size): measure(size) for size in missing}
        _write(path, stored | {key: rates})
    return {size: rates[_name(measured[size])] for size in sizes}


def seconds_per_run(run: Callable[[], object]) -> float:
    """Time of a call, after one that warms up."""
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _name(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _read(path: Path) -> dict[str, dict[str, float]]:
    """Whatever cannot be understood counts as empty."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {
            key: {name: float(rate) for name, rate in rates.items() if float(rate) > 0}
            for key, rates in stored.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write(path: Path, rates: dict[str, dict[str, float]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rates, indent=1), encoding="utf-8")
    except OSError:
        return
