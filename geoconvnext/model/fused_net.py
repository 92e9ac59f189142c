"""A folded network in fused layers."""

from typing import Any

import torch
from timm.layers import GELU
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn.functional import interpolate

from geoconvnext.model.decoder import FPNDecoder
from geoconvnext.model.fold import FoldedNet
from geoconvnext.model.fused import DEPTH, LANES, Code, FusedBlock, FusedConvolution, FusedTable, find_code

EPSILON = 1e-6
"""Of the LayerNorms that fused.cpp computes."""


def fuse(net: nn.Module) -> "FusedNet | None":
    """Fuse the layers of a folded network in bfloat16; None where that is not possible, see find_code."""
    if not (isinstance(net, FoldedNet) and _suits(net)):
        return None
    code = find_code()
    return None if code is None else FusedNet(code, net)


class FusedNet(nn.Module):
    """What a FoldedNet computes."""

    def __init__(self, code: Code, net: FoldedNet) -> None:
        super().__init__()
        self.unit = code.unit
        grey = torch.arange(256.0)
        self._image = FusedTable(code, (grey - net.mean.float().view(-1, 1)) / net.std.float().view(-1, 1))
        trunk: Any = net.encoder.trunk
        decoder: Any = net.decoder
        head: Any = net.head
        stem_conv, stem_norm = _list(trunk.stem)
        self._stem = FusedConvolution(code, stem_conv, norm=stem_norm)
        self._stages = [_Stage(code, stage) for stage in trunk.stages]
        self._lateral = [
            FusedConvolution(code, conv, normal_inputs=True) for _, conv in map(_list, decoder.lateral)
        ]
        self._smooth = [
            FusedConvolution(code, conv, norm=norm, rectified=True)
            for conv, norm, _ in map(_list, decoder.smooth)
        ]
        self._head = _Head(code, head)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, bands, H, W) uint8 to (N, 3, scale*H, scale*W) uint8."""
        image = self._image(windows)
        features = self._stem(image)
        laterals = []
        for stage, lateral in zip(self._stages, self._lateral, strict=True):
            features = stage(features)
            laterals.append(lateral(features))
        pyramid = self._smooth[-1](laterals[-1])
        for level, smooth in zip(laterals[-2::-1], self._smooth[-2::-1], strict=True):
            pyramid = smooth(level.add_(_double(pyramid)))
        return self._head(pyramid, image)


class _Stage:
    def __init__(self, code: Code, stage: Any) -> None:
        self._layers: list[Any] = [FusedBlock(code, block) for block in stage.blocks]
        if isinstance(stage.downsample, nn.Sequential):
            _, conv = _list(stage.downsample)
            self._layers.insert(0, FusedConvolution(code, conv, normal_inputs=True))

    def __call__(self, features: Tensor) -> Tensor:
        for layer in self._layers:
            features = layer(features)
        return features


class _Head:
    def __init__(self, code: Code, head: Any) -> None:
        self._to_image = [
            FusedConvolution(code, conv, rectified=True, doubling=True) for conv in _list(head.to_image)
        ]
        self._detail = FusedConvolution(code, head.detail, rectified=True)
        convs = [head.join, *_list(head.beyond_image)]
        self._layers = [
            FusedConvolution(
                code,
                conv,
                rectified=True,
                joined=number == 0,
                doubling=0 < number < len(convs) - 1,
                output=head.output if conv is convs[-1] else None,
            )
            for number, conv in enumerate(convs)
        ]

    def __call__(self, features: Tensor, image: Tensor) -> Tensor:
        for layer in self._to_image:
            features = layer(features)
        features = self._layers[0](features, self._detail(image))
        for layer in self._layers[1:]:
            features = layer(features)
        return features


def _double(features: Tensor) -> Tensor:
    """(N, H, W, C) to (N, 2H, 2W, C)."""
    finer = interpolate(features.permute(0, 3, 1, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    return finer.permute(0, 2, 3, 1)


def _list(modules: Any) -> list[Any]:
    return list(modules.children())


def _suits(net: FoldedNet) -> bool:
    """Whether all layers are such as fused.cpp has, and as wide as its tiles."""
    if not isinstance(net.decoder, FPNDecoder) or net.head.output.weight.dtype != torch.bfloat16:
        return False
    trunk: Any = net.encoder.trunk
    blocks = [block for stage in trunk.stages for block in stage.blocks]
    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d) and module.groups == 1]
    return (
        isinstance(trunk.stem, nn.Sequential)
        and len(trunk.stem) == len(("conv", "norm"))
        and all(isinstance(block.mlp, Mlp) and isinstance(block.mlp.act, GELU) for block in blocks)
        and all(norm.eps == EPSILON for norm in net.modules() if isinstance(norm, nn.LayerNorm))
        and all(width % DEPTH == 0 for width in (*net.encoder.channels, net.head.join.in_channels))
        and all(conv.out_channels % LANES == 0 for conv in convs if conv is not net.head.output)
    )
