"""Train a building network on labelled tiles, with Lightning."""

import logging
import math
import pickle
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from timm.optim.muon import Muon
from torch import Tensor

from geoconvnext.config import OptimConfig, TrainConfig
from geoconvnext.data.dataset import SampleSpec, TrainingSamples, ValidationSamples
from geoconvnext.data.loaders import training_loader, validation_loader
from geoconvnext.data.targets import IGNORE
from geoconvnext.errors import ConfigError, GeoconvnextError, LabelError, OutputError, WeightsError
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
        parts = building_loss(
            {name: value.float() for name, value in outputs.items()}, batch, self.loss_weights
        )
        if not torch.isfinite(parts["loss"]):
            raise GeoconvnextError(
                f"the loss became {parts['loss'].item()} at step {self.global_step};"
                " lower optim.learning_rate and resume from the last checkpoint"
            )
        self.log_dict({f"train/{name}": part.detach() for name, part in parts.items()})
        return parts["loss"]

    def on_train_batch_end(self, *_: Any) -> None:
        """Ask for the last validation, wherever in an epoch the run ends."""
        self.trainer.should_stop = self.global_step >= self.optim.steps

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
        """Muon or AdamW, no decay of norms and biases, linear warm-up and cosine decay per step."""
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        others = [p for p in self.net.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": self.optim.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer
        if self.optim.optimizer == "muon":
            optimizer = Muon(groups, lr=self.optim.learning_rate, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.optim.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _learning_rate_factor(self, step: int) -> float:
        warmup, steps = self.optim.warmup_steps, self.optim.steps
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


class ProgressLines(pl.Callback):
    """Prints a line with loss, speed and time left every so many steps, and the scores of each validation."""

    def __init__(self, *, steps: int, batch_size: int, every: int = 50) -> None:
        self.steps, self.batch_size, self.every = steps, batch_size, every
        self.losses: list[float] = []
        self.since = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Print what is about to run."""
        _say(f"training on {module.device}, {trainer.precision}: steps {trainer.global_step} to {self.steps}")
        self.since = time.monotonic()

    def on_exception(self, trainer: pl.Trainer, _module: Any, exception: BaseException) -> None:
        """Say how to go on after Ctrl-C, which ends the process without a word."""
        if isinstance(exception, KeyboardInterrupt):
            _say(f"stopped at step {trainer.global_step}; --resume goes on from the last validation")

    def on_train_batch_end(self, trainer: pl.Trainer, _module: Any, outputs: Any, *_: Any) -> None:
        """Collect the loss; print every so often."""
        self.losses.append(float(outputs["loss"]))
        if len(self.losses) < self.every:
            return
        seconds = (time.monotonic() - self.since) / len(self.losses)
        left = (self.steps - trainer.global_step) * seconds / 60
        loss = sum(self.losses) / len(self.losses)
        speed = self.batch_size / seconds
        step = f"step {trainer.global_step}/{self.steps}"
        _say(f"{step}  loss {loss:.4f}  {speed:.1f} images/s  {left:.0f} min left")
        self.losses, self.since = [], time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, _module: Any) -> None:
        """Print the scores; validation time is no training time."""
        scores = [f"{k[4:]} {v:.3f}" for k, v in trainer.callback_metrics.items() if k.startswith("val/")]
        _say("  ".join([f"step {trainer.global_step}", *scores]))
        self.losses, self.since = [], time.monotonic()


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Run or resume a training; returns the path of the weights with the best validation IoU.

    ConfigError: `output` has a run already, and it is not to be resumed; or its network is another one.
    LabelError: a tile set is missing or damaged. GeoconvnextError: the loss became infinite or NaN.
    """
    checkpoints = config.output / "checkpoints"
    last = checkpoints / "last.ckpt"
    _check_output(config.output, last, resume=resume)
    with _silent_lightning():
        pl.seed_everything(config.seed, workers=True, verbose=False)
        training, validation = _samples(config)
        net = _start_net(config).to(memory_format=torch.channels_last)
        module = BuildingTraining(net, LossWeights(**config.loss.model_dump()), config.optim)
        done = _steps_done(last, module) if resume and last.exists() else 0
        if done:
            pl.seed_everything(config.seed + done, workers=True, verbose=False)  # samples not seen before
        steps = min(config.val_every_steps, config.optim.steps)  # between two validations: Lightning's epoch
        loading = {"batch_size": config.optim.batch_size, "workers": config.data.workers}
        loaders = (
            training_loader(training, batches=steps, **loading),
            validation_loader(validation, **loading),
        )
        try:
            _trainer(config, checkpoints, done).fit(module, *loaders, ckpt_path=last if done else None)
        except LabelError as error:  # a loader's process puts its traceback in front
            raise LabelError(str(error).rpartition("LabelError: ")[2].strip()) from error
    best = torch.load(checkpoints / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    path = config.output / WEIGHTS_NAME
    save_weights(path, net, _describe(config, net.spec, training))
    return path


def _say(line: str) -> None:
    print(line, flush=True)  # at once, also into a file


def _check_output(output: Path, last: Path, *, resume: bool) -> None:
    if last.exists() and not resume:
        raise ConfigError(
            f"{output} has a run already ({last.relative_to(output)});"
            " continue it with --resume, or name another output"
        )
    if resume and not last.exists():
        print(f"no checkpoint in {output} to resume from: starting at step 0")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error}; name another output") from error


@contextmanager
def _silent_lightning() -> Iterator[None]:
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


def _steps_done(last: Path, module: BuildingTraining) -> int:
    """Read the steps of a run's checkpoint; an error where it is damaged or of another network."""
    try:
        checkpoint = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"checkpoint {last} is damaged ({error}); remove it and start the run again"
        ) from error
    shapes = {name: value.shape for name, value in checkpoint["state_dict"].items()}
    if shapes != {name: value.shape for name, value in module.state_dict().items()}:
        raise ConfigError(
            f"{last} holds another network than the configuration asks for; resume with that of the run"
        )
    return int(checkpoint["global_step"])


def _describe(config: TrainConfig, spec: NetSpec, samples: TrainingSamples) -> WeightsInfo:
    """State the tile sets with their numbers of tiles, and all their licences."""
    counts = Counter(folder.path.name for folder, _ in samples.tiles)
    licences = {record.licence or "not stated" for _, record in samples.tiles}
    return WeightsInfo(
        spec=spec,
        gsd_range_m=config.data.gsd_range_m,
        training_data=", ".join(f"{name} x{count} tiles" for name, count in counts.items()),
        licence="; ".join(sorted(licences)),
    )


def _start_net(config: TrainConfig) -> BuildingNet:
    net = build_net(
        NetSpec(**config.net.model_dump(exclude={"encoder_weights", "start_from"}, exclude_none=True))
    )
    if config.net.encoder_weights:
        load_encoder_checkpoint(net.encoder, config.net.encoder_weights)
    if config.net.start_from:
        fresh = start_from(net, config.net.start_from)
        print(f"starting from {config.net.start_from}; fresh: {', '.join(fresh) or 'nothing'}")
    if not torch.cuda.is_available():
        prepare_cpu_training(net)
    return net


def _samples(config: TrainConfig) -> tuple[TrainingSamples, ValidationSamples]:
    data = config.data
    spec = SampleSpec(size=data.sample_size, scale=config.net.scale, gsd_range_m=data.gsd_range_m)
    training = TrainingSamples([(item.path, item.share) for item in data.train], spec)
    return training, ValidationSamples(data.val, spec)


def _trainer(config: TrainConfig, checkpoints: Path, done: int) -> pl.Trainer:
    best = ModelCheckpoint(
        checkpoints, filename="best", monitor="val/iou", mode="max", enable_version_counter=False
    )
    # Of its own: `save_last` saves only where there is a new best. After it, so that it knows the best.
    last = ModelCheckpoint(checkpoints, filename="last", enable_version_counter=False)
    progress = ProgressLines(steps=config.optim.steps, batch_size=config.optim.batch_size)
    # A logger deletes what it finds in its folder, so a resumed run gets its own.
    logger = CSVLogger(config.output, name="logs", version=f"from_step_{done}" if done else "")
    return pl.Trainer(
        default_root_dir=config.output,
        max_steps=config.optim.steps,
        precision=config.precision,
        gradient_clip_val=config.optim.gradient_clip,
        callbacks=[EMAWeightAveraging(decay=config.optim.ema_decay), progress, best, last],
        logger=logger,
        log_every_n_steps=50,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _channels_last(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)
