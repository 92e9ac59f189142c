"""How fast footprints are found in a probability raster and written, and the memory that takes.

The raster repeats a tile of rectangular buildings with noise between them, handed over in bands of several
heights; after that, outlines of rotated rectangles are straightened, and rectangles are written in every
format. Each line comes from a process of its own, which has done a little of the same before: seconds, how
much was done per second, and by how much the resident memory grew at its peak.

    python tools/bench/vector.py --height 8192 --width 16384 --polygons 1000000
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import geopandas as gpd
import numpy as np
import psutil
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.vector.draw import draw
from geoconvnext.vector.files import SUFFIXES, write_footprints
from geoconvnext.vector.footprints import PATCHES_PER_BATCH, stream_footprints
from geoconvnext.vector.regularize import SQUARED, Regularized, regularize
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.rules import FootprintRules
from geoconvnext.vector.sweep import sweep

TILE_ROWS = 2048
WARM_UP = 1 / 16
RULES = FootprintRules()
MIN_SEED_PX = 16.0
VERTEX_M = 0.25
HOUSE_PX = 40
UTM = Affine(0.5, 0.0, 400_000.0, 0.0, -0.5, 5_800_000.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--height", type=int, default=8192, help="of the raster (px)")
    parser.add_argument("--width", type=int, default=16_384, help="of the raster (px)")
    parser.add_argument("--spacing", type=int, default=77, help="of the buildings (px)")
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[256, 512, 2048],
        choices=[2**k for k in range(12)],
        help="of the bands",
    )
    parser.add_argument("--polygons", type=int, default=1_000_000, help="to write")
    parser.add_argument(
        "--outlines", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="to straighten"
    )
    parser.add_argument("--threads", type=int, default=2, help="that straighten them")
    parser.add_argument("--city", type=int, help="side of a city in one component (px; 20000: 8 GB, 75 s)")
    options = parser.parse_args()
    print(f"{'':<32}{'seconds':>8}{'per second':>18}{'memory':>11}")
    for rows in options.rows:
        for work in (find_patches, find_outlines, find_tables):
            title = f"{work.__name__} {rows} rows a band"
            report(title, "Mpx", work, options.height, options.width, options.spacing, rows)
    for count in options.outlines:
        report(f"straighten {count} outlines", "k polygons", straighten, count, options.threads)
    for suffix in SUFFIXES:
        report(f"write {suffix}", "k polygons", write, options.polygons, suffix)
    if options.city:
        report(f"a city of {options.city} px in one piece", "Mpx", find_city, options.city)


def report(title: str, unit: str, work: Callable[..., float], size: int, *others: object) -> None:
    """Measure in a process of its own and print a line."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        amount, seconds, grown_mb = pool.submit(measure, work, size, *others).result()
    print(f"{title:<32}{seconds:>8.2f}{amount / seconds:>8.0f} {unit:<10}{grown_mb:>7.0f} MB", flush=True)


def measure(work: Callable[..., float], size: int, *others: object) -> tuple[float, float, float]:
    """Return how much was done, in how many seconds, and the growth of the memory in MB."""
    work(int(size * WARM_UP), *others)
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    amount = work(size, *others)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return amount, seconds, (peak - before) / 1e6


def find_patches(height: int, width: int, spacing: int, rows: int) -> float:
    """Sweep alone; return megapixels, as do the next two."""
    for _ in sweep(bands(height, width, spacing, rows), width=width, threshold=RULES.body_level):
        pass
    return height * width / 1e6


def find_outlines(height: int, width: int, spacing: int, rows: int) -> float:
    """Sweep, divide and trace."""
    patches = sweep(bands(height, width, spacing, rows), width=width, threshold=RULES.body_level)
    while batch := list(islice(patches, PATCHES_PER_BATCH)):
        draw(batch, RULES, min_seed_px=MIN_SEED_PX)
    return height * width / 1e6


def find_tables(height: int, width: int, spacing: int, rows: int) -> float:
    """All the way to georeferenced tables."""
    found = bands(height, width, spacing, rows)
    for _ in stream_footprints(found, height=height, width=width, transform=UTM, crs=32633, rules=RULES):
        pass
    return height * width / 1e6


def straighten(count: int, threads: int) -> float:
    """Straighten outlines of a vertex every VERTEX_M, batch by batch; return thousands."""
    with ThreadPoolExecutor(threads) as pool:
        batches = [min(PATCHES_PER_BATCH, count - first) for first in range(0, count, PATCHES_PER_BATCH)]
        for regular in pool.map(lambda size: straighten_batch(draw_outlines(size)), batches):
            assert (regular.outline == SQUARED).all()
    return count / 1e3


def straighten_batch(outlines: Rings) -> Regularized:
    """Straighten outlines that do not touch."""
    group = np.arange(len(outlines.sizes))
    maps = np.broadcast_to(np.eye(2), (len(group), 2, 2))
    return regularize(outlines, group, maps, tolerance=RULES.tolerance_m, simplify_tolerance=RULES.simplify_m)


def find_city(side: int) -> float:
    """Divide and straighten houses that all hang together; return megapixels."""
    house = np.zeros((3, HOUSE_PX, HOUSE_PX), np.uint8)
    body, _, contact = house
    body[2:-2, 2:-2] = 240
    middle = slice(HOUSE_PX // 2 - 1, HOUSE_PX // 2 + 1)
    body[middle, :2] = body[middle, -2:] = body[:2, middle] = body[-2:, middle] = 200
    contact[:2] = contact[-2:] = contact[:, :2] = contact[:, -2:] = 250
    row = np.tile(house, (1, 1, -(-side // HOUSE_PX)))[:, :, :side]
    found = (row[:, : min(HOUSE_PX, side - first)] for first in range(0, side, HOUSE_PX))
    for _ in stream_footprints(found, height=side, width=side, transform=UTM, crs=32633, rules=RULES):
        pass
    return side**2 / 1e6


@cache
def draw_outlines(count: int) -> Rings:
    """Draw the outlines of rotated rectangles, blurred by noise, as a mask shows them."""
    random = np.random.default_rng(0)
    table = next(rectangles(count))
    outlines = Rings.of(shapely.segmentize(table.geometry.to_numpy(), VERTEX_M))
    noise = random.normal(0.0, VERTEX_M / 10.0, outlines.coords.shape)
    return replace(outlines, coords=outlines.coords + noise)


def write(count: int, suffix: str) -> float:
    """Write rotated rectangles, made while they are written; return thousands."""
    with tempfile.TemporaryDirectory() as folder:
        write_footprints(rectangles(count), Path(folder) / f"town{suffix}", provenance={"source": "bench"})
    return count / 1e3


def bands(height: int, width: int, spacing: int, rows: int) -> Iterator[NDArray[np.uint8]]:
    """Yield bands (3, rows, width) of the tile, over and over."""
    tile = draw_tile(width, spacing)
    for row in range(0, height, rows):
        start = row % TILE_ROWS
        yield tile[:, start : start + min(rows, height - row)]


@cache
def draw_tile(width: int, spacing: int) -> NDArray[np.uint8]:
    """Draw probabilities (3, TILE_ROWS, width): noise, and a building in every square of the spacing."""
    random = np.random.default_rng(0)
    tile = random.integers(0, 100, (3, TILE_ROWS, width), np.uint8)
    for row in range(0, TILE_ROWS - spacing, spacing):
        for col in range(0, width - spacing, spacing):
            top, left = np.array([row, col]) + random.integers(1, spacing // 4, 2)
            high, wide = random.integers(spacing // 6, spacing * 3 // 4, 2)
            tile[0, top : top + high, left : left + wide] += 150
    return tile


def rectangles(count: int) -> Iterator[gpd.GeoDataFrame]:
    """Yield tables as stream_footprints() does, of rectangles at any angle."""
    random = np.random.default_rng(0)
    for first in range(0, count, PATCHES_PER_BATCH):
        ids = np.arange(first, min(first + PATCHES_PER_BATCH, count)) + 1
        half = random.uniform(3.0, 10.0, (2, len(ids)))
        along, across = half * np.exp(1j * random.uniform(0.0, np.pi, len(ids))) * [[1.0], [1j]]
        center = 400_000.0 + ids % 1000 * 30.0 + 1j * (5_800_000.0 + ids // 1000 * 30.0)
        corners = np.stack([along + across, across - along, -along - across, along - across], axis=1)
        corners += center[:, None]
        columns = {
            "id": ids,
            "area_m2": 4.0 * half[0] * half[1],
            "perimeter_m": 4.0 * half.sum(axis=0),
            "confidence": random.random(len(ids)),
            "touches_edge": ids % 50 == 0,
        }
        polygons = shapely.polygons(np.stack([corners.real, corners.imag], axis=-1))
        yield gpd.GeoDataFrame(columns, geometry=polygons, crs=32633)


if __name__ == "__main__":
    main()
