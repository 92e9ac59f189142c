"""A masked autoencoder in training: its steps, its state and what it shows."""

import math

import cv2
import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn import functional

from geoconvnext.errors import ConfigError, GeoconvnextError
from geoconvnext.model.cpu_training import prepare_cpu_training
from geoconvnext.model.fcmae import PATCH, MaskedAutoencoder, masked_loss, reconstruct
from geoconvnext.training.checkpoints import Checkpoint
from geoconvnext.training.devices import Precision
from geoconvnext.training.optim import Recipe, parameter_groups

BETAS = (0.9, 0.95)
GAP_PX, HIDDEN_GREY = 4, 128


class MaskedTraining:
    """Trains with AdamW as published, on a GPU if there is one.

    A batch has image uint8 (N, bands, S, S), visible and wanted bool (N, S/32, S/32). Norms, biases, the
    parameters of GRN and the mask token do not decay. step: optimiser steps done.
    """

    def __init__(self, net: MaskedAutoencoder, recipe: Recipe, *, precision: Precision) -> None:
        on_gpu = torch.cuda.is_available()
        if not on_gpu:
            prepare_cpu_training(net)
        self.fabric = Fabric(accelerator="gpu" if on_gpu else "cpu", devices=1, precision=precision)
        groups = parameter_groups(net.named_parameters(), net.encoder.depths, recipe)
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=BETAS)
        self.net, self.optimizer = self.fabric.setup(net.to(memory_format=torch.channels_last), optimizer)
        self.recipe, self.step = recipe, 0

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; ConfigError where it is of another network."""
        found, expected = (
            {name: value.shape for name, value in state.items()}
            for state in (checkpoint.weights, self.net.state_dict())
        )
        if found != expected:
            raise ConfigError(
                "the last checkpoint holds another network than the configuration asks for;"
                " resume with that of the run"
            )
        self.net.load_state_dict(checkpoint.weights)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step = checkpoint.step

    def checkpoint(self) -> Checkpoint:
        """All that `resume` needs."""
        return Checkpoint(self.step, math.nan, self.net.state_dict(), self.optimizer.state_dict())

    def make_step(self, batch: dict[str, Tensor]) -> float:
        """Learn from a batch; returns its loss. GeoconvnextError where that is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self.recipe.rate_factor(self.step)
        batch = self.fabric.to_device(batch)
        image = batch["image"].float()
        loss = masked_loss(self.net(image, batch["visible"]), image, batch["wanted"])
        if not torch.isfinite(loss):
            raise GeoconvnextError(
                f"the loss became {loss.item()} in step {self.step + 1}; lower base_learning_rate"
                " or use precision 32-true, and go on from the last checkpoint with --resume"
            )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def picture(self, batch: dict[str, Tensor]) -> bytes:
        """PNG with a row for each sample: original, what is visible of it, reconstruction."""
        batch = self.fabric.to_device(batch)
        image, visible = batch["image"].float(), batch["visible"]
        with torch.no_grad():
            guess = reconstruct(self.net(image, visible), image, visible)
        seen = visible[:, None].repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
        views = [
            functional.pad(view, (0, GAP_PX, 0, GAP_PX), value=255)
            for view in (image, image.where(seen, HIDDEN_GREY), guess)
        ]
        rows = torch.cat(views, dim=3)[:, [0, 1, 2] if image.shape[1] >= 3 else [0, 0, 0]]
        sheet = rows.round().clamp(0, 255).byte().permute(0, 2, 3, 1).flatten(0, 1).cpu().numpy()
        _, content = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
        return content.tobytes()
