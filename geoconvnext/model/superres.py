"""Super-resolution head: from decoder features at 1/4 to a mask as fine as the image, or finer."""

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

    `forward` takes decoder features (N, channels, H/4, W/4) and the normalised image (N, bands, H, W), and
    returns (N, outputs, scale*H, scale*W).
    """

    def __init__(self, channels: int, *, bands: int, outputs: int, scale: int) -> None:
        super().__init__()
        half, full = max(channels // 2, MIN_CHANNELS), max(channels // 4, MIN_CHANNELS)
        self.to_image = nn.Sequential(Doubling(channels, half), Doubling(half, full))
        self.detail = nn.Conv2d(bands, full, 3, padding=1)
        self.join = nn.Conv2d(2 * full, full, 3, padding=1)
        finer, width = [], full
        for _ in range(scale.bit_length() - 1):
            narrower = max(width // 2, MIN_CHANNELS)
            finer.append(Doubling(width, narrower))
            width = narrower
        self.beyond_image = nn.Sequential(*finer)
        self.outputs = nn.Conv2d(width, outputs, 1)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Logits of all outputs on the super-resolved grid."""
        fine = torch.cat([self.to_image(features), relu(self.detail(image))], dim=1)
        logits: Tensor = self.outputs(self.beyond_image(relu(self.join(fine))))
        return logits


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
