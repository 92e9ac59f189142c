"""The loop to measure against: windows read one by one, blended in one tile row, written row by row.

Nothing but rasterio, numpy and torch; scenes smaller than a window are not its business.
"""

import numpy as np
import rasterio
import torch
from meter import Counted, Job, measure


def run(job: Job, net: Counted) -> None:
    """Sum the lead of building over ground, weighted with the distance to the border of the window."""
    tile, step = job.tile_px, job.tile_px - job.overlap_px
    nearness = np.minimum(np.arange(tile) + 1, tile - np.arange(tile)).clip(max=job.overlap_px)
    weight = np.outer(nearness, nearness).astype(np.float32) / job.overlap_px**2
    with torch.inference_mode(), rasterio.open(job.scene) as scene:
        rows, cols = starts(scene.height, tile, step), starts(scene.width, tile, step)
        lead = np.zeros((tile, scene.width), np.float32)
        with rasterio.open(job.output, "w", **profile(scene)) as mask:
            for row, next_row in zip(rows, [*rows[1:], scene.height], strict=True):
                for first in range(0, len(cols), job.batch):
                    batch = cols[first : first + job.batch]
                    for col, found in zip(batch, look(scene, net, row, batch, tile), strict=True):
                        lead[:, col : col + tile] += found * weight
                done = next_row - row
                mask.write((lead[:done] > 0).astype(np.uint8), 1, window=((row, next_row), (0, scene.width)))
                lead[: tile - done] = lead[done:]
                lead[tile - done :] = 0


def look(scene: rasterio.DatasetReader, net: Counted, row: int, cols: list[int], tile: int) -> np.ndarray:
    """Return probability of building minus that of ground, (N, tile, tile), of windows side by side."""
    windows = np.stack([scene.read(window=((row, row + tile), (col, col + tile))) for col in cols])
    ground, building = net(torch.from_numpy(windows).float().div_(255)).softmax(1).unbind(1)
    return building.sub_(ground).numpy()


def starts(extent: int, tile: int, step: int) -> list[int]:
    """Return where windows start; the last one ends with the scene."""
    return [*range(0, extent - tile, step), extent - tile]


def profile(scene: rasterio.DatasetReader) -> dict[str, object]:
    """Return the profile of the mask."""
    blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "lzw"}
    return scene.profile | blocks | {"count": 1, "dtype": "uint8", "nodata": 255}


if __name__ == "__main__":
    measure(run)
