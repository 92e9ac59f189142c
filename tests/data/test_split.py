import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt

from geoconvnext.data.split import AreaSplit, windows
from geoconvnext.errors import ConfigError
from geoconvnext.raster.grid import Window


def painted(parts, height, width):
    """Per pixel 1 for training, 2 for validation, 0 for neither; no pixel is in two windows."""
    canvas = np.zeros((height, width), np.uint8)
    for part in parts:
        at = part.window
        inside = canvas[at.row : at.row + at.height, at.col : at.col + at.width]
        assert inside.shape == (at.height, at.width)
        assert not inside.any()
        inside[:] = 1 + part.validates
    return canvas


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 50))
def test_windows_cover_each_pixel_once(height, width, size):
    count = np.zeros((height, width), int)
    sizes = set()
    for window in windows(Window(0, 0, height, width), size):
        count[window.row : window.row + window.height, window.col : window.col + window.width] += 1
        sizes.add(window.height)
        assert max(window.height, window.width) <= size
    assert (count == 1).all()
    assert max(sizes) - min(sizes) <= 1


def test_windows_of_an_area():
    assert list(windows(Window(10, 20, 5, 8), 4)) == [
        Window(10, 20, 2, 4),
        Window(10, 24, 2, 4),
        Window(12, 20, 3, 4),
        Window(12, 24, 3, 4),
    ]


@settings(deadline=None, max_examples=50)
@given(st.integers(20, 400), st.integers(20, 400), st.sampled_from([0.1, 0.25, 0.5, 0.8]))
def test_no_training_pixel_lies_near_a_validation_pixel(height, width, share):
    size = 20
    parts = AreaSplit(share).parts(height, width, size)
    assert all(max(part.window.height, part.window.width) <= size for part in parts)
    canvas = painted(parts, height, width)
    if {1, 2} <= set(np.unique(canvas)):
        # Chessboard distance to the nearest validation pixel, one more than the pixels between.
        distance = distance_transform_cdt(canvas != 2, metric="chessboard")
        assert distance[canvas == 1].min() > size // 4
    # What is left out lies within the margin of training ground, or of another block for validation.
    if (canvas == 0).any():
        assert distance_transform_cdt(canvas == 0, metric="chessboard").max() <= size // 4 + 1


def test_blocks_of_a_large_scene_are_several_windows_wide():
    parts = AreaSplit(0.2).parts(4000, 4000, 100)
    canvas = painted(parts, 4000, 4000)
    assert (canvas == 2).mean() == pytest.approx(0.2, abs=0.05)
    blocks = canvas.reshape(10, 400, 10, 400).swapaxes(1, 2)
    assert {tuple(np.unique(block)) for row in blocks for block in row} <= {(1,), (0, 2), (2,)}


@pytest.mark.parametrize(("side", "blocks"), [(150, 1), (199, 1), (200, 4), (700, 4), (1200, 9)])
def test_a_smaller_scene_is_halved_where_it_can_be(side, blocks):
    parts = AreaSplit(0.5).parts(side, side, 100)
    chosen = {part.validates for part in parts}
    assert (len(chosen) == 1) == (blocks == 1)
    share = (painted(parts, side, side) == 1).mean()
    assert share == pytest.approx((blocks - round(blocks / 2)) / blocks)


def test_the_share_is_right_over_many_small_scenes():
    split = AreaSplit(0.2)
    chosen = [split.parts(50, 50, 100)[0].validates for _ in range(50)]
    assert sum(chosen) == 10
    assert sum(chosen[:5]) == 1


def test_the_same_scenes_are_split_the_same_way():
    one, other = AreaSplit(0.3), AreaSplit(0.3)
    scenes = [(900, 1200), (300, 300), (2000, 2000)]
    assert [one.parts(*scene, 100) for scene in scenes] == [other.parts(*scene, 100) for scene in scenes]
    assert one.parts(900, 1200, 100) != AreaSplit(0.3).parts(900, 1200, 100)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, float("nan")])
def test_a_share_that_cannot_be(share):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        AreaSplit(share)
