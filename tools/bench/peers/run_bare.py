"""The bare network of a weights file, as `predict` runs it, over as many windows as a scene has."""

import geoconvnext.heap  # noqa: F401 - first, as the command does

# isort: split
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from meter import Job, measure
from run_predict import ask, load

from geoconvnext.model.runtime import Engine
from geoconvnext.probabilities import make_plan, prepare
from geoconvnext.scenes import open_scene
from geoconvnext.walk import lay_grid

KEPT = 16


class Bare:
    """The network, prepared and warm, with some windows of the scene, and how many there are."""

    engine: Engine | None = None

    def __init__(self, job: Job) -> None:
        model, options = load(job), ask(job)
        with open_scene(str(job.scene), model.info, options) as scene:
            plan = make_plan(scene, model, options)
            plan = prepare(scene, model, replace(plan, engine=self.engine or plan.engine), print)
            grid = lay_grid(scene.height, scene.width, plan.tile, plan.halo)
            kept = [scene.read(window).pixels for window in list(grid)[:: max(1, len(grid) // KEPT)]]
        self.run, self.batch = model.runners[plan.scale].stream, plan.batch_size
        self.pixels, self.windows = np.stack(kept), len(grid)
        deque(self.run(self.take(4 * self.batch)), 0)

    def take(self, windows: int) -> Iterator[np.ndarray]:
        """Give batches of so many windows, again from the first after the last."""
        for first in range(0, windows, self.batch):
            yield self.pixels[np.arange(first, first + self.batch) % len(self.pixels)]


def run(_: Job, bare: Bare) -> None:
    """Run them all, in full batches."""
    deque(bare.run(bare.take(bare.windows)), 0)


if __name__ == "__main__":
    measure(run, Bare)
