"""Where and in which precision a network runs."""

from dataclasses import dataclass
from typing import Literal

import torch

from geoconvnext.errors import ConfigError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "bf16", "fp32"]
Unit = Literal["amx", "avx512"]
"""What multiplies bfloat16 on a processor: AMX tiles, or the registers of AVX512-BF16."""


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
        return bool(find_units())
    return False


def find_units() -> list[Unit]:
    """Find the units of this processor, the fastest first."""
    present: dict[Unit, bool] = {
        "amx": torch.cpu._is_amx_tile_supported(),  # noqa: SLF001
        "avx512": torch.cpu._is_avx512_bf16_supported(),  # noqa: SLF001
    }
    return [unit for unit, is_present in present.items() if is_present]
