"""GeoTIFFs of the benchmarks: how scenes are laid out, and how many pixels of a mask are wrong."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

BLOCK_PX = 512
BUILDING = {"geoconvnext": 127, "predict": 127}
"""From which value on a pixel is a building: geoconvnext writes probabilities * 254, the others a mask."""


def profile(side: int, *, bands: int, gsd_m: float) -> dict[str, object]:
    """Return the layout of a square scene as most are: bytes, deflated in blocks, in metres."""
    size = {"driver": "GTiff", "count": bands, "height": side, "width": side, "dtype": "uint8"}
    place = {"crs": "EPSG:32631", "transform": Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_200_000)}
    blocks = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate"}
    return size | place | blocks


def count_wrong(truth: Path, found: Path, *, building: int = 1) -> dict[str, float]:
    """Count pixels of a mask that are not as in the truth (1 and 0); 255 is wrong, too.

    building: from which value on a pixel of `found` is one. ValueError where it does not lie on the grid of
    the truth.
    """
    with rasterio.open(truth) as right, rasterio.open(found) as mask:
        end_px = ~right.transform @ mask.transform @ (right.width, right.height)
        if mask.shape != right.shape or not np.allclose(end_px, (right.width, right.height), atol=0.01):
            raise ValueError(f"the mask is {mask.shape} at {mask.transform[:6]}, not on the scene's grid")
        wrong = 0
        for row in range(0, right.height, BLOCK_PX):
            window = ((row, min(row + BLOCK_PX, right.height)), (0, right.width))
            values = mask.read(1, window=window)
            is_wrong = (values >= building) != (right.read(1, window=window) == 1)
            wrong += int(np.count_nonzero(is_wrong | (values == 255)))
    return {"wrong_px": wrong}
