"""The exponential moving average of a network's weights, which is what is validated and kept."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

NetT = TypeVar("NetT", bound=nn.Module)
STATISTICS = ("running_mean", "running_var")


def make_average(net: NetT) -> NetT:
    """Return a copy of a network to average into; it is never trained itself."""
    return copy.deepcopy(net).requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, *, step: int, decay: float) -> None:
    """Move the average a bit towards the network, after optimiser step `step` (1 is the first).

    The decay grows from 2/11 to `decay`, so that the random weights of the start are soon forgotten. Running
    statistics of batch norms are averaged as the weights are: those of the last batches belong to the last
    weights, not to the average. All other buffers, such as the normalisation, are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    old: list[Tensor] = list(average.parameters())
    new: list[Tensor] = list(net.parameters())
    for (name, kept), current in zip(average.named_buffers(), net.buffers(), strict=True):
        if name.endswith(STATISTICS):
            old.append(kept)
            new.append(current)
        else:
            kept.copy_(current)
    torch._foreach_lerp_(old, new, share)
