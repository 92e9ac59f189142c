"""Time a training as a share of the bare steps of its network: does it wait for its data.

Blocks of steps of the real training (tiles, augmentation, Lightning, average, log) take turns, in one
process, with blocks of bare steps (forward, backward, optimiser) of an equal network over synthetic batches
of the same sizes that are already in memory. The first steps of each real block, whose data was made while
the bare ones ran, do not count. Example:

    python tools/bench/training.py configs/small.yaml --blocks 5 --steps 20
"""

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from geoconvnext.config import TrainConfig, read_config
from geoconvnext.data.loaders import training_loader
from geoconvnext.model.losses import LossWeights, building_loss
from geoconvnext.train import open_samples, start_net
from geoconvnext.training.devices import Devices, make_trainer, quiet_lightning
from geoconvnext.training.logs import open_loggers
from geoconvnext.training.module import BuildingTraining
from geoconvnext.training.optim import Recipe, make_optimizer
from geoconvnext.training.progress import ProgressLines

Batch = dict[str, Tensor]


class BareSteps:
    """Forward, backward and optimiser of a copy of a training's network, and nothing else."""

    def __init__(self, module: BuildingTraining) -> None:
        self.net, self.branch = copy.deepcopy(module.net).train(), copy.deepcopy(module.image_branch)
        self.weights = module.loss_weights
        self.optimizer = make_optimizer(self.net.named_parameters(), self.net.encoder.depths, module.recipe)

    def __call__(self, batch: Batch, precision: str) -> None:
        """Learn from a batch."""
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        scale = batch["body"].shape[-1] // image.shape[-1]
        self.optimizer.zero_grad()
        with torch.autocast(image.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            outputs = self.net(image, scale, auxiliary=self.weights.auxiliary > 0)
            if self.branch is not None:
                outputs |= self.branch(outputs["decoded"], scale)
            loss = building_loss(outputs, batch, self.weights)["loss"]
        torch.autograd.backward(loss)
        self.optimizer.step()


class TakeTurns(pl.Callback):
    """Times blocks of real steps, after each of which it times as many bare ones."""

    def __init__(self, module: BuildingTraining, *, steps: int, skip: int, precision: str) -> None:
        self.module, self.precision = module, precision
        self.steps, self.skip = steps, skip
        self.bare: BareSteps | None = None
        self.batches: list[Batch] = []
        self.speeds: list[tuple[float, float]] = []
        self.number, self.start = 0, 0.0

    def on_train_batch_end(
        self, _trainer: Any, _module: Any, _outputs: Any, batch: Batch, _index: int
    ) -> None:
        """Count a step; at the end of a block let the bare steps run."""
        self.number += 1
        if self.number == self.skip:
            self.batches, self.start = [], _now()
        elif self.number > self.skip:
            self.batches.append(batch)
        if self.number == self.skip + self.steps:
            real, bare = _now() - self.start, self._time_bare([_imitate(each) for each in self.batches])
            images = sum(len(each["image"]) for each in self.batches)
            self.speeds.append((images / real, images / bare))
            self.number = 0

    def _time_bare(self, batches: list[Batch]) -> float:
        if self.bare is None:
            self.bare = BareSteps(self.module)
            self.bare(batches[0], self.precision)  # makes the state of the optimiser
        start = _now()
        for batch in batches:
            self.bare(batch, self.precision)
        return _now() - start


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _imitate(batch: Batch) -> Batch:
    """Random values of the shapes and types of a batch: images 0..255, targets 0 and 1."""
    highest = {"image": 256, "fine": 256}
    return {name: torch.randint_like(value, highest.get(name, 2)) for name, value in batch.items()}


def measure(config: TrainConfig, *, blocks: int, steps: int) -> list[tuple[float, float]]:
    """Images per second of real and of bare steps, block by block."""
    loading = {"batch_size": config.optim.batch_size, "workers": config.data.workers}
    skip = 2 * config.data.workers + 2  # what workers have ready, and one that they are at
    batches = blocks * (skip + steps)
    values = config.optim.model_dump(exclude={"batch_size"}) | {"steps": batches, "accumulate": 1}
    recipe, loss = Recipe(**values), LossWeights(**config.loss.model_dump())
    module = BuildingTraining(start_net(config, fresh=False), loss, recipe, seed=config.seed)
    turns = TakeTurns(module, steps=steps, skip=skip, precision=config.precision)
    loader = training_loader(open_samples(config)[0], seed=config.seed, batches=batches, **loading)
    with quiet_lightning(), tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            Devices("gpu" if torch.cuda.is_available() else "cpu", 1),
            recipe,
            precision=config.precision,
            steps=batches,
            val_every_steps=batches,
            output=Path(folder),
            loggers=open_loggers(Path(folder), first_step=0),
            callbacks=[ProgressLines(module, images_per_batch=config.optim.batch_size), turns],
        )
        trainer.fit(module, loader)
    return turns.speeds


def main() -> None:
    """Print a line per block, and the median share."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="configuration of a training")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="timed steps in each block")
    arguments = parser.parse_args()
    speeds = measure(read_config(arguments.config), blocks=arguments.blocks, steps=arguments.steps)
    for real, bare in speeds:
        print(f"training {real:8.2f} images/s   bare {bare:8.2f} images/s   share {real / bare:6.1%}")
    print(f"median share {statistics.median(real / bare for real, bare in speeds):.1%}")


if __name__ == "__main__":
    main()
