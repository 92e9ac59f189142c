"""Saves a run after each validation: the best weights so far, and all that it needs to go on."""

import math
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.trainer.states import TrainerFn

from geoconvnext.model.weights import WeightsInfo, save_weights
from geoconvnext.training.checkpoints import BEST_NAME, LAST_NAME, save_checkpoint
from geoconvnext.training.module import BuildingTraining


class Saver(pl.Callback):
    """Writes the average network where it has a new best mean IoU, then the checkpoint of the step."""

    def __init__(self, module: BuildingTraining, folder: Path, info: WeightsInfo) -> None:
        self.module, self.folder, self.info = module, folder, info

    def on_validation_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Save; in every process the best score is kept."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        module = self.module
        score = module.tally.mean_scores()["iou"]
        is_best = score > module.best or math.isnan(module.best)
        if is_best:
            module.best = score
        if not trainer.is_global_zero:
            return
        if is_best:
            save_weights(self.folder / BEST_NAME, module.average, self.info)
        save_checkpoint(self.folder / LAST_NAME, module.checkpoint())
