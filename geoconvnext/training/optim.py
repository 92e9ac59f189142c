"""Optimisers, their parameter groups and the learning rate of every step."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.optim.muon import Muon
from torch import nn

from geoconvnext.model.layers import learning_rate_share


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is optimised.

    optimizer: orthogonalised momentum, or the published choice; steps: of the whole run; learning_rate: of
    the heads, at its highest; layer_decay: its factor per group of layers, from the heads towards the image;
    weight_decay: of matrices and kernels, not of norms, scales and biases; schedule: shape of the decay that
    follows `warmup_steps` of linear growth; gradient_clip: highest norm of the gradient; accumulate: batches
    that make a step; ema_decay: of the average of the weights.
    """

    optimizer: Literal["muon", "adamw"]
    steps: int
    learning_rate: float
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    schedule: Literal["cosine", "linear"] = "cosine"
    warmup_steps: int = 0
    gradient_clip: float = 1.0
    accumulate: int = 1
    ema_decay: float = 0.999

    def rate_factor(self, step: int) -> float:
        """Share of the learning rate in the optimiser step that follows `step` others."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps))
        return 1 - done if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(
    parameters: Iterable[tuple[str, nn.Parameter]], depths: Sequence[int], recipe: Recipe
) -> torch.optim.Optimizer:
    """Optimiser of named parameters; depths: blocks of the encoder's stages, for the layer decay."""
    groups = parameter_groups(parameters, depths, recipe)
    if recipe.optimizer == "muon":
        return Muon(groups, lr=recipe.learning_rate, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], depths: Sequence[int], recipe: Recipe
) -> list[dict[str, Any]]:
    """Group the parameters that want a gradient by learning rate and weight decay, the heads' last."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in parameters:
        if parameter.requires_grad:
            share = learning_rate_share(name, depths, recipe.layer_decay)
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups[share * recipe.learning_rate, decay].append(parameter)
    return [
        {"params": members, "lr": rate, "weight_decay": decay}
        for (rate, decay), members in sorted(groups.items(), key=lambda item: item[0])
    ]


def optimizer_state(
    optimizer: torch.optim.Optimizer, parameters: Iterable[tuple[str, nn.Parameter]]
) -> dict[str, Any]:
    """State of an optimiser by the names of its parameters, whatever groups they are in."""
    return {
        name: optimizer.state[parameter] for name, parameter in parameters if parameter in optimizer.state
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Iterable[tuple[str, nn.Parameter]], state: dict[str, Any]
) -> None:
    """Give an optimiser the state of another one, but keep its own learning rates and decays."""
    names = {parameter: name for name, parameter in parameters}
    members = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.load_state_dict(
        {
            "state": {number: state[name] for number, name in enumerate(members) if name in state},
            "param_groups": optimizer.state_dict()["param_groups"],
        }
    )
