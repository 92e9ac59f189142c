"""What a run says and logs of its steps and validations."""

import math
import time
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from geoconvnext.metrics.counts import Counts
from geoconvnext.training.module import BuildingTraining

LOG_EVERY = 50
"""Steps between two rows of the log."""
SAY_EVERY_S = 20.0


@rank_zero_only
def say(line: str) -> None:
    """Print at once, also into a file; of several processes only the first one does."""
    print(line, flush=True)


class Window:
    """Training batches since the last row of the log: losses, confusion counts and time."""

    def __init__(self) -> None:
        self.batches, self.since = 0, time.monotonic()
        self.parts: dict[str, Tensor] = {}
        self.counts = torch.zeros(3)

    def add(self, parts: dict[str, Tensor], counts: Tensor) -> None:
        """Add a batch; nothing here waits for the device."""
        self.batches += 1
        self.counts = self.counts.to(counts.device) + counts
        self.parts = {name: part + self.parts.get(name, 0) for name, part in parts.items()}

    def means(self) -> dict[str, float]:
        """Mean of every part of the loss, then `iou` and `f1` of all pixels."""
        counts = Counts(*self.counts.tolist())
        losses = {name: float(total) / self.batches for name, total in self.parts.items()}
        return {**losses, "iou": float(counts.iou), "f1": float(counts.f1)}

    def batches_per_s(self) -> float:
        """Speed of training alone, without validations."""
        return self.batches / (time.monotonic() - self.since)


class ProgressLines(pl.Callback):
    """Prints and logs the mean of the last steps, the speed, the time left, and the scores of validations.

    A row of the log is the mean since the row before. There is one every LOG_EVERY steps and one before each
    validation, where a run can be resumed: so the rows are those of an uninterrupted run.
    """

    def __init__(self, module: BuildingTraining, *, images_per_batch: int) -> None:
        self.module, self.images_per_batch = module, images_per_batch
        self.window = Window()
        self.started = self.said = time.monotonic()

    def on_train_start(self, *_: Any) -> None:
        """Start the clock of the run."""
        self.started = self.said = time.monotonic()

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock of a window, which leaves out validation, pictures and saving."""
        if not self.window.batches:
            self.window.since = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, _module: pl.LightningModule, outputs: Any, _batch: Any, index: int
    ) -> None:
        """Collect a batch; log and print every so often."""
        self.window.add(outputs["parts"], outputs["counts"])
        if (index + 1) % self.module.recipe.accumulate:
            return
        if self.module.step % LOG_EVERY == 0:
            self._log(trainer)
        elif time.monotonic() - self.said > SAY_EVERY_S:
            self._say(self.window.means())

    def on_validation_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Log the steps since the last row."""
        if self.window.batches:
            self._log(trainer)

    def on_validation_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Print and log the scores."""
        tally = self.module.tally
        means, sets = tally.mean_scores(), tally.scores()
        in_training = trainer.state.fn == TrainerFn.FITTING
        when = f"step {self.module.step}  validation" if in_training else "best weights"
        each = ", ".join(f"{name} {_pair(values)}" for name, values in sets.items())
        say(f"{when}  {_pair(means)}  ({each})")
        if in_training:
            metrics = {f"val/{measure}": value for measure, value in means.items()}
            for name, values in sets.items():
                metrics |= {f"val/{measure}_{name}": value for measure, value in values.items()}
            _write(trainer, self.module.step, metrics)

    def on_exception(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Say how to go on after Ctrl-C, which ends the process without a word."""
        if isinstance(exception, KeyboardInterrupt):
            say(f"stopped at step {self.module.step}; --resume goes on from the last validation")

    def _log(self, trainer: pl.Trainer) -> None:
        means = self.window.means()
        self._say(means)
        step, recipe = self.module.step, self.module.recipe
        metrics = {f"train/{name}": value for name, value in means.items()}
        metrics["learning_rate"] = recipe.learning_rate * recipe.rate_factor(step - 1)
        _write(trainer, step, metrics)
        self.window = Window()

    def _say(self, means: dict[str, float]) -> None:
        self.said = time.monotonic()
        step, steps = self.module.step, self.module.recipe.steps
        parts = {name: value for name, value in means.items() if name not in {"loss", "iou", "f1"}}
        details = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
        seconds = (self.said - self.started) / (step - self.module.first_step) * (steps - step)
        say(
            f"step {step}/{steps}  loss {means['loss']:.4f} ({details})  {_pair(means)}"
            f"  {self.window.batches_per_s() * self.images_per_batch:.1f} images/s  {duration(seconds)} left"
        )


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def _pair(scores: dict[str, float]) -> str:
    """IoU and F1, a dash where they are undefined."""
    iou, f1 = ("-" if math.isnan(scores[name]) else f"{scores[name]:.3f}" for name in ("iou", "f1"))
    return f"IoU {iou} F1 {f1}"


def _write(trainer: pl.Trainer, step: int, metrics: dict[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step)
