"""The losses against plain loops in numpy."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoconvnext.model.losses import IGNORE, LossWeights, building_loss, dice_loss, masked_bce

Array = NDArray[Any]
WEIGHTS = LossWeights(body=0.9, dice=0.8, edge=0.7, contact=0.6, orientation=0.5, auxiliary=0.4)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def naive_bce(logits: Array, target: Array, positive_weight: float) -> float:
    total, count = 0.0, 0.0
    for logit, truth in zip(logits.ravel(), target.ravel(), strict=True):
        if truth == 1:
            total -= positive_weight * math.log(sigmoid(logit))
            count += positive_weight
        elif truth == 0:
            total -= math.log(1 - sigmoid(logit))
            count += 1
    return total / max(count, 1)


def naive_dice(logits: Array, target: Array) -> float:
    overlap = found = truth = 0.0
    for logit, value in zip(logits.ravel(), target.ravel(), strict=True):
        if value != IGNORE:
            found += sigmoid(logit)
            truth += value
            overlap += value * sigmoid(logit)
    return 1 - (2 * overlap + 1) / (found + truth + 1)


def naive_orientation(prediction: Array, target: Array) -> float:
    stride = prediction.shape[-1] // target.shape[-1]
    total = certainty = 0.0
    for n, row, col in np.ndindex(target.shape[0], *target.shape[2:]):
        rows, cols = slice(row * stride, (row + 1) * stride), slice(col * stride, (col + 1) * stride)
        mean = prediction[n, :, rows, cols].mean(axis=(1, 2))
        length = math.hypot(*target[n, :, row, col])
        total += length * float(((mean - target[n, :, row, col]) ** 2).sum())
        certainty += length
    return total / max(certainty, 1)


def naive_auxiliary(logits: Array, target: Array) -> float:
    stride = target.shape[-1] // logits.shape[-1]
    total, count = 0.0, 0
    for n, row, col in np.ndindex(logits.shape[0], *logits.shape[2:]):
        block = target[n, row * stride : (row + 1) * stride, col * stride : (col + 1) * stride]
        if (block == IGNORE).any():
            continue
        share, probability = float((block == 1).mean()), sigmoid(logits[n, 0, row, col])
        total -= share * math.log(probability) + (1 - share) * math.log(1 - probability)
        count += 1
    return total / max(count, 1)


def made_up(size: int = 32) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    channels = {"body": 1, "edge": 1, "contact": 1, "orientation": 2}
    outputs = {name: torch.randn(2, c, size, size, generator=generator) for name, c in channels.items()}
    outputs["auxiliary"] = torch.randn(2, 1, size // 16, size // 16, generator=generator)
    targets = {}
    for name in ("body", "edge", "contact"):
        targets[name] = torch.randint(0, 2, (2, size, size), generator=generator, dtype=torch.uint8)
        targets[name][0, 3:9, 5:11] = IGNORE
    targets["orientation"] = torch.randn(2, 2, size // 4, size // 4, generator=generator)
    targets["orientation"][:, :, 2:4] = 0  # nothing is known there
    return outputs, targets


def test_every_part_equals_the_loops() -> None:
    outputs, targets = made_up()
    o = {name: value.numpy().astype(np.float64) for name, value in outputs.items()}
    t = {name: value.numpy() for name, value in targets.items()}
    expected = {
        "body": 0.9 * naive_bce(o["body"], t["body"], 1),
        "dice": 0.8 * naive_dice(o["body"], t["body"]),
        "edge": 0.7 * naive_bce(o["edge"], t["edge"], 2),
        "contact": 0.6 * naive_bce(o["contact"], t["contact"], 4),
        "orientation": 0.5 * naive_orientation(o["orientation"], t["orientation"]),
        "auxiliary": 0.4 * naive_auxiliary(o["auxiliary"], t["body"]),
    }
    found = {name: part.item() for name, part in building_loss(outputs, targets, WEIGHTS).items()}
    assert found.pop("loss") == pytest.approx(sum(expected.values()), rel=1e-5)
    assert found == pytest.approx(expected, rel=1e-5)


def test_without_auxiliary_output() -> None:
    outputs, targets = made_up()
    del outputs["auxiliary"]
    assert set(building_loss(outputs, targets, WEIGHTS)) == {
        *("body", "dice", "edge", "contact", "orientation", "loss")
    }


def test_unlabelled_pixels_have_no_gradient() -> None:
    outputs, targets = made_up()
    logits = outputs["body"].requires_grad_()
    loss = masked_bce(logits, targets["body"][:, None]) + dice_loss(logits, targets["body"][:, None])
    torch.autograd.backward(loss)
    assert logits.grad is not None
    known = targets["body"][:, None] != IGNORE
    assert not logits.grad[~known].any()
    assert logits.grad[known].all()


def test_nothing_labelled_costs_nothing() -> None:
    outputs, targets = made_up()
    for name in ("body", "edge", "contact"):
        targets[name].fill_(IGNORE)
    targets["orientation"].zero_()
    for value in outputs.values():
        value.requires_grad_()
    parts = building_loss(outputs, targets, WEIGHTS)
    assert {name: part.item() for name, part in parts.items()} == dict.fromkeys(parts, 0.0)
    torch.autograd.backward(parts["loss"])
    assert all(value.grad is not None and not value.grad.any() for value in outputs.values())


def test_extreme_logits_stay_finite() -> None:
    outputs, targets = made_up()
    for value in outputs.values():
        value.mul_(1e4)
    assert all(part.isfinite() for part in building_loss(outputs, targets, WEIGHTS).values())


def test_a_perfect_answer_is_the_cheapest() -> None:
    truth = made_up()[1]["body"][:, None]
    perfect = torch.where(truth == 1, 20.0, -20.0)
    assert masked_bce(perfect, truth) < 1e-6
    assert dice_loss(perfect, truth) < 1e-3
    assert dice_loss(-perfect, truth) > 0.99
