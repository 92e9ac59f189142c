from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

import geoconvnext.training.progress as module
from geoconvnext.training.optim import Recipe
from geoconvnext.training.progress import ProgressLines, duration
from geoconvnext.training.validation import Tally


class Logger:
    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step):
        self.rows.append((step, metrics))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    return clock


class Run:
    """A training of which only the steps are real; each takes so many seconds."""

    def __init__(self, clock, *, steps=1000, first_step=0, accumulate=1, seconds=0.1):
        recipe = Recipe(optimizer="adamw", steps=steps, learning_rate=0.5, accumulate=accumulate)
        self.training = SimpleNamespace(recipe=recipe, step=first_step, first_step=first_step, tally=Tally())
        self.logger = Logger()
        self.trainer = SimpleNamespace(loggers=[self.logger], state=SimpleNamespace(fn=TrainerFn.FITTING))
        self.lines = ProgressLines(self.training, images_per_batch=4)
        self.clock, self.seconds, self.batches = clock, seconds, 0
        self.lines.on_train_start()

    def make_steps(self, steps):
        for _ in range(steps * self.training.recipe.accumulate):
            self.lines.on_train_batch_start()
            self.clock.now += self.seconds
            loss = torch.tensor(self.training.step + 1.0)  # of the step in work
            self.batches += 1
            self.training.step = self.training.first_step + self.batches // self.training.recipe.accumulate
            outputs = {"parts": {"body": loss / 2, "loss": loss}, "counts": torch.tensor([6, 1, 3])}
            self.lines.on_train_batch_end(self.trainer, None, outputs, None, self.batches - 1)

    def validate(self):
        self.lines.on_validation_start(self.trainer, None)
        self.clock.now += 1000
        self.lines.on_validation_end(self.trainer, None)


def test_a_line_tells_loss_scores_speed_and_time_left(clock, capsys):
    Run(clock).make_steps(100)
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        "step 50/1000  loss 25.5000 (body 12.750)  IoU 0.600 F1 0.750  40.0 images/s  1 min 35 s left"
    )
    assert second.startswith("step 100/1000  loss 75.5000 ")
    assert second.endswith("1 min 30 s left")


def test_slow_steps_are_told_about_every_twenty_seconds(clock, capsys):
    run = Run(clock, seconds=6)
    run.make_steps(9)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["step 4/1000", "loss 2.5000 (body 1.250)"],
        ["step 8/1000", "loss 4.5000 (body 2.250)"],  # the mean since the last row of the log, of which none
    ]
    assert not run.logger.rows


def test_rows_are_those_of_an_uninterrupted_run(clock):
    whole = Run(clock, accumulate=2)
    for steps in (30, 30, 60):
        whole.make_steps(steps)
        whole.validate()
    rest = Run(clock, accumulate=2, first_step=60)
    rest.make_steps(60)
    rest.validate()
    rows = [row for row in whole.logger.rows if "train/loss" in row[1]]
    assert [(step, metrics["train/loss"]) for step, metrics in rows] == [
        (30, 15.5),
        (50, 40.5),
        (60, 55.5),
        (100, 80.5),
        (120, 110.5),
    ]
    assert [row for row in rest.logger.rows if "train/loss" in row[1]] == rows[3:]


def test_the_learning_rate_is_that_of_the_step(clock):
    run = Run(clock, steps=50)
    run.make_steps(50)
    ((step, metrics),) = run.logger.rows
    assert step == 50
    assert metrics["learning_rate"] == 0.5 * run.training.recipe.rate_factor(49) > 0


def test_validations_cost_no_speed_but_time(clock, capsys):
    run = Run(clock)
    run.make_steps(50)
    run.validate()
    run.make_steps(50)
    last = capsys.readouterr().out.splitlines()[-1]
    assert "40.0 images/s" in last
    assert last.endswith(f"{duration(1010 * 9)} left")


def test_a_validation_tells_every_set_and_their_mean(clock, capsys):
    run = Run(clock)
    found = torch.full((3, 4, 4), 254, dtype=torch.uint8)
    truth = found.clone()
    truth[1, :2], truth[2] = 0, 0
    run.training.tally.add(["town", "village", "desert"], found, truth)
    run.validate()
    assert capsys.readouterr().out == (
        "step 0  validation  IoU 0.750 F1 0.833  (town IoU 1.000 F1 1.000, village IoU 0.500 F1 0.667,"
        " desert IoU - F1 -)\n"
    )
    ((step, metrics),) = run.logger.rows
    assert (step, metrics["val/iou"], metrics["val/iou_town"]) == (0, 0.75, 1.0)
    assert metrics["val/precision_village"] == 0.5


def test_only_the_first_process_speaks(clock, capsys, monkeypatch):
    run = Run(clock)
    monkeypatch.setattr(module.rank_zero_only, "rank", 1)
    run.make_steps(100)
    run.validate()
    assert capsys.readouterr().out == ""


def test_ctrl_c_is_explained(clock, capsys):
    run = Run(clock)
    run.make_steps(7)
    run.lines.on_exception(run.trainer, None, KeyboardInterrupt())
    run.lines.on_exception(run.trainer, None, ValueError())
    assert capsys.readouterr().out == "stopped at step 7; --resume goes on from the last validation\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 min 00 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7325, "2 h 02 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
