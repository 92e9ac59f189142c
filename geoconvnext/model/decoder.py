"""Decoders that bring the stage features together at a quarter of the image's resolution."""

from collections.abc import Sequence

from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder as SmpUPerNetDecoder
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn.functional import interpolate

from geoconvnext.errors import ConfigError


class ConvNormAct(nn.Sequential):
    """3x3 convolution, LayerNorm per pixel, ReLU: nothing in it looks at the whole tile."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class FPNDecoder(nn.Module):
    """Feature pyramid whose levels are added top-down and smoothed at each step (arXiv 1612.03144).

    `forward` takes the stage features, finest first, and returns (N, channels, H/4, W/4).
    """

    def __init__(self, stage_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(LayerNorm2d(width), nn.Conv2d(width, channels, 1)) for width in stage_channels
        )
        self.smooth = nn.ModuleList(ConvNormAct(channels, channels) for _ in stage_channels)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Walk from the coarsest stage to the finest."""
        pyramid: Tensor | None = None
        steps = zip(reversed(stages), reversed(self.lateral), reversed(self.smooth), strict=True)
        for stage, lateral, smooth in steps:
            level = lateral(stage)
            if pyramid is not None:
                level = level + interpolate(pyramid, scale_factor=2.0, mode="bilinear", align_corners=False)
            pyramid = smooth(level)
        assert pyramid is not None
        return pyramid


class UPerNetDecoder(nn.Module):
    """The papers' decoder (arXiv 1807.10221). Its pyramid pooling looks at the whole tile.

    `forward` takes the stage features, finest first, and returns (N, channels, H/4, W/4). While training,
    ConfigError for a single image.
    """

    def __init__(self, stage_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.body = SmpUPerNetDecoder(
            encoder_channels=[0, 0, *stage_channels], encoder_depth=5, decoder_channels=channels
        )

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Pool, add top-down and fuse all levels at the finest stage."""
        if self.training and len(stages[0]) == 1:
            raise ConfigError(
                "upernet normalises over the images of a batch and cannot be trained with one;"
                " set a batch size of 2 or more per device, or the decoder fpn"
            )
        fused: Tensor = self.body([stages[0], stages[0], *stages])  # it skips strides 1 and 2
        return fused


class AuxiliaryHead(nn.Sequential):
    """The papers' FCN head on stage 3 (stride 16), used while training only."""

    def __init__(self, in_channels: int, classes: int, channels: int = 256) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, classes, 1),
        )
