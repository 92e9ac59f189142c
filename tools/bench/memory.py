"""Memory of `geoconvnext predict` on a scene of any size, with a network that costs nothing.

The scene is a VRT that repeats one small tile of rectangular buildings, so it takes no room on disk. What is
measured is everything but the network itself: reading, blending, the mosaic, the footprints, the file.

    python tools/bench/memory.py --width 40000 --height 40000 --scale 2
"""

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.inference import Model
from geoconvnext.model.net import NetSpec
from geoconvnext.model.weights import View, WeightsInfo
from geoconvnext.predict import predict
from geoconvnext.raster.scene import Scene
from geoconvnext.raster.write import write_raster
from geoconvnext.scenes import PredictOptions
from geoconvnext.vector.rules import FootprintRules

TILE_PX = 1000
GSD_M = 0.3
GROUND, ROOF = 60, 220
SOURCE = """<SimpleSource>
<SourceFilename relativeToVRT="1">tile.tif</SourceFilename><SourceBand>{band}</SourceBand>
<SrcRect xOff="0" yOff="0" xSize="{tile}" ySize="{tile}"/>
<DstRect xOff="{col}" yOff="{row}" xSize="{tile}" ySize="{tile}"/></SimpleSource>"""
COLORS = ("Red", "Green", "Blue")


def main() -> None:
    """Make the scene, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--width", type=int, default=40_000, help="of the scene (px)")
    parser.add_argument("--height", type=int, default=40_000, help="of the scene (px)")
    parser.add_argument("--scale", type=int, default=1, choices=(1, 2, 4), help="mask pixels per image pixel")
    parser.add_argument("--per-tile", type=int, default=8, help="buildings along each axis of 1000 px")
    parser.add_argument("--folder", type=Path, help="where to put mosaic and footprints (default: temporary)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        scene = write_scene(Path(folder), options.height, options.width, options.per_tile)
        measure(scene, options.scale)


def write_scene(folder: Path, height: int, width: int, per_tile: int) -> Path:
    """Write the tile and the VRT that repeats it."""
    random = np.random.default_rng(0)
    pixels = random.integers(GROUND - 20, GROUND + 20, (3, TILE_PX, TILE_PX)).astype(np.uint8)
    step = TILE_PX // per_tile
    for row in range(step // 4, TILE_PX, step):
        for col in range(step // 4, TILE_PX, step):
            rows, cols = random.integers(step // 4, step // 2, 2)
            pixels[:, row : row + rows, col : col + cols] = ROOF
    write_raster(folder / "tile.tif", pixels, transform=Affine.scale(1.0), crs=None)
    places = [(row, col) for row in range(0, height, TILE_PX) for col in range(0, width, TILE_PX)]
    bands = []
    for band, color in enumerate(COLORS, start=1):
        sources = "".join(SOURCE.format(band=band, tile=TILE_PX, row=row, col=col) for row, col in places)
        interpretation = f"<ColorInterp>{color}</ColorInterp>"
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}">{interpretation}{sources}</VRTRasterBand>'
        )
    path = folder / "scene.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>400000, {GSD_M}, 0, 5800000, 0, -{GSD_M}</GeoTransform>{''.join(bands)}</VRTDataset>"
    )
    return path


def brightness(scale: int) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return a network whose building body is the first band; no edges, no contacts."""

    def run(windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        body = np.minimum(windows[:, :1], 254).repeat(scale, 2).repeat(scale, 3)
        return np.concatenate([body, np.zeros_like(body), np.zeros_like(body)], axis=1)

    return run


def measure(path: Path, scale: int) -> None:
    """Predict, and print resident memory along the way, time and buildings."""
    view = View(scale=scale, gsd_range_m=(GSD_M / 2, GSD_M * 2))
    info = WeightsInfo(spec=NetSpec(scale=scale), views=(view,))
    model = Model({scale: brightness(scale)}, info, FootprintRules(), "brightness")
    watch = MemoryWatch()
    with Scene.open(path, gsd_range_m=info.gsd_range_m) as scene:
        result = predict(scene, path.with_name("out.gpkg"), model, PredictOptions(), progress=watch.follow)
    watch.stop()
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{scene.width} x {scene.height} px at scale {scale}: {result.footprints:,} buildings")
    print(f"peak resident memory {peak_gb:.2f} GB, wall {result.seconds:.0f} s")


class MemoryWatch:
    """Prints the most memory that this process had, for every tenth of the work."""

    def __init__(self) -> None:
        self._tenth, self._most, self._done = 0, 0, threading.Event()
        self._start = time.monotonic()
        threading.Thread(target=self._sample, daemon=True).start()

    def follow(self, _: str, done: int, total: int) -> None:
        """Follow the progress of `predict`."""
        if (tenth := 10 * done // total) > self._tenth:
            self._print()
            self._tenth, self._most = tenth, 0

    def stop(self) -> None:
        """Stop sampling."""
        self._done.set()
        self._print()

    def _print(self) -> None:
        seconds = time.monotonic() - self._start
        print(f"  {self._tenth}0 %, after {seconds:.0f} s: {self._most / 1e9:.2f} GB", flush=True)

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.05):
            self._most = max(self._most, process.memory_info().rss)


if __name__ == "__main__":
    main()
