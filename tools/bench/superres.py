"""Super-resolution: the finer outputs of a network against enlarging its mask, or its image before it.

Tiles are seen with a sensor of 2 and 4 times their pixel size; what is found in that image is compared with
the truth on the tile's own grid. Columns: IoU and boundary IoU (1 m) of pixels, F1 of buildings below 100 m2,
width of the response to a straight wall (10% to 90% in metres, of the mean over walls, so that misplaced ones
widen it: the effective resolution, on drawn scenes, whose walls are exact), million pixels of the fine grid
per second, all ways timed in turn. Scores are means over the tile sets.

Example:  python tools/bench/superres.py tiles/val/* --weights model.safetensors --json superres.json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import shapely
from affine import Affine

from geoconvnext.data.augment import Augmentation
from geoconvnext.data.coverage import cover
from geoconvnext.data.tiles import Tile, TileFolder
from geoconvnext.inference import load_model
from geoconvnext.metrics.counts import Counts
from geoconvnext.metrics.pixel import count_boundary_pixels, count_pixels
from geoconvnext.metrics.scores import BOUNDARY_M, Scores, pool, score
from geoconvnext.model.runtime import LEVELS, Runner, choose_placement
from geoconvnext.model.weights import default_weights_path, load_weights
from geoconvnext.vector.footprints import find_footprints
from geoconvnext.vector.rules import FootprintRules

FACTORS = (2, 4)
PADDED_TO = 32 * max(FACTORS)
MIN_WALL_M, REACH_M, STEP_M = 6.0, 4.0, 0.1
OFFSETS_M = np.arange(-REACH_M, REACH_M + STEP_M / 2, STEP_M)  # across a wall, outwards
TIMED_PX = 2048
Runners = dict[int, Runner]  # by scale
WAYS = {
    "head": lambda runners, image, factor: runners[factor](image),
    "mask enlarged": lambda runners, image, factor: enlarge(runners[1](image), factor, cv2.INTER_LINEAR),
    "image enlarged": lambda runners, image, factor: runners[1](enlarge(image, factor, cv2.INTER_CUBIC)),
}


@dataclass
class Tally:
    """What one way to a fine mask got right on the tiles of a set."""

    pixels: Counts = field(default_factory=Counts)
    boundary: Counts = field(default_factory=Counts)
    buildings: list[Scores] = field(default_factory=list)
    profiles: list[np.ndarray] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        """Return the scores by name."""
        return {
            "iou": float(self.pixels.iou),
            "boundary_iou": float(self.boundary.iou),
            "f1_small": pool(self.buildings).groups()["small"]["f1"],
            "wall_m": edge_width(np.concatenate(self.profiles)),
        }


def main() -> None:
    """Parse, compare, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, default=default_weights_path())
    parser.add_argument("--rounds", type=int, default=5, help="of timing")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    net, info = load_weights(arguments.weights)
    placement = choose_placement()
    runners = {scale: Runner(net, placement, scale) for scale in info.spec.scales}
    rules = load_model(arguments.weights, placement).rules
    results = {}
    for factor in (factor for factor in FACTORS if factor in runners):
        rows = {path.name: compare(path, runners, rules, factor) for path in arguments.sets}
        speeds = time_ways(runners, factor, arguments.rounds, info.spec.bands)
        results[factor] = {"sets": rows, "mpx_per_s": speeds}
        print_table(factor, list(rows.values()), speeds)
    print(f"on {placement.describe()}, {arguments.weights.name}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def compare(path: Path, runners: Runners, rules: FootprintRules, factor: int) -> dict[str, dict[str, float]]:
    """Score every way on a tile set."""
    tallies, folder = {way: Tally() for way in WAYS}, TileFolder(path)
    for number, record in enumerate(folder.records()):
        tile = padded(folder.read(record.name))
        rng = np.random.default_rng([factor, number])
        coarse = Augmentation(sensor=1).view(tile.image, factor, rng)
        image = np.ascontiguousarray(coarse.transpose(2, 0, 1)[None])
        for way, find in WAYS.items():
            add_tile(tallies[way], find(runners, image, factor)[0], tile, record.gsd_m, rules)
    return {way: tally.row() for way, tally in tallies.items()}


def padded(tile: Tile) -> Tile:
    """Continue a tile by its mirror image to a size that every factor divides; nothing is known there."""
    rest = [(0, -size % PADDED_TO) for size in tile.known.shape]
    return Tile(np.pad(tile.image, [*rest, (0, 0)], mode="symmetric"), np.pad(tile.known, rest), tile.rings)


def add_tile(tally: Tally, found: np.ndarray, tile: Tile, gsd_m: float, rules: FootprintRules) -> None:
    """Compare probabilities (3, H, W) * LEVELS with the truth."""
    size = dict(zip(("height", "width"), tile.known.shape, strict=True))
    share = cover(tile.rings, **size).share
    masks, unknown = (found[0] >= rules.body_level, share >= 0.5), ~tile.known
    distance_px = max(1, round(BOUNDARY_M / gsd_m))
    tally.pixels += count_pixels(*masks, ignore=unknown)
    tally.boundary += count_boundary_pixels(*masks, distance_px=distance_px, ignore=unknown)
    seen = np.where(tile.known, found, np.uint8(255))
    ground = {"transform": Affine.scale(gsd_m), "crs": None, "gsd_m": gsd_m}
    footprints = find_footprints([seen], **size, **ground, rules=rules)
    truth = true_buildings(tile, gsd_m, rules.min_area_m2)
    tally.buildings.append(score(footprints.geometry.to_numpy(), truth))
    tally.profiles.append(wall_profiles(found[0] / np.float32(LEVELS), share, tile, gsd_m))


def true_buildings(tile: Tile, gsd_m: float, min_area_m2: float) -> np.ndarray:
    """Cut the buildings, in metres, at the border of what is known, as predictions are; no small remains."""
    rings, rows, cols = tile.rings, *(np.flatnonzero(tile.known.any(axis=axis)) for axis in (1, 0))
    numbers = np.repeat(np.arange(len(rings.building)), np.diff(rings.offsets))
    lines = shapely.linearrings(rings.coords * gsd_m, indices=numbers)
    buildings = shapely.build_area(shapely.multilinestrings(lines, indices=rings.building - 1))
    corners = (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1)
    cut = shapely.intersection(buildings, shapely.box(*(gsd_m * corner for corner in corners)))
    return cut[shapely.area(cut) >= min_area_m2]


def wall_profiles(body: np.ndarray, share: np.ndarray, tile: Tile, gsd_m: float) -> np.ndarray:
    """Return probabilities (n, offsets) across long walls with a building inside and open ground outside."""
    coords, inner_ends = tile.rings.coords, tile.rings.offsets[1:-1]
    along = np.diff(coords, axis=0)
    along[inner_ends - 1] = 0  # from the last corner of a ring to the first of the next
    length = np.hypot(*along.T)
    walls = np.flatnonzero(length * gsd_m >= MIN_WALL_M)
    outward = np.column_stack([along[walls, 1], -along[walls, 0]]) / length[walls, None]
    points = [coords[walls] + part * along[walls] for part in (0.3, 0.4, 0.5, 0.6, 0.7)]
    steps = np.tile(outward, (len(points), 1))[:, None] * (OFFSETS_M / gsd_m)[:, None]
    x, y = np.moveaxis((np.concatenate(points)[:, None] + steps - 0.5).astype(np.float32), -1, 0)
    if not x.size:
        return np.empty((0, len(OFFSETS_M)))
    layers = (body, share, tile.known.astype(np.float32))
    found, truth, known = (cv2.remap(layer, x, y, cv2.INTER_LINEAR) for layer in layers)
    as_expected = ((truth > 0.5) == (OFFSETS_M < 0)) | (np.abs(OFFSETS_M) < gsd_m)
    return found[(as_expected & (known == 1)).all(axis=1)]


def edge_width(profiles: np.ndarray) -> float:
    """Distance in metres over which the mean profile falls from 90% to 10%; NaN without walls."""
    if not len(profiles):
        return float("nan")
    mean = profiles.mean(axis=0)
    inside, outside = (mean[far].mean() for far in (OFFSETS_M < 1 - REACH_M, OFFSETS_M > REACH_M - 1))
    falling = np.minimum.accumulate((mean - outside) / (inside - outside))
    high, low = np.interp([-0.9, -0.1], -falling, OFFSETS_M)
    return float(low - high)


def enlarge(image: np.ndarray, factor: int, interpolation: int) -> np.ndarray:
    """Resize (1, C, H, W) to (1, C, factor*H, factor*W)."""
    size = (factor * image.shape[3], factor * image.shape[2])
    return np.stack([cv2.resize(band, size, interpolation=interpolation) for band in image[0]])[None]


def time_ways(runners: Runners, factor: int, rounds: int, bands: int) -> dict[str, float]:
    """Million pixels of the fine grid per second: the median of rounds in which each way runs once."""
    side = TIMED_PX // factor
    image = np.random.default_rng(0).integers(0, 256, (1, bands, side, side), np.uint8)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds + 1):
        for way, find in WAYS.items():
            start = time.perf_counter()
            find(runners, image, factor)
            seconds[way].append(time.perf_counter() - start)
    return {way: TIMED_PX**2 / 1e6 / float(np.median(values[1:])) for way, values in seconds.items()}


def print_table(factor: int, sets: list[dict[str, dict[str, float]]], speeds: dict[str, float]) -> None:
    """Print a line per way: its mean scores over the sets where they are defined, and its speed."""
    names = list(sets[0]["head"])
    print(f"{f'{factor}x':16}" + "".join(f"{name:>14}" for name in [*names, "mpx_per_s"]))
    for way, speed in speeds.items():
        means = [np.nanmean([rows[way][name] for rows in sets]) for name in names]
        print(f"{way:16}" + "".join(f"{value:14.3f}" for value in [*means, speed]))


if __name__ == "__main__":
    main()
