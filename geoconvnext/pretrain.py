"""Pretrain an encoder on unlabelled scenes: it learns to fill in what is hidden (FCMAE, arXiv 2301.00808)."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from geoconvnext import __version__
from geoconvnext.config import PretrainConfig
from geoconvnext.data.unlabelled import CropSpec, UnlabelledSamples, unlabelled_loader
from geoconvnext.model.checkpoint import ENCODER_KEY, NORMALISATION_KEY
from geoconvnext.model.encoder import ConvNeXtEncoder
from geoconvnext.model.fcmae import MaskedAutoencoder
from geoconvnext.model.net import NetSpec
from geoconvnext.output import draft
from geoconvnext.training.checkpoints import (
    FOLDER,
    LAST_NAME,
    open_run,
    save_checkpoint,
)
from geoconvnext.training.devices import quiet_lightning
from geoconvnext.training.masked import MaskedTraining
from geoconvnext.training.optim import Recipe
from geoconvnext.training.progress import SAY_EVERY_S, duration, say

ENCODER_NAME = "encoder.safetensors"
REFERENCE_BATCH = 256
"""The batch that base_learning_rate is stated for."""
SHOWN = 6
"""Samples in each picture."""


def pretrain(config: PretrainConfig, scenes: Sequence[str], *, resume: bool = False) -> Path:
    """Run or resume a pretraining on scene files; returns the path of the encoder's weights.

    `train` takes them as net.encoder_weights. A resumed run goes on from its last checkpoint as if it had not
    been interrupted. Scenes that cannot be used are named, skipped and counted.

    ConfigError: `output` has a run already, and it is not to be resumed; or its network is another one.
    SceneError: no scene can be used. GeoconvnextError: the loss became infinite or NaN.
    """
    checkpoint = open_run(config.output, resume=resume)
    if resume and not checkpoint:
        say(f"no checkpoint in {config.output} to resume from: starting at step 0")
    torch.manual_seed(config.seed)
    spec = NetSpec(
        encoder=config.encoder,
        bands=config.bands,
        mean=config.mean or NetSpec.mean,
        std=config.std or NetSpec.std,
    )
    encoder = ConvNeXtEncoder(config.encoder, bands=config.bands)
    net = MaskedAutoencoder(encoder, decoder_channels=config.decoder_channels, mean=spec.mean, std=spec.std)
    samples = _samples(config, scenes)
    with quiet_lightning():
        training = MaskedTraining(net, _recipe(config), precision=config.precision)
        if checkpoint:
            training.resume(checkpoint)
        _run(config, training, samples)
    path = config.output / ENCODER_NAME
    _save_encoder(path, encoder, _describe(config, spec, samples))
    return path


def _recipe(config: PretrainConfig) -> Recipe:
    return Recipe(
        optimizer="adamw",
        steps=config.steps,
        learning_rate=config.base_learning_rate * config.batch_size / REFERENCE_BATCH,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_steps,
    )


def _samples(config: PretrainConfig, scenes: Sequence[str]) -> UnlabelledSamples:
    spec = CropSpec(
        bands=config.bands,
        size=config.sample_size,
        gsd_range_m=config.gsd_range_m,
        mask_share=config.mask_share,
    )
    samples = UnlabelledSamples(scenes, spec, seed=config.seed, leave_out=config.leave_out)
    for reason in samples.skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    known = sum(scene.known for scene in samples.scenes) / 1e6
    say(f"scenes: {len(samples.scenes)}, {known:.3g} million pixels; {len(samples.skipped)} skipped")
    return samples


def _run(config: PretrainConfig, training: MaskedTraining, samples: UnlabelledSamples) -> None:
    """Make the steps that are left; save and draw a picture every so often and at the end."""
    shown = _shown(samples, after=config.steps * config.batch_size)
    loader = unlabelled_loader(
        samples,
        batch_size=config.batch_size,
        first_batch=training.step,
        batches=config.steps,
        workers=config.workers,
    )
    say(f"device: {training.fabric.device}, {config.precision}")
    say(f"steps: {training.step} to {config.steps}, {config.batch_size} images each")
    progress = _Progress(config.steps, config.batch_size)
    try:
        for batch in loader:
            loss = training.make_step(batch)
            progress.add(training.step, loss)
            if training.step % config.save_every_steps == 0 or training.step == config.steps:
                save_checkpoint(config.output / FOLDER / LAST_NAME, training.checkpoint())
                with draft(config.output / "pictures" / f"step_{training.step:06d}.png") as part:
                    part.write_bytes(training.picture(shown))
                progress.restart()
    except KeyboardInterrupt:
        say(f"stopped at step {training.step}; --resume goes on from the last checkpoint")
        raise


def _shown(samples: UnlabelledSamples, *, after: int) -> dict[str, Tensor]:
    """Draw the samples of the pictures, those that would come `after` the last one of the training."""
    items = [samples[after + i] for i in range(SHOWN)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


class _Progress:
    """Prints a line with loss, speed and time left every SAY_EVERY_S seconds."""

    def __init__(self, steps: int, batch_size: int) -> None:
        self.steps, self.batch_size = steps, batch_size
        self.restart()

    def restart(self) -> None:
        """Forget the last steps, and the time since."""
        self.losses: list[float] = []
        self.since = time.monotonic()

    def add(self, step: int, loss: float) -> None:
        """Note the loss of a step."""
        self.losses.append(loss)
        seconds = time.monotonic() - self.since
        if seconds < SAY_EVERY_S and step < self.steps:
            return
        per_step = seconds / len(self.losses)
        mean = sum(self.losses) / len(self.losses)
        left = duration((self.steps - step) * per_step)
        say(
            f"step {step}/{self.steps}  loss {mean:.4f}  {self.batch_size / per_step:.1f} images/s"
            f"  {left} left"
        )
        self.restart()


def _describe(config: PretrainConfig, spec: NetSpec, samples: UnlabelledSamples) -> dict[str, str]:
    """State what `train` and the next user must know."""
    return {
        ENCODER_KEY: config.encoder,
        NORMALISATION_KEY: json.dumps({"mean": spec.mean, "std": spec.std}),
        "bands": str(config.bands),
        "gsd_range_m": json.dumps(config.gsd_range_m),
        "scenes": json.dumps([Path(scene.path).name for scene in samples.scenes]),
        "licence": "made from the scenes listed: their licences apply",
        "steps": str(config.steps),
        "version": __version__,
    }


def _save_encoder(path: Path, encoder: ConvNeXtEncoder, metadata: dict[str, str]) -> None:
    state = {name: value.cpu().contiguous() for name, value in encoder.state_dict().items()}
    with draft(path) as part:
        part.write_bytes(save(state, metadata))
