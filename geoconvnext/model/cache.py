"""The user's cache folder, and the name of the processor that its contents belong to."""

import os
import platform
from pathlib import Path

import torch


def cache_folder() -> Path:
    """Folder for what can be made again: compiled networks and measured speeds."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "geoconvnext"


def processor_name(device: torch.device) -> str:
    """Name of the processor behind a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name or platform.machine()}, {torch.get_num_threads()} threads"
