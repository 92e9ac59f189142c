"""segment-geospatial: any function of an image over tiles with a margin; one window at a time."""

import numpy as np
import torch
from meter import Counted, Job, measure
from samgeo.common import tiff_to_tiff


def run(job: Job, net: Counted) -> None:
    """Hand over the network as a function from pixels (H, W, bands) to a mask (H, W)."""

    def find(pixels: np.ndarray, **_: object) -> np.ndarray:
        with torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(pixels[..., :3].transpose(2, 0, 1)))
            return net(image[None].float() / 255).argmax(1)[0].numpy().astype(np.uint8)

    margin = job.overlap_px // 2  # on all sides
    tiff_to_tiff(
        str(job.scene),
        str(job.output),
        find,
        sample_size=(job.tile_px - job.overlap_px, job.tile_px - job.overlap_px),
        bound=margin,
        erosion_kernel=None,
    )


if __name__ == "__main__":
    measure(run)
