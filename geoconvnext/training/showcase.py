"""Pictures of a run: some validation samples after every validation, the best and the worst at its end."""

from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn

from geoconvnext.data.dataset import ValidationSamples
from geoconvnext.training.module import BuildingTraining
from geoconvnext.training.pictures import Panel, compose_tiles, draw_tiles

FOLDER = "pictures"
SHOWN = 6
"""Samples in a picture; at the end of a run, as many of the best and of the worst."""


class Showcase(pl.Callback):
    """Draws samples with buildings, evenly spaced over all sets, as OUTPUT/pictures/step_NNNNNN.png.

    The samples are the same each time. After the validation of the final weights it holds `best` and `worst`.
    """

    def __init__(self, module: BuildingTraining, samples: ValidationSamples, output: Path) -> None:
        self.module, self.samples, self.folder = module, samples, output / FOLDER
        self.best: list[Panel] = []
        self.worst: list[Panel] = []

    def on_validation_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Draw while the network is on its device."""
        if not trainer.is_global_zero:
            return
        if trainer.state.fn == TrainerFn.FITTING:
            self._draw(trainer)
        else:
            ranked = self.module.tally.ranked()
            count = min(SHOWN, len(ranked) // 2)
            self.best = self._panels(ranked[:count])
            self.worst = self._panels(ranked[::-1][:count])

    def _draw(self, trainer: pl.Trainer) -> None:
        step = self.module.step
        panels = self._panels(spread(sorted(self.module.tally.ious), SHOWN))
        if not panels:
            return
        title = f"step {step}"
        draw_tiles(self.folder / f"step_{step:06d}.png", panels, title)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                picture = compose_tiles(panels, title)
                logger.experiment.add_image("validation", picture, step, dataformats="HWC")

    def _panels(self, indices: Sequence[int]) -> list[Panel]:
        panels = []
        for index in indices:
            sample = self.samples[index]
            batch = {name: sample[name][None].to(self.module.device) for name in ("image", "body")}
            levels = self.module.predict_levels(batch)
            panels.append(
                Panel(
                    name=f"{sample['source']} / {sample['name']}",
                    image=sample["image"].permute(1, 2, 0).numpy(),
                    probability=levels[0].cpu().numpy(),
                    truth=sample["body"].numpy(),
                    iou=self.module.tally.ious[index],
                )
            )
        return panels


def spread(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spaced."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]
