"""The state of a run on disk, from which a killed run goes on as if nothing had happened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geoconvnext.errors import ConfigError, OutputError, WeightsError
from geoconvnext.model.checkpoint import UNREADABLE

FOLDER = "checkpoints"
BEST_NAME, LAST_NAME = "best.safetensors", "last.ckpt"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on.

    step: optimiser steps done; best: highest validation score so far, NaN where there was none; weights,
    optimizer: their states.
    """

    step: int
    best: float
    weights: dict[str, Any]
    optimizer: dict[str, Any]


def open_run(output: Path, *, resume: bool) -> Checkpoint | None:
    """Make a run's folder; returns the checkpoint to go on from, if there is one.

    ConfigError: there is one, and it is not to be resumed. OutputError: the folder cannot be made.
    """
    last = output / FOLDER / LAST_NAME
    if last.exists() and not resume:
        raise ConfigError(
            f"{output} has a run already ({last.relative_to(output)});"
            " continue it with --resume, or name another output"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error}; name another output") from error
    return load_checkpoint(last) if last.exists() else None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write under a temporary name that is moved into place: a kill leaves the old one. OutputError."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(vars(checkpoint), part)
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter where a disk is full
        part.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write checkpoint {path}: {error}; make room and go on with --resume"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; WeightsError where it is damaged. Nothing in the file is executed."""
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except UNREADABLE as error:
        raise WeightsError(
            f"checkpoint {path} is damaged ({error}); remove it and start the run again"
        ) from error
