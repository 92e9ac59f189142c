"""Training samples per second of one process, and where its time goes.

The data pipeline must not be what training waits for:

    python tools/bench/samples.py tiles/train/town tiles/train/village --scale 2
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geoconvnext.data.augment import Augmentation
from geoconvnext.data.dataset import SampleSpec, TrainingSamples
from geoconvnext.data.sample import Sample
from geoconvnext.data.tiles import TileFolder

PARTS = {
    "read": (TileFolder, "read"),
    "cut": (SampleSpec, "cut"),
    "light": (Augmentation, "light"),
    "view": (Augmentation, "view"),
    "targets": (Sample, "targets"),
}


def clock(part: str, seconds: dict[str, float]) -> None:
    """Let a method add up the processor time that it takes."""
    owner, name = PARTS[part]
    method: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        result = method(*arguments, **named)
        seconds[part] += time.process_time() - start
        return result

    setattr(owner, name, timed)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path, nargs="+", help="tile sets, drawn from in equal shares")
    parser.add_argument("--scale", type=int, default=2, help="of the targets")
    parser.add_argument("--size", type=int, default=256, help="edge of the image in pixels")
    parser.add_argument("--gsd", type=float, nargs=2, default=(0.3, 0.5), help="range in metres per pixel")
    parser.add_argument("--fine-image", action="store_true", help="with the sharp image on the targets' grid")
    parser.add_argument("--copy-paste", type=float, default=0.0, help="how often buildings are pasted")
    parser.add_argument("--samples", type=int, default=200)
    return parser.parse_args()


def main() -> None:
    """Print one line."""
    arguments = read_arguments()
    cv2.setNumThreads(1)
    spec = SampleSpec(size=arguments.size, scale=arguments.scale, gsd_range_m=tuple(arguments.gsd))
    samples = TrainingSamples(
        [(path, 1.0) for path in arguments.tiles],
        [(spec, 1.0)],
        Augmentation(copy_paste=arguments.copy_paste),
        fine_image=arguments.fine_image,
    )
    rng = np.random.default_rng(0)
    for index in samples.draw(rng, 10):  # compiles, imports
        samples[index]
    seconds: dict[str, float] = defaultdict(float)
    for part in PARTS:
        clock(part, seconds)
    start = time.process_time()
    for index in samples.draw(rng, arguments.samples):
        samples[index]
    total = time.process_time() - start
    parts = ", ".join(f"{part} {1e3 * seconds[part] / arguments.samples:.1f}" for part in PARTS)
    rate = arguments.samples / total
    print(f"{rate:.0f} samples/s of a core; {1e3 / rate:.1f} ms each: {parts}")


if __name__ == "__main__":
    main()
