"""Scores as a whole: of a small town by hand, and pooled."""

import math

import numpy as np
import pytest
import shapely

from geoconvnext.metrics.groups import ADJACENCIES, SIZES
from geoconvnext.metrics.scores import MIN_SCENES, pool, score

NOTHING = np.empty(0, object)


def boxes(*corners):
    return np.array([shapely.box(*corner) for corner in corners], object)


def town():
    """Small, medium and large found or not; a row of two predicted as one; a house in two parts."""
    reference = boxes(
        (0, 0, 9, 9),  # small, found exactly
        (50, 0, 62, 10),  # medium, touches the next
        (62, 0, 70, 10),  # small, touches the last
        (100, 0, 130, 30),  # large, in two parts
        (200, 0, 208, 8),  # small, missed
    )
    predicted = boxes(
        (0, 0, 9, 9),
        (50, 0, 70, 10),  # both of the row: 120 of 200, so the larger one is found
        (100, 0, 130, 14),
        (100, 16, 130, 30),
        (300, 0, 307, 7),  # nothing there
    )
    return predicted, reference


def test_a_town_by_hand():
    scores = score(*town(), confidence=np.array([0.9, 0.8, 0.7, 0.6, 0.1]))
    values = scores.to_dict()
    assert (values["tp"], values["fp"], values["fn"]) == (2, 3, 3)
    shared = 81 + 200 + 840
    assert values["pixel_iou"] == pytest.approx(shared / (shared + 49 + 60 + 64))
    assert values["pixel_precision"] == pytest.approx(shared / (shared + 49))
    assert values["pixel_recall"] == pytest.approx(shared / (shared + 60 + 64))
    assert values["matched_iou"] == pytest.approx((1 + 120 / 200) / 2)
    assert (values["split_rate"], values["merge_rate"]) == (1 / 5, 1 / 5)
    assert values["ap50"] == pytest.approx(41 / 101)  # precision 1 up to recall 0.4
    assert values["n_ratio"] == 1
    groups = scores.groups()
    assert list(groups) == [*SIZES, *ADJACENCIES]
    assert [groups[name]["buildings"] for name in groups] == [3, 1, 1, 2, 0, 3]
    assert [groups[name]["recall"] for name in SIZES] == pytest.approx([1 / 3, 1, 0])
    assert [groups[name]["precision"] for name in SIZES] == pytest.approx(
        [1 / 2, 1 / 3, math.nan], nan_ok=True
    )
    assert groups["touching"]["recall"] == 1 / 2
    assert groups["isolated"]["recall"] == 1 / 3
    assert "precision" not in groups["isolated"]


def test_boundary_iou_by_hand():
    """Frames of 1 m: they share 2 * 19.5 m2 above and below, 2 * 0.5 * 18 m2 left and right."""
    shifted = score(boxes((0.5, 0, 20.5, 20)), boxes((0, 0, 20, 20))).to_dict()
    assert shifted["pixel_iou"] == pytest.approx(19.5 / 20.5)
    assert shifted["boundary_iou"] == pytest.approx(57 / (2 * 76 - 57))


def test_pooled_scores_are_those_of_sums():
    ours, theirs = town()
    confidence = np.linspace(0.9, 0.1, 5)
    far = score(ours, theirs, confidence), score(theirs, theirs, confidence)
    both = pool(far)
    moved = [shapely.transform(part, lambda xy: xy + 10_000) for part in (theirs, theirs)]
    together = score(
        np.concatenate([ours, moved[0]]), np.concatenate([theirs, moved[1]]), np.tile(confidence, 2)
    )
    for name, value in together.to_dict().items():
        assert both.to_dict()[name] == pytest.approx(value, nan_ok=True), name
    for name, row in together.groups().items():
        assert both.groups()[name] == pytest.approx(row, nan_ok=True)


def test_scenes_are_drawn_where_there_are_enough():
    ours, theirs = town()
    good, bad = score(theirs, theirs), score(ours[-1:], theirs)
    equal = pool([good] * (MIN_SCENES - 1)).intervals()
    assert equal["f1"] == (1, 1)
    mixed = pool([good, bad] * (MIN_SCENES // 2))
    low, high = mixed.intervals()["f1"]
    assert low < mixed.objects.f1 < high
    assert (mixed.resampled(seed=1)["f1"] != mixed.resampled(seed=2)["f1"]).any()
    assert 0 <= low <= high <= 1


def test_unknown_confidence_is_said():
    scores = score(*town())
    assert not scores.is_ranked
    assert math.isnan(scores.to_dict()["ap50"])
    assert not pool([scores, score(*town(), np.ones(5))]).is_ranked


def test_nothing_to_compare():
    nothing = score(NOTHING, NOTHING)
    assert nothing.objects.tp == nothing.objects.fp == nothing.objects.fn == 0
    assert all(
        math.isnan(value) for name, value in nothing.to_dict().items() if name not in {"tp", "fp", "fn"}
    )
    assert np.isnan(list(nothing.intervals().values())).all()
    missed = score(NOTHING, town()[1])
    assert (missed.area.iou, missed.objects.recall) == (0, 0)
    assert math.isnan(missed.objects.precision)
