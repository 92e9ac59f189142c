from types import SimpleNamespace

import numpy as np
import torch

from geoconvnext.training.report_data import Curve
from geoconvnext.training.summary import describe_tile_sets, flatten, summarise
from geoconvnext.training.validation import Tally


def test_curves_and_scores_find_their_place():
    tally = Tally()
    levels = torch.full((1, 4, 4), 254, dtype=torch.uint8)
    truth = levels.clone()
    truth[0, 0] = 0
    tally.add(["town"], levels, truth)
    names = [
        "train/loss",
        "train/body",
        "train/iou",
        "val/iou",
        "val/iou_town",
        "val/f1_town",
        "learning_rate",
    ]
    curves = {name: Curve([1, 2], [number, number]) for number, name in enumerate(names)}
    data = summarise("run", curves, tally, settings={"a": "1"}, training_data={}, best=[], worst=[])
    assert data.loss == {"loss": curves["train/loss"], "body": curves["train/body"]}
    assert data.validation == {"IoU": {"town": curves["val/iou_town"]}, "F1": {"town": curves["val/f1_town"]}}
    assert data.learning_rate is curves["learning_rate"]
    (town,) = data.sets
    assert town.scores == {"IoU": 0.75, "F1": 6 / 7, "precision": 0.75, "recall": 1.0}
    assert (town.building[254], town.background[254]) == (12, 4)
    assert np.all(town.building[:254] == 0)
    assert (data.title, data.settings) == ("run", {"a": "1"})


def test_settings_are_flattened():
    nested = {"output": "run", "net": {"bands": 3, "mean": None}, "data": {"val": ["a", "b"]}}
    expected = {"output": "run", "net.bands": "3", "net.mean": "None", "data.val": "['a', 'b']"}
    assert dict(flatten(nested)) == expected


def test_tile_sets_state_their_licences():
    records = [SimpleNamespace(licence=licence) for licence in ("CC0", "", "CC0")]
    town, village = SimpleNamespace(path="town"), SimpleNamespace(path="village")
    samples = SimpleNamespace(tiles=list(zip((town, town, village), records, strict=True)))
    assert describe_tile_sets(samples) == {"town": "2 tiles; CC0; not stated", "village": "1 tiles; CC0"}


def test_a_run_that_logged_nothing():
    data = summarise("run", {}, Tally(), settings={}, training_data={}, best=[], worst=[])
    assert not any((data.loss, data.validation, data.sets, data.learning_rate))
