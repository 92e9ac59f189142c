"""geoconvnext: its own pipeline up to the probabilities on disk, with the network that costs nothing."""

import numpy as np
import torch
from meter import Job, measure
from numpy.typing import NDArray

from geoconvnext.inference import Model
from geoconvnext.model.net import NetSpec
from geoconvnext.model.runtime import LEVELS
from geoconvnext.model.weights import View, WeightsInfo
from geoconvnext.probabilities import write_probabilities
from geoconvnext.scenes import PredictOptions, open_scene
from geoconvnext.vector.rules import FootprintRules

SPEC = NetSpec(scale=1)


class Pointwise:
    """Brightness as logit of building body, edge and contact alike; counts the windows."""

    def __init__(self, _: Job) -> None:
        self.windows = 0

    def __call__(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Probabilities * 254 (N, 3, H, W) of grey values (N, 3, H, W)."""
        self.windows += len(windows)
        torch.set_num_threads(1)  # as in a lane of `predict`; two threads wait for each other, actively
        with torch.inference_mode():
            brightness = torch.from_numpy(windows).float().mean(1, keepdim=True)
            levels = brightness.div_(255).sub_(0.5).mul_(40).sigmoid_().mul_(LEVELS).round_()
            return levels.to(torch.uint8).repeat(1, 3, 1, 1).numpy()


def run(job: Job, runner: Pointwise) -> None:
    """Write the probabilities of three channels; a building is 127 or more in the first."""
    info = WeightsInfo(spec=SPEC, views=(View(scale=1, gsd_range_m=(0.1, 1.0)),))
    model = Model({1: runner}, info, FootprintRules(), "pointwise")
    options = PredictOptions(tile_px=job.tile_px, halo_px=job.overlap_px // 2, batch_size=job.batch)
    with open_scene(str(job.scene), info, options) as scene:
        write_probabilities(scene, job.output, model, options)


if __name__ == "__main__":
    measure(run, load=Pointwise)
