"""The image branch: what dual super-resolution learning adds to a network while it is trained."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from geoconvnext.model.net import NetSpec
from geoconvnext.model.superres import Doubling, level_channels


class ImageBranch(nn.Module):
    """Super-resolved image from the decoder's features, beside the head of the masks.

    It makes the features keep fine detail (Dual Super-Resolution Learning for Semantic Segmentation, CVPR
    2020), and is no part of the network: weights files never hold it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        widths = level_channels(spec.decoder_channels, spec.scale)
        self.doublings = nn.ModuleList(Doubling(*pair) for pair in pairwise([spec.decoder_channels, *widths]))
        self.outputs = nn.ModuleList(nn.Conv2d(width, spec.bands, 1) for width in widths[1:])
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1) / 255, persistent=False)

    def forward(self, decoded: Tensor, scale: int) -> dict[str, Tensor]:
        """From decoder features (N, C, H/4, W/4) to `image` and `image_features`.

        image: grey values in 0..1 (N, bands, scale*H, scale*W); image_features: what it is read from.
        """
        level = scale.bit_length() - 1
        features = decoded
        for doubling in self.doublings[: level + 2]:
            features = doubling(features)
        return {"image": self.outputs[level](features) * self.std + self.mean, "image_features": features}
