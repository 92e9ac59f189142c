import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoconvnext.raster.grid import FULL_WEIGHT, STRIDE_PX, TileGrid, Window


@st.composite
def grids(draw):
    halo = draw(st.integers(0, 4)) * STRIDE_PX
    tile = 2 * halo + draw(st.integers(1, 8)) * STRIDE_PX
    return TileGrid(draw(st.integers(1, 3000)), draw(st.integers(1, 3000)), tile, halo)


@given(grids())
def test_every_pixel_is_half_a_halo_from_the_edge_of_a_window(grid):
    for starts, extent in ((grid.row_starts, grid.height), (grid.col_starts, grid.width)):
        trusted = np.zeros(extent, bool)
        for start in starts:
            near = start + grid.halo // 2 if start > 0 else 0
            far = start + grid.tile - grid.halo // 2 if start + grid.tile < extent else extent
            trusted[near:far] = True
        assert trusted.all()


@given(grids())
def test_starts_are_in_phase_and_as_few_as_possible(grid):
    for starts, extent in ((grid.row_starts, grid.height), (grid.col_starts, grid.width)):
        assert all(start % STRIDE_PX == 0 for start in starts)
        assert starts[-1] + grid.tile >= extent
        assert len(starts) == 1 or starts[-2] + grid.tile < extent


def test_order_is_row_major():
    grid = TileGrid(300, 500, tile=256, halo=32)
    assert [(w.row, w.col) for w in grid] == [(0, 0), (0, 192), (0, 384), (192, 0), (192, 192), (192, 384)]
    assert len(grid) == 6
    assert [len(row) for row in grid.rows()] == [3, 3]
    assert {(w.height, w.width) for w in grid} == {(256, 256)}


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_ramp_rises_from_nothing_to_full_weight(scale):
    ramp = TileGrid(1000, 1000, tile=256, halo=64).ramp(scale)
    assert len(ramp) == 64 * scale
    assert (np.diff(ramp.astype(int)) >= 0).all()
    assert (ramp.astype(int) + ramp[::-1] == FULL_WEIGHT).all()
    assert len(TileGrid(10, 10, tile=32, halo=0).ramp(scale)) == 0


@pytest.mark.parametrize("bad", [{"height": 0}, {"tile": 500}, {"halo": 20}, {"halo": 256}, {"halo": -32}])
def test_refuses_impossible_grids(bad):
    with pytest.raises(ValueError, match="got"):
        TileGrid(**({"height": 100, "width": 100} | bad))


def test_refuses_an_empty_window():
    with pytest.raises(ValueError, match="0 x 5"):
        Window(0, 0, 0, 5)
