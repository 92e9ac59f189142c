"""The size of windows."""

import math
from pathlib import Path

import pytest
import torch

from geoconvnext.model import tuning
from geoconvnext.model.tuning import computed_px, fastest, known_rates, needed_bytes, sizes_that_fit
from geoconvnext.raster.grid import TileGrid

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(513, 40), (2000, 3000), (1024, 1024), (5000, 700)])
@pytest.mark.parametrize(("tile", "halo"), [(512, 64), (1024, 0), (256, 96)])
def test_computed_pixels_are_those_of_the_grid(shape: tuple[int, int], tile: int, halo: int) -> None:
    if max(shape) > tile:
        assert computed_px(*shape, tile, halo) == len(TileGrid(*shape, tile, halo)) * tile**2


def test_a_scene_in_one_window() -> None:
    assert computed_px(100, 200, 512, 64) == 224**2


def test_wide_windows_pay_for_halos() -> None:
    rates = {(512, 1): 1.1, (1024, 1): 1.0}
    lanes = dict.fromkeys(rates, 1)
    assert fastest(20_000, 20_000, 64, rates, lanes) == (1024, 1)
    assert fastest(20_000, 20_000, 0, rates, lanes) == (512, 1)
    assert fastest(20_000, 20_000, 256, rates, lanes) == (1024, 1)
    assert fastest(20_000, 20_000, 512, rates, lanes) == (1536, 1)  # larger than two halos


def test_lanes_that_stand_idle_count() -> None:
    rates = {(640, 1): 1.0, (1024, 1): 1.0}
    assert fastest(1024, 3072, 0, rates, {(640, 1): 1, (1024, 1): 1}) == (1024, 1)
    assert fastest(1024, 3072, 0, rates, {(640, 1): 2, (1024, 1): 2}) == (640, 1)  # 10 windows, not 3


def test_memory_limits_the_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "available_bytes", lambda _device: math.inf)

    def sizes(device: torch.device, dtype: torch.dtype, scale: int) -> list[tuple[int, int]]:
        return sizes_that_fit(device, lambda size: needed_bytes(size, dtype, scale, 64))

    coarse, fine = (sizes(CPU, torch.bfloat16, scale) for scale in (1, 4))
    assert max(coarse) > max(fine)
    assert len(sizes(CPU, torch.float32, 4)) < len(fine)
    monkeypatch.setattr(tuning, "available_bytes", lambda _device: 1 << 20)
    assert sizes(CPU, torch.bfloat16, 1) == [(512, 1)]
    monkeypatch.setattr(tuning, "available_bytes", lambda _device: 80 << 30)
    assert max(sizes(torch.device("cuda"), torch.bfloat16, 1)) == (2048, 16)


def test_rates_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert known_rates("a", [(512, 1)], lambda _size: 5.0) == {(512, 1): 5.0}
    assert known_rates("b", [(512, 1)], lambda _size: 6.0) == {(512, 1): 6.0}
    assert known_rates("a", [(512, 1), (1024, 2)], lambda _size: 7.0) == {(512, 1): 5.0, (1024, 2): 7.0}


def test_sizes_between_the_measured_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sizes = [(512, 1), (544, 1), (1024, 1), (1056, 1)]
    assert known_rates("a", sizes, lambda size: float(size[0])) == {
        (512, 1): 512.0,
        (544, 1): 512.0,
        (1024, 1): 1024.0,
        (1056, 1): 1024.0,
    }


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"a": 3}', '{"a": {"512 x 1": "fast"}}', '{"a": {"512 x 1": 0}}']
)
def test_a_broken_cache_is_ignored(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "geoconvnext").mkdir()
    (tmp_path / "geoconvnext" / "rates.json").write_text(content)
    assert known_rates("a", [(512, 1)], lambda _size: 5.0) == {(512, 1): 5.0}


def test_a_cache_that_cannot_be_written_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert known_rates("a", [(512, 1)], lambda _size: 5.0) == {(512, 1): 5.0}
