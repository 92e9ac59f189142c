"""Losses of the outputs; pixels whose target is IGNORE do not count."""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor, distributed
from torch.nn.functional import (
    adaptive_avg_pool2d,
    avg_pool2d,
    binary_cross_entropy_with_logits,
    max_pool2d,
    normalize,
)

from geoconvnext.errors import ConfigError

IGNORE = 255
SHARE_LEVELS = 254  # of the body: a pixel that a building covers wholly
EDGE_POSITIVE, CONTACT_POSITIVE = 2.0, 4.0  # thin lines: how much more a pixel on one counts
AFFINITY_GRID = 32
TRAINING_ONLY = {"auxiliary": "auxiliary", "image": "image", "affinity": "image_features"}

Sums = tuple[Tensor, Tensor]
"""A total, and the number of pixels or samples that it is divided by."""


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weight of each part of the loss; parts of weight 0 are not computed. focus: exponent of focal loss."""

    body: float = 1.0
    focus: float = 0.0
    dice: float = 1.0
    edge: float = 0.5
    contact: float = 0.3
    orientation: float = 0.1
    auxiliary: float = 0.4
    image: float = 0.0
    affinity: float = 0.0

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or not (self.body or self.dice):
            raise ConfigError(
                "weights of the loss must not be negative, and either body or dice must be above 0;"
                f" found {self}"
            )

    @property
    def image_branch(self) -> bool:
        """Whether the network must be trained with an image branch."""
        return self.image > 0 or self.affinity > 0


def building_loss(
    outputs: dict[str, Tensor], targets: dict[str, Tensor], weights: LossWeights
) -> dict[str, Tensor]:
    """Weighted parts of the loss and their sum, `loss`, over the batches of all processes.

    outputs: of the network in training mode and its image branch; those that only training has may lack.
    targets: on the outputs' grid, body uint8 (N, H, W), the covered share in 254ths or IGNORE, edge and
    contact uint8 (N, H, W), 0, 1 or IGNORE; orientation float (N, 2, h, w) on a grid that divides it; for an
    image branch fine uint8 (N, bands, H, W), the sharp image, and fine_known bool (N,), whether it is sharp.
    """
    share, known = _share_and_known(targets["body"], SHARE_LEVELS)
    parts = {
        "body": lambda: cross_entropy(outputs["body"], share, known, focus=weights.focus),
        "dice": lambda: dice_difference(outputs["body"], share, known),
        "edge": lambda: _line(outputs["edge"], targets["edge"], EDGE_POSITIVE),
        "contact": lambda: _line(outputs["contact"], targets["contact"], CONTACT_POSITIVE),
        "orientation": lambda: _orientation(outputs["orientation"], targets["orientation"]),
        "auxiliary": lambda: _auxiliary(outputs["auxiliary"], share, known),
        "image": lambda: _image(outputs["image"], targets["fine"], targets["fine_known"]),
        "affinity": lambda: _affinity(
            outputs["mask_features"], outputs["image_features"], targets["fine_known"]
        ),
    }
    names = [name for name in parts if getattr(weights, name) and TRAINING_ONLY.get(name, "body") in outputs]
    sums = add_over_processes(torch.stack([torch.stack(parts[name]()) for name in names]))
    means = sums[:, 0] / sums[:, 1].clamp(min=1)
    weighted = {name: getattr(weights, name) * mean for name, mean in zip(names, means, strict=True)}
    return {**weighted, "loss": torch.stack(list(weighted.values())).sum()}


def add_over_processes(sums: Tensor) -> Tensor:
    """Add up over the processes of a distributed training, if there is one.

    A loss made of such sums is that of all batches together, in every process. DDP takes the mean of the
    processes' gradients, where the gradient of the whole is their sum: so the gradient that flows back is
    multiplied by the number of processes.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return sums
    total = sums.detach().clone()
    distributed.all_reduce(total)
    return total + distributed.get_world_size() * (sums - sums.detach())


def cross_entropy(
    logits: Tensor, share: Tensor, known: Tensor, *, positive_weight: float = 1.0, focus: float = 0.0
) -> Sums:
    """Binary cross-entropy with a share in 0..1; a positive pixel counts `positive_weight` times.

    focus: a pixel's loss is weighted by its error to that power (equation 5 of arXiv 2006.04388, which is
    focal loss, arXiv 1708.02002, where the share is 0 or 1).
    """
    logits = logits.float()
    weight = known * (1 + (positive_weight - 1) * share)
    loss = weight * binary_cross_entropy_with_logits(logits, share, reduction="none")
    if focus:
        error = (logits.sigmoid() - share).abs()
        loss = loss * error.clamp(min=1e-6).pow(focus)  # a root has no gradient at 0
    return loss.sum(), weight.sum()


def dice_difference(logits: Tensor, share: Tensor, known: Tensor) -> Sums:
    """Difference to a share in 0..1, over the sum of both: 1 - Dice (arXiv 1606.04797) of hard targets.

    Of soft ones too it is smallest where the prediction equals them, as Dice is not (arXiv 2303.16296).
    """
    probability = logits.float().sigmoid() * known
    return (probability - share).abs().sum(), probability.sum() + share.sum()


def _share_and_known(target: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Target (N, H, W) as a share in 0..1, 0 where unknown, and whether it is known; both (N, 1, H, W)."""
    target = target[:, None]
    known = target != IGNORE
    return (target * known).float() / levels, known


def _line(logits: Tensor, target: Tensor, positive_weight: float) -> Sums:
    return cross_entropy(logits, *_share_and_known(target, 1), positive_weight=positive_weight)


def _orientation(prediction: Tensor, target: Tensor) -> Sums:
    """Squared error of the fourfold direction, weighted by its certainty, the target's length."""
    stride = prediction.shape[-1] // target.shape[-1]
    certainty: Tensor = torch.linalg.vector_norm(target, dim=1, keepdim=True)
    error = (avg_pool2d(prediction.float(), stride) - target).square() * certainty
    return error.sum(), certainty.sum()


def _auxiliary(logits: Tensor, share: Tensor, known: Tensor) -> Sums:
    """Cross-entropy with the share of building in a coarse pixel; partly unlabelled ones do not count."""
    stride = share.shape[-1] // logits.shape[-1]
    all_known = max_pool2d((~known).float(), stride) == 0
    return cross_entropy(logits, avg_pool2d(share, stride), all_known)


def _image(image: Tensor, fine: Tensor, known: Tensor) -> Sums:
    """Mean absolute difference of grey values in 0..1."""
    error = (image.float() - fine / 255).abs().mean(dim=(1, 2, 3))
    return (error * known).sum(), known.float().sum()


def _affinity(mask_features: Tensor, image_features: Tensor, known: Tensor) -> Sums:
    """Mean absolute difference between the similarities of the two branches' features.

    The feature affinity loss of Dual Super-Resolution Learning for Semantic Segmentation, CVPR 2020.
    """
    error = (_similarities(mask_features) - _similarities(image_features)).abs().mean(dim=(1, 2))
    return (error * known).sum(), known.float().sum()


def _similarities(features: Tensor) -> Tensor:
    """Cosines between all places of a reduced grid, (N, places, places)."""
    places = adaptive_avg_pool2d(features.float(), AFFINITY_GRID).flatten(2)
    directions = normalize(places, dim=1)
    return directions.transpose(1, 2) @ directions
