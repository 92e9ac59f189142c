"""ConvNeXt encoders (V1: arXiv 2201.03545, V2: arXiv 2301.00808) from timm, with their four stage features."""

from __future__ import annotations

import timm
from torch import Tensor, nn

from geoconvnext.errors import ConfigError

STRIDES = (4, 8, 16, 32)


class ConvNeXtEncoder(nn.Module):
    """ConvNeXt trunk without its classifier; the decoders normalise its stage features.

    `forward` takes (N, bands, H, W), H and W multiples of 32, and returns the features of the four stages at
    strides 4, 8, 16 and 32 with `channels` channels.
    """

    def __init__(self, name: str, *, bands: int = 3, drop_path: float = 0.0) -> None:
        super().__init__()
        self.trunk = _create_trunk(name, bands=bands, drop_path=drop_path)
        self.channels: tuple[int, ...] = tuple(info["num_chs"] for info in self.trunk.feature_info)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Stage features, finest first."""
        stages: list[Tensor] = self.trunk.forward_intermediates(image, intermediates_only=True)
        return stages


def _create_trunk(name: str, *, bands: int, drop_path: float) -> nn.Module:
    if name not in timm.list_models("convnext*"):
        known = ", ".join(timm.list_models(["convnext_*", "convnextv2_*"], exclude_filters="*_in22*"))
        raise ConfigError(f"encoder {name!r} is not a ConvNeXt of timm; choose one of: {known}")
    layer_scale = {} if "v2" in name else {"ls_init_value": 1.0}  # 1.0 is the published value for dense prediction
    trunk: nn.Module = timm.create_model(
        name, pretrained=False, in_chans=bands, num_classes=0, drop_path_rate=drop_path, **layer_scale
    )
    trunk.prune_intermediate_layers(list(range(len(STRIDES))), prune_norm=True, prune_head=True)  # type: ignore[operator]
    return trunk
