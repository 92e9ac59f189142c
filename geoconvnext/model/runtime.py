"""How a network is run: device, precision and memory format."""

import ctypes
import platform
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoconvnext.errors import ConfigError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "bf16", "fp32"]
CHANNELS = ("body", "edge", "contact")
LEVELS = 254
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # options of glibc's mallopt


@dataclass(frozen=True)
class Placement:
    """Where and in which precision a network runs."""

    device: torch.device
    dtype: torch.dtype

    def describe(self) -> str:
        """One line for the user."""
        names = {"cpu": f"CPU ({torch.get_num_threads()} threads)", "mps": "Apple GPU (MPS)"}
        if self.device.type == "cuda":
            names["cuda"] = torch.cuda.get_device_name(self.device)
        precision = {torch.bfloat16: "bfloat16", torch.float32: "float32"}[self.dtype]
        return f"{names[self.device.type]}, {precision}"


def choose_placement(device: DeviceName = "auto", precision: PrecisionName = "auto") -> Placement:
    """Choose the fastest device and precision, unless one is named; ConfigError if it is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        name = next(name for name, there in available.items() if there)
    elif available.get(device):
        name = device
    else:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise ConfigError(f"device {device} is not available on this machine; found: {there}")
    chosen = torch.device(name)
    if precision == "auto":
        return Placement(chosen, torch.bfloat16 if _has_bf16(chosen) else torch.float32)
    dtypes = {"bf16": torch.bfloat16, "fp32": torch.float32}
    if precision not in dtypes:
        raise ConfigError(f"precision {precision} is unknown; choose auto, bf16 or fp32")
    return Placement(chosen, dtypes[precision])


def _has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 products run in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
    return False


class Runner:
    """Runs a network over batches of windows; grey values in, probabilities out, both as bytes.

    The network itself is moved to the device and precision of `placement`, in evaluation mode. scale: of the
    probabilities, None for the network's finest.
    """

    def __init__(self, net: nn.Module, placement: Placement, scale: int | None = None) -> None:
        self.placement = placement
        self.scale = scale
        self.net = net.eval().to(placement.device, placement.dtype).to(memory_format=torch.channels_last)

    def __call__(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Probabilities * 254 of body, edge and contact.

        `windows`: (N, bands, H, W) grey values, H and W multiples of 32; returns (N, 3, scale*H, scale*W).
        """
        try:
            return self._run(windows)
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{len(windows)} windows of {windows.shape[2]} px do not fit into the memory of"
                f" {self.placement.describe()}; lower --batch-size or --tile-size"
            ) from error

    def _run(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            image = torch.from_numpy(windows).to(self.placement.device)
            logits = self.net(image.contiguous(memory_format=torch.channels_last), self.scale)
            chosen = torch.cat([logits[name] for name in CHANNELS], dim=1).float()
            levels = chosen.sigmoid_().mul_(LEVELS).round_().to(torch.uint8)
            return levels.cpu().contiguous().numpy()


class Float32Depthwise(nn.Conv2d):
    """Depthwise convolution that stays in float32 under autocast.

    On processors its bfloat16 backward pass takes more than twice as long (tools/bench/depthwise.py).
    """

    def forward(self, features: Tensor) -> Tensor:
        """Filter in the kernel's precision; the result has the precision of `features`."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.to(self.weight.dtype)).to(features.dtype)


def prepare_cpu_training(net: nn.Module) -> None:
    """Make training on a processor faster: float32 depthwise convolutions, freed memory kept for reuse."""
    for module in net.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            module.__class__ = Float32Depthwise
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Stop glibc from returning the memory of each step's activations, which costs a page fault per 4 kB."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL("libc.so.6")
    for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28)):
        libc.mallopt(option, value)
