"""Train a building network on labelled tiles, with Lightning."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from geoconvnext.calibrate import calibrate
from geoconvnext.config import TrainConfig
from geoconvnext.data.augment import Augmentation
from geoconvnext.data.dataset import SampleSpec, TrainingSamples, ValidationSamples
from geoconvnext.data.loaders import training_loader, validation_loader
from geoconvnext.errors import ConfigError, GeoconvnextError, LabelError
from geoconvnext.model.checkpoint import load_encoder_checkpoint, pretrained_normalisation
from geoconvnext.model.cpu_training import prepare_cpu_training
from geoconvnext.model.losses import LossWeights
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.runtime import choose_placement
from geoconvnext.model.weights import (
    View,
    WeightsInfo,
    default_weights_path,
    load_weights,
    read_info,
    save_weights,
    start_from,
)
from geoconvnext.training.checkpoints import BEST_NAME, FOLDER, open_run
from geoconvnext.training.devices import Devices, choose_devices, make_trainer, quiet_lightning
from geoconvnext.training.introduction import introduce
from geoconvnext.training.logs import open_loggers, read_curves
from geoconvnext.training.module import BuildingTraining
from geoconvnext.training.optim import Recipe
from geoconvnext.training.progress import ProgressLines, say
from geoconvnext.training.report import write_report
from geoconvnext.training.saver import Saver
from geoconvnext.training.showcase import Showcase
from geoconvnext.training.summary import describe_tile_sets, flatten, summarise
from geoconvnext.training.validation import own_share

WEIGHTS_NAME, REPORT_NAME = "model.safetensors", "report.html"


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Run or resume a training; returns the path of the weights with the best validation IoU.

    Where torchrun, or Lightning for several GPUs, has started several processes, each of them calls this.

    ConfigError: `output` has a run already, and it is not to be resumed; or its network is another one.
    LabelError: a tile set is missing or cannot be read. GeoconvnextError: the loss became infinite or NaN.
    """
    devices, checkpoint = choose_devices(), open_run(config.output, resume=resume)
    torch.manual_seed(config.seed)
    training, validation = open_samples(config)
    net = start_net(config, fresh=checkpoint is None)
    recipe = Recipe(**config.optim.model_dump(exclude={"batch_size"}))
    module = BuildingTraining(net, LossWeights(**config.loss.model_dump()), recipe, seed=config.seed)
    if checkpoint:
        module.resume(checkpoint)
    elif resume:
        say(f"no checkpoint in {config.output} to resume from: starting at step 0")
    showcase = Showcase(module, validation, config.output)
    saver = Saver(module, config.output / FOLDER, _describe(config, net.spec, training))
    with quiet_lightning():
        trainer = _make_trainer(config, devices, module, [showcase, saver])
        if trainer.is_global_zero:
            say(f"device: {devices.describe()}, {config.precision}")
            for line in introduce(module, training, validation):
                say(line)
            images = config.optim.batch_size * recipe.accumulate * devices.world
            say(f"steps: {module.first_step} to {recipe.steps}, {images} images each")
            say(f"output: {config.output}")
        _fit(config, trainer, module, training, validation)
    if trainer.is_global_zero:
        _finish(config, module, training, showcase)
    return config.output / WEIGHTS_NAME


def open_samples(config: TrainConfig) -> tuple[TrainingSamples, ValidationSamples]:
    """Open the tile sets for training and validation; LabelError where one cannot be used."""
    data, bands = config.data, config.net.bands
    specs = [
        SampleSpec(size=item.size, scale=item.scale, gsd_range_m=item.gsd_range_m) for item in data.samples
    ]
    finest = max(spec.scale for spec in specs)
    if finest > config.net.scale:
        raise ConfigError(
            f"data.samples asks for scale {finest} of a network that ends at net.scale {config.net.scale};"
            f" set net.scale to {finest}"
        )
    training = TrainingSamples(
        [(item.path, item.share) for item in data.train],
        [(spec, item.share) for spec, item in zip(specs, data.samples, strict=True)],
        Augmentation(**config.augment.model_dump()),
        fine_image=LossWeights(**config.loss.model_dump()).image_branch,
        bands=bands,
    )
    return training, ValidationSamples(data.val, specs[0], bands=bands)


def start_net(config: TrainConfig, *, fresh: bool) -> BuildingNet:
    """Build the network; a fresh run starts from other weights if the configuration names some."""
    source, start = config.net.encoder_weights, config.net.start_from
    start_path = default_weights_path() if start == "default" else start
    values = config.net.model_dump(exclude={"encoder_weights", "start_from"}, exclude_none=True)
    normalisation: dict[str, Any] = {}
    if source:
        normalisation = pretrained_normalisation(config.net.encoder, source, bands=config.net.bands)
    elif start_path:
        spec = read_info(start_path).spec
        normalisation = {"mean": spec.mean, "std": spec.std} if spec.bands == config.net.bands else {}
    net = build_net(NetSpec(**{**normalisation, **values}))
    if fresh and source:
        load_encoder_checkpoint(net.encoder, source)
    if fresh and start_path:
        left = start_from(net, start_path)
        say(f"starting from {start_path}; fresh: {', '.join(left) or 'nothing'}")
    if not torch.cuda.is_available():
        prepare_cpu_training(net)
    return net.to(memory_format=torch.channels_last)


def _describe(config: TrainConfig, spec: NetSpec, samples: TrainingSamples) -> WeightsInfo:
    """State the tile sets with their numbers of tiles, and all their licences."""
    counts = Counter(folder.path.name for folder, _ in samples.tiles)
    licences = {record.licence or "not stated" for _, record in samples.tiles}
    views = (View(scale=item.scale, gsd_range_m=item.gsd_range_m) for item in config.data.samples)
    return WeightsInfo(
        spec=spec,
        views=tuple(dict.fromkeys(views)),
        training_data=", ".join(f"{name} x{count} tiles" for name, count in counts.items()),
        licence="; ".join(sorted(licences)),
    )


def _make_trainer(
    config: TrainConfig, devices: Devices, module: BuildingTraining, callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    images_per_batch = config.optim.batch_size * devices.world
    return make_trainer(
        devices,
        module.recipe,
        precision=config.precision,
        steps=max(0, config.optim.steps - module.first_step),
        val_every_steps=config.val_every_steps,
        output=config.output,
        loggers=open_loggers(config.output, first_step=module.first_step),
        callbacks=[ProgressLines(module, images_per_batch=images_per_batch), *callbacks],
    )


def _fit(
    config: TrainConfig,
    trainer: pl.Trainer,
    module: BuildingTraining,
    training: TrainingSamples,
    validation: ValidationSamples,
) -> None:
    """Train, then validate the best weights."""
    rank, world, accumulate = trainer.global_rank, trainer.world_size, config.optim.accumulate
    to_train = training_loader(
        training,
        batch_size=config.optim.batch_size,
        workers=config.data.workers,
        seed=config.seed,
        first_batch=module.first_step * accumulate,
        batches=(config.optim.steps - module.first_step) * accumulate,
        rank=rank,
        world=world,
    )
    to_validate = validation_loader(
        own_share(validation, rank=rank, world=world),
        batch_size=config.optim.batch_size,
        workers=config.data.workers,
    )
    try:
        if module.first_step < config.optim.steps:
            trainer.fit(module, to_train, to_validate)
        trainer.strategy.barrier()  # until the first process has saved
        best, _ = load_weights(config.output / FOLDER / BEST_NAME)
        module.average.load_state_dict(best.state_dict())
        trainer.validate(module, to_validate, verbose=False)
    except LabelError as error:  # a loader's process puts its traceback in front
        raise LabelError(str(error).rpartition("LabelError: ")[2].strip()) from error
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"batches of optim.batch_size {config.optim.batch_size} do not fit into the device's memory;"
            " halve it, double optim.accumulate, and go on with --resume"
        ) from error


def _finish(
    config: TrainConfig, module: BuildingTraining, training: TrainingSamples, showcase: Showcase
) -> None:
    """Write the best weights with their scores, calibrate them, and write the report."""
    path = config.output / WEIGHTS_NAME
    net, info = load_weights(config.output / FOLDER / BEST_NAME)
    save_weights(path, net, replace(info, scores=module.tally.known_scores()))
    try:
        lines = calibrate(path, config.data.val, placement=choose_placement()).describe()
    except GeoconvnextError as error:
        lines = iter([f"warning: the confidence is not calibrated: {error}"])
    for line in lines:
        say(line)
    report = summarise(
        config.output.name,
        read_curves(config.output),
        module.tally,
        settings=dict(flatten(config.model_dump(mode="json"))),
        training_data=describe_tile_sets(training),
        best=showcase.best,
        worst=showcase.worst,
    )
    write_report(config.output / REPORT_NAME, report)
    say(f"weights: {path}")
    say(f"report: {config.output / REPORT_NAME}")
