"""Layer-wise decay against the assignment of the authors' segmentation code, by its own parameter names."""

import re

import pytest
import torch

from geoconvnext.model.encoder import ConvNeXtEncoder
from geoconvnext.model.layers import layer_groups, layer_id, learning_rate_share
from geoconvnext.model.net import NetSpec, build_net

AUTHORS = [  # encoder, groups in the authors' configuration of its UPerNet
    ("convnext_tiny", 6),
    ("convnext_small", 12),
    ("convnext_base", 12),
    ("convnext_large", 12),
    ("convnext_xlarge", 12),
]


def authors_factor(name: str, groups: int) -> float:
    """Decay 0.9, `stage_wise`, of mmcv_custom/layer_decay_optimizer_constructor.py; they count groups + 2."""
    if name.startswith("backbone.downsample_layers"):
        layer = 0
    elif name.startswith("backbone.stages"):
        layer = int(name.split(".")[2]) + 1
    else:
        layer = groups + 2 - 1
    return 0.9 ** (groups + 2 - layer - 1)


def authors_name(name: str) -> str:
    """Parameter name of our network in theirs."""
    name = re.sub(r"^encoder\.trunk\.stem\.", "backbone.downsample_layers.0.", name)
    name = re.sub(r"^encoder\.trunk\.stages\.(\d)\.downsample\.", r"backbone.downsample_layers.\1.", name)
    return re.sub(r"^encoder\.trunk\.stages\.(\d)\.blocks\.", r"backbone.stages.\1.", name)


@pytest.mark.parametrize(("encoder", "groups"), AUTHORS)
def test_shares_equal_the_authors(encoder: str, groups: int) -> None:
    with torch.device("meta"):
        net = build_net(NetSpec(encoder=encoder))
    names = [name for name, _ in net.named_parameters()]
    shares = {name: learning_rate_share(name, net.encoder.depths, 0.9) for name in names}
    assert shares == pytest.approx({name: authors_factor(authors_name(name), groups) for name in names})
    assert len(set(shares.values())) == 6  # downsampling, four stages, heads
    assert shares["head.outputs.0.weight"] == shares["auxiliary.0.weight"] == 1.0


@pytest.mark.parametrize(
    ("encoder", "depths", "groups"),
    [
        ("convnext_atto", (2, 2, 6, 2), 5),
        ("convnextv2_nano", (2, 2, 8, 2), 5),
        ("convnextv2_tiny", (3, 3, 9, 3), 6),
    ],
)
def test_groups_of_other_depths(encoder: str, depths: tuple[int, ...], groups: int) -> None:
    with torch.device("meta"):
        found = ConvNeXtEncoder(encoder).depths
    assert (found, layer_groups(found)) == (depths, groups)


def test_a_wrapped_network_has_the_same_groups() -> None:
    name = "encoder.trunk.stages.2.blocks.1.mlp.fc1.weight"
    assert layer_id(f"net.{name}", 6) == layer_id(f"module.net.{name}", 6) == layer_id(name, 6) == 3


def test_no_decay_is_the_same_rate_everywhere() -> None:
    assert learning_rate_share("encoder.trunk.stem.0.weight", (3, 3, 9, 3), 1.0) == 1.0
