"""ConvNeXt encoders (V1: arXiv 2201.03545, V2: arXiv 2301.00808) from timm, with their stage features."""

from typing import Any

import timm
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from geoconvnext.errors import ConfigError

STRIDES = (4, 8, 16, 32)
LAYER_SCALE = 1.0  # the published start for dense prediction


class ConvNeXtEncoder(nn.Module):
    """ConvNeXt trunk without its classifier; the decoders normalise its stage features.

    `forward` takes (N, bands, H, W), H and W multiples of 32, and returns the features of the four stages at
    strides 4, 8, 16 and 32 with `channels` channels; `depths` counts their blocks. ConfigError where timm has
    no ConvNeXt of that name.
    """

    def __init__(self, name: str, *, bands: int = 3, drop_path: float = 0.0) -> None:
        super().__init__()
        self.name = name
        self.trunk = _create_trunk(name, bands=bands, drop_path=drop_path)
        info: list[dict[str, Any]] = self.trunk.feature_info
        self.channels: tuple[int, ...] = tuple(stage["num_chs"] for stage in info)
        self.depths: tuple[int, ...] = tuple(
            len(list(stage.get_submodule("blocks").children())) for stage in self.trunk.stages.children()
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the stage features, finest first."""
        stages = self.trunk.forward_intermediates(image, intermediates_only=True)
        assert isinstance(stages, list)
        return stages


def _create_trunk(name: str, *, bands: int, drop_path: float) -> ConvNeXt:
    if name not in timm.list_models("convnext*"):
        known = ", ".join(timm.list_models(["convnext_*", "convnextv2_*"], exclude_filters="*_in22*"))
        raise ConfigError(f"encoder {name!r} is not a ConvNeXt of timm; choose one of: {known}")
    arguments: dict[str, Any] = {"in_chans": bands, "num_classes": 0, "drop_path_rate": drop_path}
    if "v2" not in name:  # V2 has no layer scale
        arguments["ls_init_value"] = LAYER_SCALE
    trunk = timm.create_model(name, pretrained=False, **arguments)
    assert isinstance(trunk, ConvNeXt)
    trunk.prune_intermediate_layers(list(range(len(STRIDES))), prune_norm=True, prune_head=True)
    return trunk
