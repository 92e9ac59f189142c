"""Losses of the outputs; pixels whose target is IGNORE do not count."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, max_pool2d

IGNORE = 255
EDGE_POSITIVE, CONTACT_POSITIVE = 2.0, 4.0  # thin lines: how much more a pixel on one counts


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weight of each part of the loss."""

    body: float = 1.0
    dice: float = 1.0
    edge: float = 0.5
    contact: float = 0.3
    orientation: float = 0.1
    auxiliary: float = 0.4


def building_loss(
    outputs: dict[str, Tensor], targets: dict[str, Tensor], weights: LossWeights
) -> dict[str, Tensor]:
    """Weighted parts of the loss and their sum, `loss`.

    outputs: logits of the network in training mode; targets: body, edge, contact uint8 (N, H, W) on the
    outputs' grid with 0, 1 or IGNORE, orientation float (N, 2, h, w) on a grid that divides it.
    """
    body, edge, contact = (targets[name][:, None] for name in ("body", "edge", "contact"))
    parts = {
        "body": weights.body * masked_bce(outputs["body"], body),
        "dice": weights.dice * dice_loss(outputs["body"], body),
        "edge": weights.edge * masked_bce(outputs["edge"], edge, positive_weight=EDGE_POSITIVE),
        "contact": weights.contact
        * masked_bce(outputs["contact"], contact, positive_weight=CONTACT_POSITIVE),
        "orientation": weights.orientation
        * _orientation_loss(outputs["orientation"], targets["orientation"]),
    }
    if "auxiliary" in outputs:
        parts["auxiliary"] = weights.auxiliary * _auxiliary_loss(outputs["auxiliary"], body)
    return {**parts, "loss": torch.stack(list(parts.values())).sum()}


def masked_bce(logits: Tensor, target: Tensor, *, positive_weight: float = 1.0) -> Tensor:
    """Mean binary cross-entropy over the labelled pixels; a positive one counts `positive_weight` times."""
    known = target != IGNORE
    truth = (target == 1).to(logits.dtype)
    weight = torch.where(target == 1, positive_weight, 1.0) * known
    total = binary_cross_entropy_with_logits(logits, truth, weight, reduction="sum")
    return total / weight.sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice over all labelled pixels of the batch (arXiv 1606.04797), smoothed by one pixel."""
    probability = logits.sigmoid() * (target != IGNORE)
    truth = (target == 1).to(probability.dtype)
    overlap = (probability * truth).sum()
    loss: Tensor = 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)
    return loss


def _orientation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error of the fourfold direction, weighted by its certainty, the target's length."""
    stride = prediction.shape[-1] // target.shape[-1]
    certainty: Tensor = torch.linalg.vector_norm(target, dim=1, keepdim=True)
    error = (avg_pool2d(prediction, stride) - target).square() * certainty
    return error.sum() / certainty.sum().clamp(min=1)


def _auxiliary_loss(logits: Tensor, body: Tensor) -> Tensor:
    """Cross-entropy with the share of building in a coarse pixel; partly unlabelled ones do not count."""
    stride = body.shape[-1] // logits.shape[-1]
    known = (max_pool2d(body.float(), stride) < IGNORE).to(logits.dtype)
    share = avg_pool2d((body == 1).to(logits.dtype), stride)
    loss = binary_cross_entropy_with_logits(logits, share, known, reduction="sum")
    return loss / known.sum().clamp(min=1)
