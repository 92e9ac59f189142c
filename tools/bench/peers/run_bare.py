"""The bare network of a weights file, over as many windows as geoconvnext runs on a scene, from memory."""

import numpy as np
from meter import Job, measure

from geoconvnext.inference import load_model
from geoconvnext.model.runtime import choose_placement
from geoconvnext.raster.grid import TileGrid
from geoconvnext.scenes import PredictOptions, open_scene

KEPT = 16


class Bare:
    """The network, warm, and some windows of the scene, of which it is given as many as the scene has."""

    def __init__(self, job: Job) -> None:
        model = load_model(job.network, choose_placement())
        self.run, self.batch = model.runners[job.scale], job.batch
        with open_scene(str(job.scene), model.info, PredictOptions(scale=job.scale)) as scene:
            grid = TileGrid(scene.height, scene.width, job.tile_px, job.overlap_px // 2)
            step = max(1, len(grid) // KEPT)
            kept = [scene.read(window).pixels for window in list(grid)[::step]]
        self.pixels, self.windows = np.stack(kept), len(grid)
        self.run(self.take(0))

    def take(self, first: int) -> np.ndarray:
        """Return a batch of windows, again from the first after the last."""
        return self.pixels[np.arange(first, first + self.batch) % len(self.pixels)]


def run(_: Job, bare: Bare) -> None:
    """Run them all, in full batches."""
    for first in range(0, bare.windows, bare.batch):
        bare.run(bare.take(first))


if __name__ == "__main__":
    measure(run, Bare)
