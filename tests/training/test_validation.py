import math

import numpy as np
import pytest
import torch

from geoconvnext.metrics.pixel import count_pixels
from geoconvnext.training.validation import (
    MEASURES,
    Tally,
    confusion,
    count_levels,
    own_share,
    probability_levels,
    score,
)


def draw(*shape, seed=0, unknown=0.2):
    rng = np.random.default_rng(seed)
    levels = torch.from_numpy(rng.integers(0, 255, shape).astype(np.uint8))
    truth = torch.from_numpy(rng.integers(0, 255, shape).astype(np.uint8))
    truth[torch.from_numpy(rng.random(shape)) < unknown] = 255
    return levels, truth


def test_levels_are_probabilities_in_254ths():
    logits = torch.tensor([-100.0, 0.0, math.log(4), 100.0])
    assert probability_levels(logits).tolist() == [0, 127, 203, 254]
    assert probability_levels(logits).dtype == torch.uint8


def test_histograms_count_known_pixels_by_level():
    levels, truth = draw(3, 16, 20)
    found = count_levels(levels, truth)
    assert found.shape == (3, 2, 255)
    for sample, level, true in zip(found, levels.numpy(), truth.numpy(), strict=True):
        for row, members in enumerate((true < 127, (true >= 127) & (true < 255))):
            assert np.array_equal(sample[row], np.bincount(level[members], minlength=255))


def test_scores_are_those_of_the_masks():
    levels, truth = (tensor.numpy()[0] for tensor in draw(1, 40, 40))
    counts = count_pixels(levels >= 127, truth >= 127, ignore=truth == 255)
    (histogram,) = count_levels(torch.from_numpy(levels)[None], torch.from_numpy(truth)[None])
    assert confusion(histogram) == counts
    assert score(histogram) == {measure: float(getattr(counts, measure)) for measure in MEASURES}


def test_a_set_without_buildings_has_no_score_and_is_left_out_of_the_mean():
    tally = Tally()
    levels, truth = draw(2, 8, 8)
    truth[1] = 0
    tally.add(["town", "desert"], levels, truth)
    scores = tally.scores()
    assert all(math.isnan(value) for value in scores["desert"].values())
    assert tally.mean_scores() == scores["town"]
    assert tally.known_scores() == {"town": scores["town"]}
    assert list(tally.ious) == [0]


def test_the_mean_is_of_sets_not_of_samples():
    tally = Tally()
    right = torch.full((3, 4, 4), 254, dtype=torch.uint8)
    levels = right.clone()
    levels[2, 2:] = 0
    tally.add(["a", "a", "b"], levels, right)
    assert tally.mean_scores()["iou"] == pytest.approx(0.75)
    assert tally.ranked() == [0, 1, 2]
    assert tally.ious[2] == pytest.approx(0.5)


def test_nothing_known_is_no_building():
    tally = Tally()
    levels, truth = draw(1, 4, 4, unknown=1.0)
    tally.add(["town"], levels, truth)
    assert not tally.ious
    assert math.isnan(tally.mean_scores()["iou"])


class Samples:
    def __init__(self, count):
        self.crops = [("folder", f"tile {number}", "town", number) for number in range(count)]


@pytest.mark.parametrize(("count", "world"), [(7, 1), (7, 2), (7, 3), (6, 3), (1, 4)])
def test_processes_share_the_samples_and_their_numbers(count, world):
    samples, levels = Samples(count), torch.full((count, 4, 4), 254, dtype=torch.uint8)
    truth = levels.clone()
    for number in range(count):
        truth[number, : number % 4] = 0
    whole, parts = Tally(), []
    whole.add(["town"] * count, levels, truth)
    for rank in range(world):
        tally, own = Tally(rank, world), own_share(samples, rank=rank, world=world).crops
        assert len(own) == -(-count // world)
        for _, _, source, number in own:
            tally.add([source], levels[number : number + 1], truth[number : number + 1])
        parts.append(tally)
    assert {number: iou for part in parts for number, iou in part.ious.items()} == whole.ious
    assert np.array_equal(sum(part.sets.get("town", 0) for part in parts), whole.sets["town"])
    assert len(samples.crops) == count
