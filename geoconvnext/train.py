"""Train a building network on labelled tiles, with Lightning."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, WeightedRandomSampler

from geoconvnext.config import OptimConfig, TrainConfig
from geoconvnext.data.dataset import SampleSpec, TrainingSamples, ValidationSamples
from geoconvnext.data.targets import IGNORE
from geoconvnext.errors import GeoconvnextError
from geoconvnext.model.checkpoint import load_encoder_checkpoint
from geoconvnext.model.losses import LossWeights, building_loss
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.runtime import prepare_cpu_training
from geoconvnext.model.weights import WeightsInfo, save_weights, start_from

WEIGHTS_NAME = "model.safetensors"


class BuildingTraining(pl.LightningModule):
    """Loss, validation and optimiser of a building network."""

    def __init__(self, net: BuildingNet, loss: LossWeights, optim: OptimConfig) -> None:
        super().__init__()
        self.net = net
        self.loss_weights = loss
        self.optim = optim
        self.counts: dict[str, Tensor] = {}

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        """Loss of a batch; stops the run where it is not finite."""
        outputs = self.net(_channels_last(batch["image"]))
        parts = building_loss({name: value.float() for name, value in outputs.items()}, batch, self.loss_weights)
        if not torch.isfinite(parts["loss"]):
            raise GeoconvnextError(
                f"the loss became {parts['loss'].item()} at step {self.global_step}; lower optim.learning_rate and"
                " resume from the last checkpoint"
            )
        self.log_dict({f"train/{name}": part.detach() for name, part in parts.items()})
        return parts["loss"]

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the last validation."""
        self.counts = defaultdict(lambda: torch.zeros(2, device=self.device))

    def validation_step(self, batch: dict[str, Any], _index: int) -> None:
        """Count intersection and union of the building pixels per source."""
        logits = self.net(_channels_last(batch["image"]))["body"][:, 0]
        found, known, truth = logits > 0, batch["body"] != IGNORE, batch["body"] == 1
        for i, source in enumerate(batch["source"]):
            both = (found[i] & truth[i]).sum()
            either = ((found[i] | truth[i]) & known[i]).sum()
            self.counts[source] += torch.stack([both, either]).float()

    def on_validation_epoch_end(self) -> None:
        """Log the IoU of each source and their mean, `val/iou`."""
        ious = {source: (both / max(either, 1)).item() for source, (both, either) in self.counts.items()}
        self.log_dict({f"val/iou_{source}": iou for source, iou in ious.items()})
        self.log("val/iou", sum(ious.values()) / len(ious))

    def configure_optimizers(self) -> Any:
        """AdamW, no decay of norms and biases, linear warm-up and cosine decay per step."""
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        others = [p for p in self.net.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self.optim.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=self.optim.learning_rate,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _learning_rate_factor(self, step: int) -> float:
        warmup, steps = self.optim.warmup_steps, self.optim.steps
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


class ProgressLines(pl.Callback):
    """Prints a line with loss, speed and time left every `every` steps, and the scores of each validation."""

    def __init__(self, *, steps: int, batch_size: int, every: int = 50) -> None:
        self.steps, self.batch_size, self.every = steps, batch_size, every
        self.losses: list[float] = []
        self.since = time.monotonic()

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
        scores = {k.removeprefix("val/"): v for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        print("  ".join([f"step {trainer.global_step}", *(f"{k} {v:.3f}" for k, v in scores.items())]), flush=True)
        self.losses, self.since = [], time.monotonic()


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Run or resume a training; returns the path of the weights with the best validation IoU."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    net = _start_net(config)
    module = BuildingTraining(net.to(memory_format=torch.channels_last), LossWeights(**config.loss.model_dump()), config.optim)
    train_loader, val_loader = _loaders(config)
    best = ModelCheckpoint(
        config.output / "checkpoints", filename="best", monitor="val/iou", mode="max", save_last=True,
        enable_version_counter=False,
    )
    trainer = _trainer(config, best)
    last = config.output / "checkpoints" / "last.ckpt"
    trainer.fit(module, train_loader, val_loader, ckpt_path=last if resume and last.exists() else None)
    module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    path = config.output / WEIGHTS_NAME
    info = WeightsInfo(spec=net.spec, gsd_range_m=config.data.gsd_range_m)
    save_weights(path, net, info)
    return path


def _start_net(config: TrainConfig) -> BuildingNet:
    net = build_net(NetSpec(**config.net.model_dump(exclude={"encoder_weights", "start_from"})))
    if config.net.encoder_weights:
        load_encoder_checkpoint(net.encoder, config.net.encoder_weights)
    if config.net.start_from:
        fresh = start_from(net, config.net.start_from)
        print(f"starting from {config.net.start_from}; fresh: {', '.join(fresh) or 'nothing'}")
    if not torch.cuda.is_available():
        prepare_cpu_training(net)
    return net


def _loaders(config: TrainConfig) -> tuple[DataLoader[Any], DataLoader[Any]]:
    data, optim = config.data, config.optim
    spec = SampleSpec(size=data.sample_size, scale=config.net.scale, gsd_range_m=data.gsd_range_m)
    samples = TrainingSamples([(item.path, item.share) for item in data.train], spec)
    per_epoch = min(config.val_every_steps, optim.steps) * optim.batch_size
    sampler = WeightedRandomSampler(samples.weights, per_epoch)
    shared: dict[str, Any] = {"batch_size": optim.batch_size, "num_workers": data.workers}
    persistent = data.workers > 0
    train_loader = DataLoader(
        samples, sampler=sampler, drop_last=True, persistent_workers=persistent, worker_init_fn=_one_thread, **shared
    )
    return train_loader, DataLoader(ValidationSamples(data.val, spec), worker_init_fn=_one_thread, **shared)


def _one_thread(_worker: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _trainer(config: TrainConfig, checkpoints: ModelCheckpoint) -> pl.Trainer:
    progress = ProgressLines(steps=config.optim.steps, batch_size=config.optim.batch_size)
    return pl.Trainer(
        default_root_dir=config.output,
        max_steps=config.optim.steps,
        precision=config.precision,
        gradient_clip_val=config.optim.gradient_clip,
        callbacks=[EMAWeightAveraging(decay=config.optim.ema_decay), checkpoints, progress],
        logger=CSVLogger(config.output, name="logs", version=""),
        log_every_n_steps=50,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _channels_last(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)


