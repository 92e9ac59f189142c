"""The network rearranged for inference: the same function with less work, bytes in and bytes out."""

import copy
from typing import Any

import torch
from torch import Tensor, nn, relu_

from geoconvnext.model.decoder import FPNDecoder
from geoconvnext.model.net import BuildingNet
from geoconvnext.model.superres import SuperResolutionHead

CHANNELS = ("body", "edge", "contact")
LEVELS = 254


def fold(net: nn.Module, scale: int | None, dtype: torch.dtype) -> nn.Module:
    """Copy a network into one from uint8 windows to uint8 probabilities * 254 of CHANNELS; `net` stays as is.

    The result takes (N, bands, H, W) and gives (N, 3, scale*H, scale*W), contiguous. A BuildingNet is folded,
    any other network that gives logits by name is only wrapped.
    """
    if isinstance(net, BuildingNet):
        scale = net.spec.scale if scale is None else scale
        folded: nn.Module = FoldedNet(net, scale)
    else:
        folded = NamedLevels(copy.deepcopy(net), scale)
    return folded.eval().to(dtype).to(memory_format=torch.channels_last).requires_grad_(False)


def to_levels(logits: Tensor) -> Tensor:
    """Probabilities * 254, rounded to uint8."""
    return logits.float().sigmoid().mul(LEVELS).round().to(torch.uint8)


class NamedLevels(nn.Module):
    """Probabilities of a network that gives logits by name."""

    def __init__(self, net: nn.Module, scale: int | None) -> None:
        super().__init__()
        self.net = net
        self.scale = scale

    def forward(self, windows: Tensor) -> Tensor:
        """(N, bands, H, W) uint8 to (N, 3, scale*H, scale*W) uint8."""
        logits = self.net(windows.contiguous(memory_format=torch.channels_last), self.scale)
        return to_levels(torch.cat([logits[name] for name in CHANNELS], dim=1)).contiguous()


class FoldedNet(nn.Module):
    """What a BuildingNet computes at one scale when it is not trained, with fewer operations.

    The affine part of every LayerNorm before a product without padding is merged into that product, layer
    scale into the second product of its block; the head is a FoldedHead.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: BuildingNet, scale: int) -> None:
        super().__init__()
        self.register_buffer("mean", net.mean.clone())
        self.register_buffer("std", net.std.clone())
        self.encoder = copy.deepcopy(net.encoder)
        self.decoder = copy.deepcopy(net.decoder)
        assert isinstance(net.head, SuperResolutionHead)
        self.head = FoldedHead(net.head, scale)
        with torch.no_grad():
            _fold_trunk_(self.encoder.trunk)
            if isinstance(self.decoder, FPNDecoder):
                for lateral in map(_list, self.decoder.lateral):
                    _merge_norm_(*lateral)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, bands, H, W) uint8 to (N, 3, scale*H, scale*W) uint8."""
        image = ((windows - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        levels: Tensor = self.head(self.decoder(self.encoder(image)), image)
        return levels


class FoldedHead(nn.Module):
    """A SuperResolutionHead at one scale, its outputs those of CHANNELS.

    Sub-pixels move in groups of whole pixels (`shuffle`), and the last move is one of bytes: the output
    convolution, sigmoid and rounding act on sub-pixels before it.
    """

    def __init__(self, head: SuperResolutionHead, scale: int) -> None:
        super().__init__()
        finer = scale.bit_length() - 1
        self.to_image = nn.ModuleList(_group_subpixels(doubling.conv) for doubling in _list(head.to_image))
        self.detail = copy.deepcopy(head.detail)
        self.join = copy.deepcopy(head.join)
        beyond = _list(head.beyond_image)[:finer]
        self.beyond_image = nn.ModuleList(_group_subpixels(doubling.conv) for doubling in beyond)
        output = head.outputs[finer]
        assert isinstance(output, nn.Conv2d)
        self.output = _output_of_subpixels(output, subpixels=4 if finer else 1)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """From decoder features (N, C, H/4, W/4) and image (N, bands, H, W) to (N, 3, scale*H, scale*W)."""
        for conv in self.to_image:
            features = shuffle(relu_(conv(features)))
        fine = relu_(self.join(torch.cat([features, relu_(self.detail(image))], dim=1)))
        for number, conv in enumerate(self.beyond_image):
            fine = relu_(conv(shuffle(fine) if number else fine))
        levels = to_levels(self.output(fine))
        return _shuffle_bytes(levels) if self.beyond_image else levels.contiguous()


def shuffle(features: Tensor) -> Tensor:
    """PixelShuffle(2) for channels in the order of `_group_subpixels`: (N, 4C, H, W) to (N, C, 2H, 2W).

    In memory (channels last) it moves runs of 2C values, where PixelShuffle moves single ones.
    """
    count, channels, height, width = features.shape
    rows = features.permute(0, 2, 3, 1).reshape(count * height, width, 2, channels // 2).transpose(1, 2)
    return rows.reshape(count, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


def _shuffle_bytes(levels: Tensor) -> Tensor:
    """PixelShuffle(2) of bytes, (N, 4K, H, W) channels last to (N, K, 2H, 2W), contiguous.

    It moves pairs of bytes as one number; that also keeps the compiler from fusing it with the sigmoid before
    it, which would then be computed byte by byte.
    """
    count, channels, height, width = levels.shape
    pairs = levels.permute(0, 2, 3, 1).contiguous().view(torch.int16)
    pairs = pairs.reshape(count, height, width, channels // 4, 2).permute(0, 3, 1, 4, 2).contiguous()
    return pairs.view(torch.uint8).view(count, channels // 4, 2 * height, 2 * width)


def _group_subpixels(conv: nn.Conv2d) -> nn.Conv2d:
    """Copy a convolution that feeds a PixelShuffle(2); its outputs come sub-pixel by sub-pixel."""
    order = torch.arange(conv.out_channels).view(-1, 4).t().reshape(-1)
    copied = copy.deepcopy(conv)
    assert conv.bias is not None
    copied.weight = nn.Parameter(conv.weight[order])
    copied.bias = nn.Parameter(conv.bias[order])
    return copied


def _output_of_subpixels(output: nn.Conv2d, subpixels: int) -> nn.Conv2d:
    """1x1 convolution to CHANNELS of each of the sub-pixels, whose features follow each other."""
    used, width = len(CHANNELS), output.in_channels
    assert output.bias is not None
    weight = torch.zeros(used, subpixels, subpixels, width)
    for subpixel in range(subpixels):
        weight[:, subpixel, subpixel] = output.weight[:used, :, 0, 0]
    merged = nn.Conv2d(subpixels * width, subpixels * used, 1)
    merged.weight = nn.Parameter(weight.view(subpixels * used, subpixels * width, 1, 1))
    merged.bias = nn.Parameter(output.bias[:used].repeat_interleave(subpixels))
    return merged


def _fold_trunk_(trunk: nn.Module) -> None:
    for stage in _list(trunk.stages):
        if isinstance(stage.downsample, nn.Sequential):
            _merge_norm_(*stage.downsample)
        for block in stage.blocks:
            _merge_norm_(block.norm, block.mlp.fc1)
            if block.gamma is not None:  # V2 has none
                _scale_outputs_(block.mlp.fc2, block.gamma)
                block.gamma = None


def _merge_norm_(norm: Any, product: Any) -> None:
    """Move the affine part of a LayerNorm into the linear layer, or unpadded convolution, that follows it."""
    taps = product.weight.flatten(2).sum(2) if product.weight.dim() > 2 else product.weight
    bias = taps @ norm.bias
    product.bias = nn.Parameter(bias if product.bias is None else product.bias + bias)
    product.weight = nn.Parameter(product.weight * _along(norm.weight, product.weight, axis=1))
    norm.weight = norm.bias = None


def _scale_outputs_(product: Any, factors: Tensor) -> None:
    product.weight = nn.Parameter(product.weight * _along(factors, product.weight, axis=0))
    product.bias = nn.Parameter(product.bias * factors)


def _along(values: Tensor, weight: Tensor, axis: int) -> Tensor:
    """Shape values so that they multiply a weight along an axis."""
    return values.view([-1 if other == axis else 1 for other in range(weight.dim())])


def _list(modules: Any) -> list[Any]:
    return list(modules.children())
