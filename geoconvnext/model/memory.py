"""Memory: how much there is for a network, and keeping what a processor's allocator got once."""

import ctypes
import os
import platform
from pathlib import Path

import torch

ARENA_MAX, MMAP_MAX, TOP_PAD, TRIM_THRESHOLD = -8, -4, -2, -1  # options of glibc's mallopt
MEMINFO = Path("/proc/meminfo")


def available_bytes(device: torch.device) -> int:
    """Bytes that a network may still take on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, LookupError, ValueError):
        return _physical_bytes() // 2


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # no POSIX
        return 4 << 30


def keep_freed_memory() -> None:
    """Stop glibc from returning freed activations to the system, which costs a page fault per 4 kB.

    All threads share one heap: the heaps of others hold no more than 64 MB.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL("libc.so.6")
    for option, value in ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**28)):
        libc.mallopt(option, value)
