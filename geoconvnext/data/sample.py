"""A sample: pixels and polygons of a crop on the grids of a network's input and output."""

from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoconvnext.data.coverage import cover
from geoconvnext.data.crop import Crop, cut_image, cut_known, cut_rings
from geoconvnext.data.rings import Rings
from geoconvnext.data.targets import make_targets, margin_px
from geoconvnext.data.tiles import Tile

PASTE_GAP_M = 2.0
"""How far a pasted building stays away from others."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a crop holds.

    image: uint8 (size, size, C), on the grid of the input or finer. Of the output's grid of N x N pixels of
    `gsd_m`: rings; known: bool (N + 2m, N + 2m), m = `margin_px(gsd_m)` pixels around. separate: touching
    buildings are polygons of their own.
    """

    image: NDArray[np.uint8]
    rings: Rings
    known: NDArray[np.bool_]
    gsd_m: float
    separate: bool

    @classmethod
    def cut(
        cls, tile: Tile, crop: Crop, *, image_size: int, output_size: int, gsd_m: float, separate: bool
    ) -> "Sample":
        """Cut a sample whose output pixels are `gsd_m` from a tile."""
        return cls(
            image=cut_image(tile.image, crop, image_size),
            rings=cut_rings(tile.rings, crop, output_size),
            known=cut_known(tile.known, crop, output_size, margin=margin_px(gsd_m)),
            gsd_m=gsd_m,
            separate=separate,
        )

    def known_inside(self) -> NDArray[np.bool_]:
        """Known ground (N, N), without the margin."""
        margin = margin_px(self.gsd_m)
        return self.known[margin:-margin, margin:-margin]

    def targets(self) -> dict[str, Tensor]:
        """Targets of the network by name; see `make_targets`."""
        targets = make_targets(self.rings, self.known, gsd_m=self.gsd_m, separate=self.separate)
        return {name: torch.from_numpy(target) for name, target in asdict(targets).items()}


def channels_first(image: NDArray[np.uint8]) -> Tensor:
    """Tensor (C, H, W) of an image (H, W, C)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def paste_buildings(sample: Sample, donor: Sample) -> Sample:
    """Put the whole buildings of another sample of the same sizes where this one has empty, known ground.

    Their shadows stay behind; the seam is as soft as the image's pixels are large.
    """
    shape = sample.known_inside().shape
    gap = 2 * round(PASTE_GAP_M / sample.gsd_m) + 1
    taken = cover(sample.rings, height=shape[0], width=shape[1]).share > 0
    # At the border of known ground the donor's buildings may be cut off.
    taken |= ~sample.known_inside() | ~donor.known_inside()
    refused = cv2.dilate(taken.view(np.uint8), np.ones((gap, gap), np.uint8)) > 0
    refused[[0, -1]] = refused[:, [0, -1]] = True
    number = cover(donor.rings, height=shape[0], width=shape[1]).number
    chosen = np.setdiff1d(number, np.append(number[refused], 0))
    pasted = donor.rings.only(chosen)
    share = cover(pasted, height=shape[0], width=shape[1]).share
    alpha = cv2.resize(share, sample.image.shape[1::-1], interpolation=cv2.INTER_AREA)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.7)[..., None]
    blended = np.rint(sample.image + alpha * (donor.image.astype(np.float32) - sample.image))
    return replace(sample, image=blended.astype(np.uint8), rings=sample.rings.joined(pasted))
