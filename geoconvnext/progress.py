"""What a training says to the user: lines of progress instead of Lightning's own messages."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl


@contextmanager
def silent_lightning() -> Iterator[None]:
    """Keep Lightning's tips, advertisements and warnings about its own internals from the user."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        logger.setLevel(level)


class ProgressLines(pl.Callback):
    """Prints a line with loss, speed and time left every so many steps, and the scores of each validation."""

    def __init__(self, *, steps: int, batch_size: int, every: int = 50) -> None:
        self.steps, self.batch_size, self.every = steps, batch_size, every
        self.losses: list[float] = []
        self.since = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Print what is about to run."""
        print(
            f"training on {module.device}, {trainer.precision}: steps {trainer.global_step} to {self.steps}",
            flush=True,
        )
        self.since = time.monotonic()

    def on_exception(self, trainer: pl.Trainer, _module: Any, exception: BaseException) -> None:
        """Say how to go on after Ctrl-C, which ends the process without a word."""
        if isinstance(exception, KeyboardInterrupt):
            print(
                f"stopped at step {trainer.global_step}; --resume goes on from the last validation",
                flush=True,
            )

    def on_train_batch_end(self, trainer: pl.Trainer, _module: Any, outputs: Any, *_: Any) -> None:
        """Collect the loss; print every so often."""
        self.losses.append(float(outputs["loss"]))
        if len(self.losses) < self.every:
            return
        seconds = (time.monotonic() - self.since) / len(self.losses)
        left = (self.steps - trainer.global_step) * seconds / 60
        loss = sum(self.losses) / len(self.losses)
        print(
            f"step {trainer.global_step}/{self.steps}  loss {loss:.4f}"
            f"  {self.batch_size / seconds:.1f} images/s  {left:.0f} min left",
            flush=True,
        )
        self.losses, self.since = [], time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, _module: Any) -> None:
        """Print the scores; validation time is no training time."""
        scores = {
            k.removeprefix("val/"): v for k, v in trainer.callback_metrics.items() if k.startswith("val/")
        }
        print(
            "  ".join([f"step {trainer.global_step}", *(f"{k} {v:.3f}" for k, v in scores.items())]),
            flush=True,
        )
        self.losses, self.since = [], time.monotonic()
