"""Batches of samples, made by processes of their own."""

from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, WeightedRandomSampler

from geoconvnext.data.dataset import TrainingSamples, ValidationSamples


def training_loader(
    samples: TrainingSamples, *, batches: int, batch_size: int, workers: int
) -> DataLoader[dict[str, Any]]:
    """Full batches, `batches` of them an epoch, drawn by the weights of the samples."""
    return DataLoader(
        samples,
        batch_size,
        sampler=WeightedRandomSampler(samples.weights, batches * batch_size),
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
    )


def validation_loader(
    samples: ValidationSamples, *, batch_size: int, workers: int
) -> DataLoader[dict[str, Any]]:
    """All samples once, in order."""
    return DataLoader(samples, batch_size, num_workers=workers, worker_init_fn=_one_thread)


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
