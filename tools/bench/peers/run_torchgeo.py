"""torchgeo: its dataset and grid sampler; the stitching, which it leaves to its users, as short as can be."""

import numpy as np
import rasterio
import torch
from meter import Counted, Job, measure
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GriddedPatchSampler


def run(job: Job, net: Counted) -> None:
    """Add up the probabilities of the whole scene in memory, and write the larger one."""
    dataset = RasterDataset(paths=[job.scene])
    sampler = GriddedPatchSampler(dataset, size=job.tile_px, stride=job.tile_px - job.overlap_px)
    loader = DataLoader(dataset, sampler=sampler, batch_size=job.batch, collate_fn=stack_samples)
    with rasterio.open(job.scene) as scene:
        profile, inverse = scene.profile, ~scene.transform
    total = np.zeros((2, profile["height"], profile["width"]), np.float32)
    with torch.inference_mode():
        for batch in loader:
            for found, bounds in zip(net(batch["image"] / 255).softmax(1), batch["bounds"], strict=True):
                west, north = float(bounds[0]), float(bounds[4])
                col, row = (round(place) for place in inverse @ (west, north))
                add(total, found.numpy(), row, col)
    with rasterio.open(job.output, "w", **profile | {"count": 1}) as mask:
        mask.write(total.argmax(0).astype(np.uint8), 1)


def add(total: np.ndarray, found: np.ndarray, row: int, col: int) -> None:
    """Add what lies inside the scene."""
    inside = found[:, max(-row, 0) :, max(-col, 0) :]
    place = total[:, max(row, 0) : row + found.shape[1], max(col, 0) : col + found.shape[2]]
    place += inside[:, : place.shape[1], : place.shape[2]]


if __name__ == "__main__":
    measure(run)
