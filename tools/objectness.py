"""Could windows be skipped where the auxiliary head sees no building? What it would lose, and save.

Over labelled tiles: the share of right footprints (IoU 0.5) under which the auxiliary body probability stays
below each threshold at 1/16 of the resolution, which is what skipping could lose. Over scenes: the share of
windows in which it stays below everywhere, which is what skipping could save.

Example:  python tools/objectness.py --tiles tiles/val/* --scenes scene1.tif scene2.tif --tile 1024
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.data.tiles import TileFolder, TileRecord
from geoconvnext.inference import Model, choose_view, load_model
from geoconvnext.metrics.objects import match_objects
from geoconvnext.model.net import AUXILIARY_STAGE, BuildingNet
from geoconvnext.model.runtime import choose_placement
from geoconvnext.model.weights import default_weights_path, load_weights
from geoconvnext.raster.grid import STRIDE_PX, Window
from geoconvnext.raster.rows import read_windows
from geoconvnext.scenes import PredictOptions, open_scene
from geoconvnext.vector.files import read_footprints
from geoconvnext.vector.footprints import find_footprints
from geoconvnext.walk import lay_grid

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
CELL_PX = 16
"""Image pixels under a value of the auxiliary head, along each axis."""


def main() -> None:
    """Print the losses, then the savings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=default_weights_path())
    parser.add_argument("--tiles", type=Path, nargs="*", default=[], help="folders of `geoconvnext tile`")
    parser.add_argument("--scenes", nargs="*", default=[])
    parser.add_argument("--tile", type=int, default=1024, help="side of the windows of the scenes (px)")
    arguments = parser.parse_args()
    net, model = load_weights(arguments.weights)[0], load_model(arguments.weights, choose_placement())
    print("below:", *(f"{threshold:8}" for threshold in THRESHOLDS))
    for folder in arguments.tiles:
        tiles = TileFolder(folder)
        found = [value for record in tiles.records() for value in under_footprints(tiles, record, net, model)]
        print_shares(f"right footprints of {folder.name}", found)
    for path in arguments.scenes:
        print_shares(f"windows of {Path(path).name}", [*over_windows(path, net, model, arguments.tile)])


def print_shares(name: str, values: list[float]) -> None:
    """Print the share of the values below each threshold."""
    shares = (f"{np.mean(np.array(values) < threshold):8.2%}" for threshold in THRESHOLDS)
    print("      ", *shares, f" of {len(values)} {name}", flush=True)


def under_footprints(
    folder: TileFolder, record: TileRecord, net: BuildingNet, model: Model
) -> Iterator[float]:
    """Yield the highest auxiliary probability under each right footprint of a tile."""
    truth = read_footprints(folder.path / f"{record.name}.fgb").geometry
    options = PredictOptions(gsd_m=record.gsd_m if truth.crs is None else None)
    with open_scene(str(folder.path / f"{record.name}.tif"), model.info, options) as scene:
        scale = choose_view(model.info, scene.source_gsd_m).scale
        height, width = (-(-extent // STRIDE_PX) * STRIDE_PX for extent in (scene.height, scene.width))
        pixels = scene.read(Window(0, 0, height, width)).pixels
        band = model.runners[scale](pixels[None])[0]
        ours = find_footprints(
            [band],
            height=height * scale,
            width=width * scale,
            transform=Affine.scale(1 / scale),
            crs=None,
            rules=model.rules_at(scale),
            gsd_m=(scene.gsd_m or record.gsd_m) / scale,
        ).geometry.to_numpy()
        a, b, c, d, e, f = (~scene.transform)[:6]
    buildings = shapely.transform(truth.to_numpy(), lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
    seen = auxiliary(net, pixels)
    for index in match_objects(ours, buildings).predicted:
        left, top, right, bottom = (int(side) // CELL_PX for side in ours[index].bounds)
        yield float(seen[max(top, 0) : bottom + 1, max(left, 0) : right + 1].max())


def over_windows(path: str, net: BuildingNet, model: Model, tile: int) -> Iterator[float]:
    """Yield the highest auxiliary probability in each window of a scene."""
    with open_scene(path, model.info, PredictOptions()) as scene:
        grid = lay_grid(scene.height, scene.width, tile, model.info.halo)
        for _, seen in read_windows(scene, grid, threads=2):
            yield float(auxiliary(net, seen.pixels).max())


def auxiliary(net: BuildingNet, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the encoder and the auxiliary head on pixels (bands, H, W); probabilities (H / 16, W / 16)."""
    with torch.inference_mode():
        image = (torch.from_numpy(pixels)[None] - net.mean) / net.std
        logits = net.auxiliary(net.encoder(image)[AUXILIARY_STAGE])
        return np.asarray(logits.sigmoid()[0, 0].numpy(), np.float32)


if __name__ == "__main__":
    main()
