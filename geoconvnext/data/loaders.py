"""Batches of samples, made by processes of their own."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from geoconvnext.data.dataset import SampleIndex, TrainingSamples, ValidationSamples


class TrainingBatches(Sampler[list[SampleIndex]]):
    """Batches of a run, numbered: number k depends on the seed and k alone, whoever draws it.

    numbers: those to give; rank, world: of the processes that share each batch of world * batch_size samples.
    """

    def __init__(
        self,
        samples: TrainingSamples,
        *,
        batch_size: int,
        seed: int,
        numbers: range,
        rank: int,
        world: int,
    ) -> None:
        self.samples, self.seed, self.numbers = samples, seed, numbers
        self.own = slice(rank * batch_size, (rank + 1) * batch_size)
        self.drawn = world * batch_size

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        for number in self.numbers:
            rng = np.random.default_rng((self.seed, number))
            yield self.samples.draw(rng, self.drawn)[self.own]


def training_loader(
    samples: TrainingSamples,
    *,
    batch_size: int,
    workers: int,
    seed: int,
    batches: int,
    first_batch: int = 0,
    rank: int = 0,
    world: int = 1,
) -> DataLoader[dict[str, Any]]:
    """Load `batches` batches of a run from number `first_batch` on; see TrainingBatches."""
    _before_fork(workers)
    numbers = range(first_batch, first_batch + batches)
    sampler = TrainingBatches(
        samples, batch_size=batch_size, seed=seed, numbers=numbers, rank=rank, world=world
    )
    return DataLoader(
        samples, batch_sampler=sampler, num_workers=workers, pin_memory=torch.cuda.is_available()
    )


def validation_loader(
    samples: ValidationSamples, *, batch_size: int, workers: int
) -> DataLoader[dict[str, Any]]:
    """Load all samples once, in order."""
    _before_fork(workers)
    return DataLoader(samples, batch_size, num_workers=workers, pin_memory=torch.cuda.is_available())


def _before_fork(workers: int) -> None:
    """Stop OpenCV's threads: a fork does not copy them, and a worker that needs them waits forever."""
    if workers:
        cv2.setNumThreads(1)
