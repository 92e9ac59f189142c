from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from geoconvnext.training.showcase import SHOWN, Showcase, spread
from geoconvnext.training.validation import Tally


class Samples:
    """Samples whose image is their number; every third has no building."""

    def __getitem__(self, index):
        return {
            "image": torch.full((3, 8, 8), index, dtype=torch.uint8),
            "body": torch.full((16, 16), 254, dtype=torch.uint8),
            "source": "town",
            "name": f"tile {index}",
        }


@pytest.fixture
def training():
    ious = {index: index / 100 for index in range(40) if index % 3}
    return SimpleNamespace(
        step=12,
        device="cpu",
        tally=Tally(ious=ious),
        predict_levels=lambda batch: batch["body"] // 2,
    )


def trainer(fn, rank=0):
    return SimpleNamespace(is_global_zero=rank == 0, loggers=[], state=SimpleNamespace(fn=fn))


def test_a_picture_after_every_validation(training, tmp_path, listing):
    showcase = Showcase(training, Samples(), tmp_path)
    showcase.on_validation_end(trainer(TrainerFn.FITTING), None)
    assert listing(tmp_path) == ["pictures", "pictures/step_000012.png"]
    assert cv2.imread(str(tmp_path / "pictures" / "step_000012.png")).std() > 0
    assert showcase.best == showcase.worst == []


def test_the_best_and_the_worst_at_the_end(training, tmp_path, listing):
    showcase = Showcase(training, Samples(), tmp_path)
    showcase.on_validation_end(trainer(TrainerFn.VALIDATING), None)
    assert [panel.name for panel in showcase.best[:2]] == ["town / tile 38", "town / tile 37"]
    assert [panel.iou for panel in showcase.worst[:2]] == [0.01, 0.02]
    assert len(showcase.best) == len(showcase.worst) == SHOWN
    panel = showcase.best[0]
    assert (panel.image.shape, panel.probability.shape) == ((8, 8, 3), (16, 16))
    assert np.all(panel.image == 38)
    assert np.all(panel.probability == 127)
    assert not listing(tmp_path)


def test_a_tile_is_not_among_the_best_and_the_worst(training, tmp_path):
    training.tally = Tally(ious={4: 0.5, 5: 0.6, 6: 0.7})
    showcase = Showcase(training, Samples(), tmp_path)
    showcase.on_validation_end(trainer(TrainerFn.VALIDATING), None)
    assert ([panel.iou for panel in showcase.best], [panel.iou for panel in showcase.worst]) == ([0.7], [0.5])


@pytest.mark.parametrize(("ious", "rank"), [({}, 0), ({1: 0.5}, 1)])
def test_no_picture_without_buildings_or_from_other_processes(training, tmp_path, listing, ious, rank):
    training.tally = Tally(ious=ious)
    Showcase(training, Samples(), tmp_path).on_validation_end(trainer(TrainerFn.FITTING, rank), None)
    assert not listing(tmp_path)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (1, [0]), (3, [0, 50, 99]), (200, list(range(100)))]
)
def test_spread(count, expected):
    assert spread(range(100), count) == pytest.approx(expected, abs=1)
