"""Fully convolutional masked autoencoder (FCMAE, arXiv 2301.00808) around our encoder, in plain torch.

Of each image some patches of 32 pixels are hidden. The visible ones are stacked in a strip, and the encoder
runs over the strip as over any image: all its layers but one work pixel by pixel or within a patch, and
global response normalisation sees visible pixels only. Before each depthwise convolution the patches are laid
out where they belong, with zeros between them, and stacked again after it. So nothing that is hidden is
computed at all, no sparse library is needed, and the weights are the encoder's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers.grn import GlobalResponseNorm
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn
from torch.nn import functional

from geoconvnext.errors import ConfigError
from geoconvnext.model.encoder import STRIDES, ConvNeXtEncoder

PATCH = STRIDES[-1]
"""Pixels on a side of what is hidden or visible as a whole: a pixel of the last stage."""
VARIANCE_FLOOR = 1e-6
INITIAL_STD = 0.02


class VisiblePatches:
    """Where the visible patches of a batch lie, the same number in each image.

    `visible`: bool (N, h, w). A plane is (N, C, h*k, w*k); a strip is (N, C, P*k, k), the P visible patches
    of each image one below the other, row by row of the image; k: pixels on a side of a patch at that stage.
    """

    def __init__(self, visible: Tensor) -> None:
        self.shape = tuple(visible.shape)
        counts = visible.sum(dim=(1, 2))
        assert (counts == counts[0]).all(), f"images with different numbers of visible patches: {counts}"
        self.places = visible.flatten().nonzero()[:, 0]

    def stack(self, plane: Tensor) -> Tensor:
        """Return the strip of the visible patches of a plane."""
        count, rows, cols = self.shape
        side, channels = plane.shape[-1] // cols, plane.shape[1]
        cells = plane.permute(0, 2, 3, 1).reshape(count, rows, side, cols, side, channels).transpose(2, 3)
        patches = cells.reshape(count * rows * cols, -1).index_select(0, self.places)
        return patches.view(count, -1, side, channels).permute(0, 3, 1, 2)

    def lay_out(self, strip: Tensor) -> Tensor:
        """Return the plane of a strip, 0 where it is hidden."""
        count, rows, cols = self.shape
        side, channels = strip.shape[-1], strip.shape[1]
        patches = strip.permute(0, 2, 3, 1).reshape(len(self.places), -1)
        cells = patches.new_zeros(count * rows * cols, patches.shape[1]).index_copy(0, self.places, patches)
        plane = cells.view(count, rows, cols, side, side, channels).transpose(2, 3)
        return plane.reshape(count, rows * side, cols * side, channels).permute(0, 3, 1, 2)


def encode_visible(encoder: ConvNeXtEncoder, image: Tensor, patches: VisiblePatches) -> list[Tensor]:
    """Return strips of the stage features of the visible patches of an image (N, bands, 32*h, 32*w).

    They are what sparse convolutions that know the visible pixels alone would give.
    """
    with _depthwise_in_the_plane(encoder, patches):
        return encoder(patches.stack(image))  # type: ignore[no-any-return]


@contextmanager
def _depthwise_in_the_plane(encoder: ConvNeXtEncoder, patches: VisiblePatches) -> Iterator[None]:
    def lay_out(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (patches.lay_out(inputs[0]),)

    def stack(_: nn.Module, __: Any, plane: Tensor) -> Tensor:
        return patches.stack(plane)

    handles = []
    for module in encoder.modules():
        if isinstance(module, ConvNeXtBlock):
            handles += [
                module.conv_dw.register_forward_pre_hook(lay_out),
                module.conv_dw.register_forward_hook(stack),
            ]
        elif isinstance(module, GlobalResponseNorm):
            handles.append(module.register_forward_pre_hook(_in_full_precision))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _in_full_precision(norm: GlobalResponseNorm, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Keep the statistics in the parameters' precision under autocast, where users had them become NaN."""
    return (inputs[0].to(norm.weight.dtype),)


class MaskedAutoencoder(nn.Module):
    """Predicts the hidden patches of an image from the visible ones.

    mean, std: per band, in grey values 0..255. ConfigError for an encoder whose first layer looks across the
    borders of patches.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: ConvNeXtEncoder,
        *,
        decoder_channels: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        super().__init__()
        stem = encoder.trunk.stem[0]
        if stem.kernel_size != stem.stride:
            raise ConfigError(
                "an encoder whose stem overlaps (timm's *_ols) cannot be pretrained with masks:"
                " hidden pixels would leak; choose the one without _ols"
            )
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.encoder = encoder
        self.project = nn.Conv2d(encoder.channels[-1], decoder_channels, 1)
        self.token = nn.Parameter(torch.empty(decoder_channels))
        self.block = ConvNeXtBlock(decoder_channels, use_grn=True, conv_mlp=True, ls_init_value=None)
        self.predict = nn.Conv2d(decoder_channels, PATCH * PATCH * len(mean), 1)
        self._initialise()

    def _initialise(self) -> None:
        """As published; timm starts the encoder likewise."""
        for part in (self.project, self.block, self.predict):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.trunc_normal_(module.weight, std=INITIAL_STD)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        nn.init.normal_(self.token, std=INITIAL_STD)

    def forward(self, image: Tensor, visible: Tensor) -> Tensor:
        """Predict every patch, normalised: (N, bands*32*32, h, w), ordered as by pixel_unshuffle.

        image: grey values (N, bands, 32*h, 32*w); visible: bool (N, h, w), as many in each image.
        """
        patches = VisiblePatches(visible)
        strip = encode_visible(self.encoder, (image - self.mean) / self.std, patches)[-1]
        features = patches.lay_out(self.project(strip))
        token = self.token.view(1, -1, 1, 1).to(features.dtype)
        patches_of_all: Tensor = self.predict(self.block(torch.where(visible[:, None], features, token)))
        return patches_of_all


def patch_values(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels of each patch (N, bands*32*32, h, w), and their mean and deviation (N, 1, h, w)."""
    values = functional.pixel_unshuffle(image, PATCH)
    variance, mean = torch.var_mean(values, dim=1, keepdim=True)
    return values, mean, (variance + VARIANCE_FLOOR).sqrt()


def masked_loss(prediction: Tensor, image: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of the wanted patches, against their pixels of mean 0 and deviation 1.

    prediction: of MaskedAutoencoder; image: float grey values; wanted: bool (N, h, w), hidden and with data.
    """
    values, mean, deviation = patch_values(image)
    errors = (prediction.to(image.dtype) - (values - mean) / deviation).square().mean(dim=1)
    return (errors * wanted).sum() / wanted.sum().clamp(min=1)


def reconstruct(prediction: Tensor, image: Tensor, visible: Tensor) -> Tensor:
    """Return the image (N, bands, H, W) with its hidden patches as predicted, in their true brightness."""
    values, mean, deviation = patch_values(image)
    guess = prediction.to(image.dtype) * deviation + mean
    return functional.pixel_shuffle(torch.where(visible[:, None], values, guess), PATCH)
