"""Batches of samples, made by processes of their own."""

from typing import Any

import cv2
from torch.utils.data import DataLoader, WeightedRandomSampler

from geoconvnext.data.dataset import TrainingSamples, ValidationSamples


def training_loader(
    samples: TrainingSamples, *, batches: int, batch_size: int, workers: int
) -> DataLoader[dict[str, Any]]:
    """Full batches, `batches` of them an epoch, drawn by the weights of the samples."""
    _before_fork(workers)
    return DataLoader(
        samples,
        batch_size,
        sampler=WeightedRandomSampler(samples.weights, batches * batch_size),
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )


def validation_loader(
    samples: ValidationSamples, *, batch_size: int, workers: int
) -> DataLoader[dict[str, Any]]:
    """All samples once, in order."""
    _before_fork(workers)
    return DataLoader(samples, batch_size, num_workers=workers)


def _before_fork(workers: int) -> None:
    """Stop OpenCV's threads: a fork does not copy them, and a worker that needs them waits forever."""
    if workers:
        cv2.setNumThreads(1)
