"""The losses against plain loops in numpy."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoconvnext.errors import ConfigError
from geoconvnext.model.losses import (
    IGNORE,
    SHARE_LEVELS,
    LossWeights,
    building_loss,
    cross_entropy,
    dice_difference,
)

Array = NDArray[Any]
WEIGHTS = LossWeights(
    body=0.9, dice=0.8, edge=0.7, contact=0.6, orientation=0.5, auxiliary=0.4, image=0.3, affinity=0.2
)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def entropy(logit: float, share: float) -> float:
    return -share * math.log(sigmoid(logit)) - (1 - share) * math.log(1 - sigmoid(logit))


def naive_line(logits: Array, target: Array, positive_weight: float) -> float:
    total, count = 0.0, 0.0
    for logit, truth in zip(logits.ravel(), target.ravel(), strict=True):
        if truth != IGNORE:
            weight = positive_weight if truth == 1 else 1.0
            total += weight * entropy(logit, float(truth))
            count += weight
    return total / max(count, 1)


def naive_body(logits: Array, target: Array, focus: float) -> float:
    total, count = 0.0, 0
    for logit, level in zip(logits.ravel(), target.ravel(), strict=True):
        if level != IGNORE:
            share = level / 254
            total += abs(sigmoid(logit) - share) ** focus * entropy(logit, share)
            count += 1
    return total / max(count, 1)


def naive_dice(logits: Array, target: Array) -> float:
    difference = both = 0.0
    for logit, level in zip(logits.ravel(), target.ravel(), strict=True):
        if level != IGNORE:
            difference += abs(sigmoid(logit) - level / 254)
            both += sigmoid(logit) + level / 254
    return difference / max(both, 1)


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
        total += entropy(logits[n, 0, row, col], float((block / 254).mean()))
        count += 1
    return total / max(count, 1)


def naive_image(image: Array, fine: Array, known: Array) -> float:
    errors = [float(np.abs(image[n] - fine[n] / 255).mean()) for n in np.flatnonzero(known)]
    return sum(errors) / max(len(errors), 1)


def naive_affinity(mask: Array, image: Array, known: Array) -> float:
    """Cosines of all pairs of places, on the grid of 32 x 32 that the features of 64 x 64 are averaged to."""
    errors = []
    for n in np.flatnonzero(known):
        cosines = []
        for features in (mask[n], image[n]):
            places = features.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4)).reshape(-1, 1024)
            lengths = np.linalg.norm(places, axis=0)
            cosines.append(places.T @ places / np.outer(lengths, lengths))
        errors.append(float(np.abs(cosines[0] - cosines[1]).mean()))
    return sum(errors) / max(len(errors), 1)


def made_up(size: int = 64, count: int = 3) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    channels = {"body": 1, "edge": 1, "contact": 1, "orientation": 2, "mask_features": 5}
    channels |= {"image": 3, "image_features": 4}
    outputs = {name: torch.randn(count, c, size, size, generator=generator) for name, c in channels.items()}
    outputs["auxiliary"] = torch.randn(count, 1, size // 16, size // 16, generator=generator)
    targets = {}
    for name, top in (("body", SHARE_LEVELS), ("edge", 1), ("contact", 1)):
        shape = (count, size, size)
        targets[name] = torch.randint(0, top + 1, shape, generator=generator, dtype=torch.uint8)
        targets[name][0, 3:9, 5:11] = IGNORE
    targets["orientation"] = torch.randn(count, 2, size // 4, size // 4, generator=generator)
    targets["orientation"][:, :, 2:4] = 0  # nothing is known there
    fine = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    return outputs, {**targets, "fine": fine, "fine_known": torch.arange(count) != 1}


@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_every_part_equals_the_loops(focus: float) -> None:
    outputs, targets = made_up()
    o = {name: value.numpy().astype(np.float64) for name, value in outputs.items()}
    t = {name: value.numpy() for name, value in targets.items()}
    expected = {
        "body": 0.9 * naive_body(o["body"], t["body"], focus),
        "dice": 0.8 * naive_dice(o["body"], t["body"]),
        "edge": 0.7 * naive_line(o["edge"], t["edge"], 2),
        "contact": 0.6 * naive_line(o["contact"], t["contact"], 4),
        "orientation": 0.5 * naive_orientation(o["orientation"], t["orientation"]),
        "auxiliary": 0.4 * naive_auxiliary(o["auxiliary"], t["body"]),
        "image": 0.3 * naive_image(o["image"], t["fine"], t["fine_known"]),
        "affinity": 0.2 * naive_affinity(o["mask_features"], o["image_features"], t["fine_known"]),
    }
    parts = building_loss(outputs, targets, replace(WEIGHTS, focus=focus))
    found = {name: part.item() for name, part in parts.items()}
    assert found.pop("loss") == pytest.approx(sum(expected.values()), rel=1e-5)
    assert found == pytest.approx(expected, rel=1e-5)


def test_outputs_that_only_training_has_may_be_missing() -> None:
    outputs, targets = made_up()
    there = {name: outputs[name] for name in ("body", "edge", "contact", "orientation")}
    del targets["fine"], targets["fine_known"]
    parts = building_loss(there, targets, WEIGHTS)
    assert set(parts) == {"body", "dice", "edge", "contact", "orientation", "loss"}


def test_parts_of_weight_0_are_not_computed() -> None:
    outputs, targets = made_up()
    needed = {"body": outputs["body"]}
    only_dice = LossWeights(body=0, edge=0, contact=0, orientation=0, auxiliary=0)
    assert set(building_loss(needed, {"body": targets["body"]}, only_dice)) == {"dice", "loss"}


@pytest.mark.parametrize("values", [{"edge": -0.1}, {"body": 0.0, "dice": 0.0}])
def test_impossible_weights(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="body or dice must be above 0"):
        LossWeights(**values)


def test_unlabelled_pixels_have_no_gradient() -> None:
    outputs, targets = made_up()
    outputs["body"].requires_grad_()
    torch.autograd.backward(building_loss(outputs, targets, LossWeights(focus=1.5))["loss"])
    gradient = outputs["body"].grad
    assert gradient is not None
    known = targets["body"][:, None] != IGNORE
    assert not gradient[~known].any()
    assert gradient[known].all()


def test_samples_without_a_sharp_image_have_no_gradient() -> None:
    outputs, targets = made_up()
    branch = [outputs[name].requires_grad_() for name in ("image", "image_features")]
    torch.autograd.backward(building_loss(outputs, targets, WEIGHTS)["loss"])
    for output in branch:
        assert output.grad is not None
        assert output.grad.abs().amax(dim=(1, 2, 3)).bool().tolist() == targets["fine_known"].tolist()


def test_nothing_labelled_costs_nothing() -> None:
    outputs, targets = made_up()
    for name in ("body", "edge", "contact"):
        targets[name].fill_(IGNORE)
    targets["orientation"].zero_()
    targets["fine_known"].zero_()
    for value in outputs.values():
        value.requires_grad_()
    parts = building_loss(outputs, targets, WEIGHTS)
    assert {name: part.item() for name, part in parts.items()} == dict.fromkeys(parts, 0.0)
    torch.autograd.backward(parts["loss"])
    assert all(value.grad is not None and not value.grad.any() for value in outputs.values())


@pytest.mark.parametrize("focus", [0.0, 0.5, 2.0])
def test_extreme_logits_stay_finite(focus: float) -> None:
    outputs, targets = made_up()
    for value in outputs.values():
        value.mul_(1e4).requires_grad_()
    parts = building_loss(outputs, targets, replace(WEIGHTS, focus=focus))
    assert all(part.isfinite() for part in parts.values())
    torch.autograd.backward(parts["loss"])
    assert all(value.grad is not None and value.grad.isfinite().all() for value in outputs.values())


@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_the_truth_is_the_cheapest_answer(focus: float) -> None:
    """Of a share too, such as that of a pixel on a wall: no other answer costs less."""
    shares = torch.tensor([0.0, 0.2, 0.5, 1.0]).view(-1, 1, 1, 1)
    known = torch.ones_like(shares, dtype=torch.bool)
    exact = shares.logit(eps=1e-6)
    for measure in (partial(cross_entropy, focus=focus), dice_difference):
        costs = [measure(exact + error, shares, known) for error in (-1.0, -0.1, 0.0, 0.1, 1.0)]
        means = [(total / count).item() for total, count in costs]
        assert min(means) == means[2]
        assert means == sorted(means[:3], reverse=True) + sorted(means[3:])


def test_dice_of_hard_targets_is_the_papers() -> None:
    outputs, _ = made_up()
    truth = (outputs["edge"] > 0).float()
    total, count = dice_difference(outputs["body"], truth, torch.ones_like(truth, dtype=torch.bool))
    probability = outputs["body"].sigmoid()
    dice = 2 * (probability * truth).sum() / (probability.sum() + truth.sum())
    torch.testing.assert_close(total / count, 1 - dice)
