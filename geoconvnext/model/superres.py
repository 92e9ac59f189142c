"""Super-resolution head: from decoder features at 1/4 to a mask as fine as the image, or finer."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

MIN_CHANNELS = 16


class Doubling(nn.Module):
    """Twice the resolution by sub-pixel convolution (arXiv 1609.05158), ICNR kernels (arXiv 1707.02937)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        _start_with_equal_subpixels_(self.conv, copy=in_channels == out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, 2H, 2W)."""
        return relu(self.shuffle(self.conv(features)))


class SuperResolutionHead(nn.Module):
    """Doublings from 1/4 to `scale` times the image, joined at 1x by a light branch straight from the image.

    Every level from 1x on has an output convolution of its own, so that one network serves all scales.
    """

    def __init__(self, channels: int, *, bands: int, outputs: int, scale: int) -> None:
        super().__init__()
        half, *widths = level_channels(channels, scale)
        self.to_image = nn.Sequential(Doubling(channels, half), Doubling(half, widths[0]))
        self.detail = nn.Conv2d(bands, widths[0], 3, padding=1)
        self.join = nn.Conv2d(2 * widths[0], widths[0], 3, padding=1)
        self.beyond_image = nn.ModuleList(Doubling(*pair) for pair in pairwise(widths))
        self.outputs = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in widths)

    def forward(self, features: Tensor, image: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        """Logits of all outputs (N, outputs, scale*H, scale*W), and what they are read from (N, width, ...).

        features: of the decoder (N, channels, H/4, W/4); image: normalised (N, bands, H, W); finer levels
        than `scale` are not run.
        """
        fine = torch.cat([self.to_image(features), relu(self.detail(image))], dim=1)
        fine = relu(self.join(fine))
        doublings = scale.bit_length() - 1
        for doubling in self.beyond_image[:doublings]:
            fine = doubling(fine)
        return self.outputs[doublings](fine), fine


def level_channels(channels: int, scale: int) -> list[int]:
    """Widths at 1/2, 1x and each doubling up to `scale`: half at each, MIN_CHANNELS or more."""
    return [max(channels >> halvings, MIN_CHANNELS) for halvings in range(1, scale.bit_length() + 2)]


def _start_with_equal_subpixels_(conv: nn.Conv2d, *, copy: bool) -> None:
    """Give the four sub-pixels of an output channel the same kernel and bias: no checkerboard from them.

    copy: the kernel repeats its channel, so that a network trained at a coarser scale loses nothing.
    """
    kernels = torch.empty(conv.out_channels // 4, *conv.weight.shape[1:], device=conv.weight.device)
    if copy:
        nn.init.dirac_(kernels)
    else:
        nn.init.kaiming_normal_(kernels, nonlinearity="relu")
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(kernels.repeat_interleave(4, dim=0))
        conv.bias.zero_()
