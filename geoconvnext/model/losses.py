"""Losses of the outputs; pixels whose target is IGNORE do not count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, max_pool2d

IGNORE = 255


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weight of each part of the loss."""

    body: float = 1.0
    dice: float = 1.0
    edge: float = 0.5
    contact: float = 0.3
    orientation: float = 0.1
    auxiliary: float = 0.4


def building_loss(outputs: dict[str, Tensor], targets: dict[str, Tensor], weights: LossWeights) -> dict[str, Tensor]:
    """Weighted parts of the loss and their sum, `loss`.

    outputs: logits of the network in training mode; targets: body, edge, contact uint8 (N, H, W), orientation
    float (N, 2, H/4, W/4).
    """
    body = targets["body"][:, None]
    parts = {
        "body": weights.body * masked_bce(outputs["body"], body),
        "dice": weights.dice * dice_loss(outputs["body"], body),
        "edge": weights.edge * masked_bce(outputs["edge"], targets["edge"][:, None], positive_weight=2.0),
        "contact": weights.contact * masked_bce(outputs["contact"], targets["contact"][:, None], positive_weight=4.0),
        "orientation": weights.orientation * _orientation_loss(outputs["orientation"], targets["orientation"]),
    }
    if "auxiliary" in outputs:
        parts["auxiliary"] = weights.auxiliary * _auxiliary_loss(outputs["auxiliary"], body)
    return {**parts, "loss": torch.stack(list(parts.values())).sum()}


def masked_bce(logits: Tensor, target: Tensor, *, positive_weight: float = 1.0) -> Tensor:
    """Mean binary cross-entropy over the labelled pixels; `positive_weight` counts a positive pixel more."""
    known = target != IGNORE
    truth = (target == 1).to(logits.dtype)
    weight = torch.where(target == 1, positive_weight, 1.0) * known
    return binary_cross_entropy_with_logits(logits, truth, weight, reduction="sum") / weight.sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice over all labelled pixels of the batch (arXiv 1606.04797)."""
    probability = logits.sigmoid() * (target != IGNORE)
    truth = (target == 1).to(probability.dtype)
    overlap = (probability * truth).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)


def _orientation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error of the fourfold direction, weighted by its certainty."""
    stride = prediction.shape[-1] // target.shape[-1]
    certainty = target.norm(dim=1, keepdim=True)
    error = (avg_pool2d(prediction, stride) - target).square() * certainty
    return error.sum() / certainty.sum().clamp(min=1)


def _auxiliary_loss(logits: Tensor, body: Tensor) -> Tensor:
    """Cross-entropy with the share of building in each coarse pixel; one with unlabelled parts does not count."""
    stride = body.shape[-1] // logits.shape[-1]
    known = (max_pool2d(body.float(), stride) < IGNORE).to(logits.dtype)
    share = avg_pool2d((body == 1).to(logits.dtype), stride)
    loss = binary_cross_entropy_with_logits(logits, share, known, reduction="sum")
    return loss / known.sum().clamp(min=1)
