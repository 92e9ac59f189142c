"""What frameworks cost around a network: one that costs nothing, over a scene whose answer is known.

The network is pointwise, so the mask of the whole scene is right at every pixel or the framework is wrong.
The tool makes the scene (dark noise with bright rectangles), runs geoconvnext, a plain loop and those peers
that are installed in turn, each in a fresh process, and compares every pixel with the truth. geoconvnext
writes probabilities of three channels, the others a mask. Example, with the peers:

    python tools/bench/peers/install.py environments
    python tools/bench/overhead.py --environments environments --json overhead.json
"""

import argparse
import re
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
from peers.rasters import BLOCK_PX, BUILDING, count_wrong, profile
from peers.rounds import WINDOWS, Figures, Tool, installed_peers, interleave, script, table

PX_PER_RECTANGLE = 6000
SIDES_PX = (8, 40)
DARK, BRIGHT = (20, 90), (160, 250)  # the network says building from 127.5 on
COLUMNS = {
    "wall_s": ".2f",
    "cpu_s": ".2f",
    "cpu_s_least": ".2f",
    "growth_gb": ".2f",
    "windows": ".0f",
    "wrong_px": ",.0f",
}


class Pointwise(torch.nn.Module):
    """Logit of building: 40 * (mean of the bands - 0.5); of ground: 0."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2, H, W) of pixels (N, 3, H, W) in 0..1."""
        building = 40 * (image.mean(1, keepdim=True) - 0.5)
        return torch.cat([torch.zeros_like(building), building], 1)


def main() -> None:
    """Make the scene, run the rounds, print."""
    options = parse()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name).resolve()
        scene, truth = write_scene(folder, options.side)
        network = folder / "network.pt"
        torch.jit.script(Pointwise()).save(network)
        results = interleave(list_tools(options, scene, truth, network), options.rounds, folder)
    print(f"{options.side} x {options.side} px, {options.rounds} rounds, {options.threads} threads")
    print(table(results, COLUMNS, ratio="cpu_s", reference="reference"))
    if options.json:
        results.write(options.json, side=options.side, rounds=options.rounds, threads=options.threads)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=8192, help="of the scene (px), at least 512")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch, in every tool")
    parser.add_argument("--environments", type=Path, help="where peers/install.py put them")
    parser.add_argument("--peers", nargs="+", help="only these (default: all that are installed)")
    parser.add_argument("--reference", type=Path, help="a script to run too: SCRIPT SCENE prints its figures")
    parser.add_argument("--folder", type=Path, help="for scene and masks (default: temporary)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


def write_scene(folder: Path, side: int, seed: int = 0) -> tuple[Path, Path]:
    """Write the scene and its truth (1 building, 0 ground); a row of blocks in memory at a time."""
    rng = np.random.default_rng(seed)
    heights, widths = rng.integers(*SIDES_PX, (2, side**2 // PX_PER_RECTANGLE))
    tops, lefts = rng.integers(0, side - heights), rng.integers(0, side - widths)
    colors = rng.integers(*BRIGHT, (3, len(tops), 1, 1), np.uint8)
    paths = folder / "scene.tif", folder / "truth.tif"
    scene, truth = (
        rasterio.open(path, "w", **profile(side, bands=bands, gsd_m=0.3))
        for path, bands in zip(paths, (3, 1), strict=True)
    )
    with scene, truth:
        for row in range(0, side, BLOCK_PX):
            rows = min(BLOCK_PX, side - row)
            pixels, mask = rng.integers(*DARK, (3, rows, side), np.uint8), np.zeros((1, rows, side), np.uint8)
            for i in np.flatnonzero((tops < row + rows) & (tops + heights > row)):
                inside = slice(max(tops[i] - row, 0), tops[i] + heights[i] - row)
                place = (slice(None), inside, slice(lefts[i], lefts[i] + widths[i]))
                pixels[place], mask[place] = colors[:, i], 1
            for file, values in ((scene, pixels), (truth, mask)):
                file.write(values, window=((row, row + rows), (0, side)))
    return paths


def list_tools(options: argparse.Namespace, scene: Path, truth: Path, network: Path) -> list[Tool]:
    """Return what is to be measured, geoconvnext and our loop first."""
    places = dict.fromkeys(("geoconvnext", "reference"))
    places |= dict.fromkeys(installed_peers(options.environments, options.peers), options.environments)
    tools = []
    for name, environments in places.items():
        mask = scene.with_name(f"{name}.tif")
        arguments = (scene, mask, network, *WINDOWS, 1, options.threads)
        check = partial(count_wrong, truth, mask, building=BUILDING.get(name, 1))
        tools.append(Tool(name, script(name, *arguments, environments=environments), check=check))
    if options.reference:
        command = [sys.executable, str(options.reference.resolve()), str(scene)]
        read = partial(read_line, pixels=options.side**2)
        tools.append(Tool(options.reference.name, command, read))
    return tools


def read_line(printed: str, *, pixels: int) -> Figures:
    """Read figures from the line of an outside script: wall=1s cpu=1s peak=+1MB tiles 1 'wrong_frac': 0.0."""
    patterns = {
        "wall_s": r"wall=([\d.]+)s",
        "cpu_s": r"cpu=([\d.]+)s",
        "growth_gb": r"peak=\+([\d.]+)MB",
        "windows": r"tiles (\d+)",
        "wrong_px": r"'wrong_frac': ([\d.e-]+)",
    }
    units = {"growth_gb": 1e-3, "wrong_px": pixels}
    found = {name: re.search(pattern, printed) for name, pattern in patterns.items()}
    return {name: float(match[1]) * units.get(name, 1) for name, match in found.items() if match}


if __name__ == "__main__":
    main()
