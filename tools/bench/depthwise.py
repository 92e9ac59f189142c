"""Time depthwise 7x7 convolutions of ConvNeXt-Pico, channels last, in bfloat16 and in float32.

The reason for geoconvnext.model.cpu_training.Float32Depthwise:

    python tools/bench/depthwise.py --size 256 --batch 8 --threads 2
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

CHANNELS = {4: 64, 8: 128, 16: 256, 32: 512}  # of ConvNeXt-Pico's stages, by stride


def time_pass(conv: nn.Conv2d, features: Tensor, repeats: int) -> tuple[float, float]:
    """Median milliseconds of the forward and of the backward pass."""
    forward, backward = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        result = conv(features)
        middle = time.perf_counter()
        result.backward(torch.ones_like(result))
        end = time.perf_counter()
        forward.append(middle - start)
        backward.append(end - middle)
    return 1e3 * statistics.median(forward[1:]), 1e3 * statistics.median(
        backward[1:]
    )  # the first is a warm-up


def time_stage(
    stride: int, dtype: torch.dtype, *, size: int, batch: int, repeats: int
) -> tuple[float, float]:
    """Median milliseconds of the depthwise convolution of the stage at `stride`."""
    channels = CHANNELS[stride]
    conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
    conv = conv.to(dtype).to(memory_format=torch.channels_last)
    features = torch.randn(batch, channels, size // stride, size // stride, dtype=dtype)
    features = features.to(memory_format=torch.channels_last).requires_grad_()
    return time_pass(conv, features, repeats)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="edge of the image in pixels, a multiple of 32")
    parser.add_argument("--batch", type=int, default=8, help="images at a time")
    parser.add_argument("--repeats", type=int, default=10, help="passes of which the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    return parser.parse_args()


def main() -> None:
    """Print one line per stage."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, ms per pass, batch {arguments.batch}")
    print(f"{'channels x size':>16} {'forward bf16':>13} {'float32':>8} {'backward bf16':>14} {'float32':>8}")
    given = {"size": arguments.size, "batch": arguments.batch, "repeats": arguments.repeats}
    for stride, channels in CHANNELS.items():
        half = time_stage(stride, torch.bfloat16, **given)
        full = time_stage(stride, torch.float32, **given)
        shape = f"{channels} x {arguments.size // stride}"
        print(f"{shape:>16} {half[0]:13.2f} {full[0]:8.2f} {half[1]:14.2f} {full[1]:8.2f}")


if __name__ == "__main__":
    main()
