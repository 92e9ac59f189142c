"""Speed of synthetic scenes on one core, per style.

Example:  python tools/bench/synth.py --size 1024 --gsd 0.3
"""

import argparse
import time

import cv2

from geoconvnext.data.synth import STYLES, make_scene


def main() -> None:
    """Make three scenes per style and print Mpx per second of processor time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--gsd", type=float, default=0.3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    make_scene(0, height=64, width=64, gsd_m=arguments.gsd)  # compiles the kernels
    for style in STYLES:
        start = time.process_time()
        for seed in range(3):
            make_scene(seed, height=arguments.size, width=arguments.size, gsd_m=arguments.gsd, style=style)
        print(f"{style:12s}{3 * arguments.size**2 / 1e6 / (time.process_time() - start):6.1f} Mpx/s")


if __name__ == "__main__":
    main()
