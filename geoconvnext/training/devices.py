"""On which devices a training runs, and Lightning's trainer for them."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy

from geoconvnext.errors import ConfigError
from geoconvnext.training.optim import Recipe

Precision = Literal["bf16-mixed", "32-true"]
LOGGERS = ("lightning.pytorch", "lightning.fabric")


@dataclass(frozen=True)
class Devices:
    """Devices of a training: `gpu` or `cpu`, how many on each node, and how many nodes."""

    accelerator: str
    per_node: int
    nodes: int = 1

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.per_node * self.nodes

    def describe(self) -> str:
        """One line for the user."""
        if self.accelerator == "gpu":
            name = torch.cuda.get_device_name()
        else:
            name = f"CPU ({torch.get_num_threads()} threads)"
        return name if self.world == 1 else f"{self.world} x {name}"


def choose_devices() -> Devices:
    """Take what torchrun wants, else all GPUs, else the processor. ConfigError: more processes than GPUs."""
    gpus = torch.cuda.device_count()
    accelerator = "gpu" if gpus else "cpu"
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Devices(accelerator, gpus or 1)
    local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if gpus and local > gpus:
        raise ConfigError(
            f"torchrun started {local} processes, but there are {gpus} GPUs; start one for each GPU"
        )
    return Devices(accelerator, local, world // local)


def make_trainer(
    devices: Devices,
    recipe: Recipe,
    *,
    precision: Precision,
    steps: int,
    val_every_steps: int,
    output: Path,
    loggers: Sequence[Logger],
    callbacks: Sequence[pl.Callback],
) -> pl.Trainer:
    """Make a trainer for `steps` optimiser steps; it validates every `val_every_steps` and at the end.

    Checkpoints and the resuming of a run are ours: see `training.saver`.
    """
    # Unused: the heads of the scales that a batch does not have.
    parallel = DDPStrategy(find_unused_parameters=True)
    return pl.Trainer(
        accelerator=devices.accelerator,
        devices=devices.per_node,
        num_nodes=devices.nodes,
        strategy=parallel if devices.world > 1 else "auto",
        sync_batchnorm=devices.world > 1 and devices.accelerator == "gpu",  # torch has none for processors
        use_distributed_sampler=False,  # the loaders give every process its own samples
        precision=precision,
        max_epochs=-1,
        max_steps=steps,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.gradient_clip,
        val_check_interval=val_every_steps * recipe.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        default_root_dir=output,
        logger=list(loggers),
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips, advertisements and warnings about its own internals from the user."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
