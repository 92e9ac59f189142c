"""A building network in training: its loss, its validation and its optimiser."""

import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from geoconvnext.data.targets import IGNORE
from geoconvnext.errors import ConfigError, GeoconvnextError
from geoconvnext.model.image_branch import ImageBranch
from geoconvnext.model.losses import LossWeights, building_loss
from geoconvnext.model.net import BuildingNet
from geoconvnext.training.average import make_average, update_average
from geoconvnext.training.checkpoints import Checkpoint
from geoconvnext.training.optim import Recipe, make_optimizer, optimizer_state, restore_optimizer
from geoconvnext.training.validation import BUILDING, Tally, probability_levels


class BuildingTraining(pl.LightningModule):
    """A network that is trained, and the average of its weights, which is validated.

    All that is random in a batch depends on the seed and the batch's number alone. `best`: highest validation
    score so far; `tally`: what the last validation counted.
    """

    def __init__(self, net: BuildingNet, loss: LossWeights, recipe: Recipe, *, seed: int) -> None:
        super().__init__()
        self.net = net
        self.average = make_average(net)
        self.image_branch = ImageBranch(net.spec) if loss.image_branch else None
        self.loss_weights, self.recipe, self.seed = loss, recipe, seed
        self.first_step, self.best = 0, math.nan
        self.optimizer_state: dict[str, Any] = {}
        self.tally = Tally()

    @property
    def step(self) -> int:
        """Optimiser steps done, those of earlier parts of the run too."""
        return self.first_step + int(self.trainer.global_step)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; ConfigError where it is of another network."""
        shapes = {name: value.shape for name, value in checkpoint.weights.items()}
        if shapes != {name: value.shape for name, value in self.state_dict().items()}:
            raise ConfigError(
                "the last checkpoint holds another network than the configuration asks for;"
                " resume with that of the run"
            )
        self.load_state_dict(checkpoint.weights)
        self.first_step, self.best = checkpoint.step, checkpoint.best
        self.optimizer_state = checkpoint.optimizer

    def checkpoint(self) -> Checkpoint:
        """All that `resume` needs."""
        state = optimizer_state(self.trainer.optimizers[0], self.named_parameters())
        return Checkpoint(self.step, self.best, self.state_dict(), state)

    def on_train_batch_start(self, _batch: Any, index: int) -> None:
        """Seed drop path, such that a resumed run draws what the uninterrupted one would have drawn."""
        number = self.first_step * self.recipe.accumulate + index
        entropy = np.random.SeedSequence((self.seed, number, self.global_rank))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))

    def training_step(self, batch: dict[str, Tensor], _index: int) -> dict[str, Any]:
        """Loss of a batch, its parts, and confusion counts; stops the run where the loss is not finite."""
        image, scale = _image_and_scale(batch)
        outputs = self.net(image, scale, auxiliary=self.loss_weights.auxiliary > 0)
        if self.image_branch is not None:
            outputs |= self.image_branch(outputs["decoded"], scale)
        parts = building_loss(outputs, batch, self.loss_weights)
        if not torch.isfinite(parts["loss"]):
            raise GeoconvnextError(
                f"the loss became {parts['loss'].item()} in step {self.step + 1}; lower optim.learning_rate"
                " and go on from the last validation with --resume"
            )
        return {
            "loss": parts["loss"],
            "parts": {name: part.detach() for name, part in parts.items()},
            "counts": _confusion(outputs["body"].detach()[:, 0], batch["body"]),
        }

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Make a step and average the weights."""
        super().optimizer_step(*arguments, **options)
        update_average(self.average, self.net, step=self.step + 1, decay=self.recipe.ema_decay)

    def on_train_batch_end(self, *_: Any) -> None:
        """Ask for the last validation, wherever between two validations the run ends."""
        self.trainer.should_stop = self.step >= self.recipe.steps

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the last validation."""
        self.tally = Tally(self.trainer.global_rank, self.trainer.world_size)

    def validation_step(self, batch: dict[str, Any], _index: int) -> None:
        """Count the pixels of a batch as the average network sees them."""
        self.tally.add(batch["source"], self.predict_levels(batch), batch["body"])

    @torch.no_grad()
    def predict_levels(self, batch: dict[str, Any]) -> Tensor:
        """Probabilities of body in 254ths, uint8 (N, s*S, s*S), that the average network gives a batch."""
        image, scale = _image_and_scale(batch)
        with self.trainer.precision_plugin.forward_context():
            return probability_levels(self.average(image, scale)["body"][:, 0])

    def on_validation_epoch_end(self) -> None:
        """Put the counts of all processes together."""
        self.tally = self.tally.gathered()

    def configure_optimizers(self) -> Any:
        """Optimiser with its state of an earlier part of the run; the learning rate follows the step."""
        optimizer = make_optimizer(self.named_parameters(), self.net.encoder.depths, self.recipe)
        restore_optimizer(optimizer, self.named_parameters(), self.optimizer_state)
        self.optimizer_state = {}
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.recipe.rate_factor(self.first_step + step)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _image_and_scale(batch: dict[str, Any]) -> tuple[Tensor, int]:
    """Image of a batch in the memory format of the network, and its targets' pixels per pixel of it."""
    image = batch["image"]
    return image.contiguous(memory_format=torch.channels_last), batch["body"].shape[-1] // image.shape[-1]


def _confusion(logits: Tensor, truth: Tensor) -> Tensor:
    """Count true and false positives and false negatives; truth: a share in 254ths, or IGNORE."""
    found, building, known = logits > 0, truth >= BUILDING, truth != IGNORE
    pairs = (found & building & known, found & ~building, ~found & building & known)
    return torch.stack([pair.sum() for pair in pairs])
