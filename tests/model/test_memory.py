"""Memory for networks."""

import ctypes
import platform
from pathlib import Path

import pytest
import torch

from geoconvnext.heap import keep_freed_memory
from geoconvnext.model import memory
from geoconvnext.model.memory import available_bytes


@pytest.mark.parametrize("library", ["glibc", "", "musl"])
def test_memory_is_kept_where_the_library_can(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    class Libc:
        def __init__(self, name: str) -> None:
            assert name == "libc.so.6"

        def mallopt(self, option: int, value: int) -> None:
            calls.append((option, value))

    monkeypatch.setattr(platform, "libc_ver", lambda: (library, "2.39"))
    monkeypatch.setattr(ctypes, "CDLL", Libc)
    keep_freed_memory()
    assert bool(calls) is (library == "glibc")
    assert all(value < 2**31 for _, value in calls)  # mallopt takes a C int


def test_available_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    assert 1 << 20 < available_bytes(cpu) < 1 << 50
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:    5 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    assert available_bytes(cpu) == 5 * 1024
    meminfo.unlink()
    assert 1 << 20 < available_bytes(cpu) < 1 << 50
