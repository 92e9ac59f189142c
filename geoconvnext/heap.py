"""The heap of glibc, tuned for networks. Imported before anything that starts threads, they share one heap.

A thread with a heap of its own returns every large block to the system as soon as it is freed; to get it
back costs a page fault per 4 kB, a quarter of the time of a network.
"""

import ctypes
import platform

ARENA_MAX, MMAP_MAX, TOP_PAD, TRIM_THRESHOLD = -8, -4, -2, -1  # options of mallopt


def set_options(options: dict[int, int]) -> None:
    """Set options of glibc; nothing where there is none."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        for option, value in options.items():
            libc.mallopt(option, value)


def keep_freed_memory() -> None:
    """Keep what the shared heap got once, however large the blocks."""
    set_options({MMAP_MAX: 0, TRIM_THRESHOLD: -1, TOP_PAD: 2**28})


set_options({ARENA_MAX: 1})
