"""Layer-wise decay of the learning rate, as published for fine-tuning ConvNeXt to dense prediction."""

import re
from collections.abc import Sequence

IN_TRUNK = re.compile(r"trunk\.(?:stem|stages\.(?P<stage>\d)\.(?P<part>downsample|blocks))\.")


def learning_rate_share(name: str, depths: Sequence[int], decay: float) -> float:
    """Share of the learning rate that a parameter of a network gets: decay ** (groups + 1 - id).

    name: of the parameter in the network; depths: blocks of the encoder's stages. The groups are 6 for
    ConvNeXt-T and 12 for the larger ones, as in the authors' configurations of UPerNet (`stage_wise`).
    """
    groups = layer_groups(depths)
    return decay ** (groups + 1 - layer_id(name, groups))


def layer_groups(depths: Sequence[int]) -> int:
    """Count the groups of an encoder: three blocks of the third stage are one, each other stage is one."""
    return 3 + depths[2] // 3


def layer_id(name: str, groups: int) -> int:
    """Group of a parameter: 0 stem and downsampling, 1 to 4 the stages, `groups` + 1 all heads."""
    found = IN_TRUNK.search(name)
    if found is None:
        return groups + 1
    return int(found["stage"]) + 1 if found["part"] == "blocks" else 0
