import os
import threading
from pathlib import Path

import numpy as np
import pytest

from geoconvnext.ahead import ahead
from geoconvnext.errors import OutputError, SceneError
from geoconvnext.raster.blend import NODATA
from geoconvnext.raster.grid import TileGrid
from geoconvnext.raster.scene import Scene
from geoconvnext.raster.strips import Strips, blend_strips
from geoconvnext.walk import compute_strips, lay_grid

HEIGHT, WIDTH, TILE, HALO, SCALE = 500, 400, 128, 32, 2
TILE_ROWS, TILE_COLS = 7, 6  # 64 px apart


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(1, 255, (3, HEIGHT, WIDTH), np.uint8)


@pytest.fixture
def open_scene(write_scene):
    """Open pixels as a scene in blocks, in which 0 is nodata."""
    opened = []

    def make(pixels):
        path = write_scene(pixels, nodata=0, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
        opened.append(Scene.open(path))
        return opened[-1]

    yield make
    for scene in opened:
        scene.close()


@pytest.fixture
def make_strips(tmp_path):
    def make(name="strips"):
        (tmp_path / name).mkdir()
        return Strips(tmp_path / name, lay_grid(HEIGHT, WIDTH, TILE, HALO), SCALE, channels=3)

    return make


class Network:
    """Probabilities are the pixels, enlarged; keeps what it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, batches):
        for batch in batches:
            self.batches.append(batch.copy())
            yield np.minimum(batch, 254).repeat(SCALE, 2).repeat(SCALE, 3)


def walk(scene, strips, numbers=None, run=None, batch_size=4, **options):
    """Compute all strips, or those of some numbers."""
    numbers = range(len(strips)) if numbers is None else numbers
    done = list(compute_strips(scene, strips, numbers, run or Network(), batch_size=batch_size, **options))
    assert done == list(numbers)
    return strips


def contents(strips):
    return [strips.path(number).read_bytes() for number in range(len(strips)) if strips.is_done(number)]


def enlarged(pixels):
    return np.where(pixels == 0, NODATA, np.minimum(pixels, 254)).repeat(SCALE, 1).repeat(SCALE, 2)


@pytest.mark.parametrize(
    ("size", "tile", "expected"),
    [
        ((500, 400), 128, (128, 32)),
        ((100, 50), 128, (128, 0)),
        ((65, 50), 128, (96, 0)),
        ((1, 1), 128, (32, 0)),
        ((129, 1), 128, (128, 32)),
    ],
)
def test_small_scenes_get_one_window_of_their_size(size, tile, expected):
    grid = lay_grid(*size, tile, 32)
    assert (grid.tile, grid.halo) == expected
    assert (len(grid) == 1) == (max(size) <= tile)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_strips_show_the_scene(open_scene, make_strips, noise, batch_size):
    noise[:, 100:300, 150:] = 0
    strips = walk(open_scene(noise), make_strips(), batch_size=batch_size)
    found = np.concatenate(list(blend_strips(strips, iter(()))), axis=1)
    assert np.array_equal(found, enlarged(noise))


def test_strips_are_done_one_after_the_other(open_scene, make_strips, noise):
    strips = make_strips()
    work = compute_strips(open_scene(noise), strips, range(TILE_ROWS), Network(), batch_size=2)
    for number in range(TILE_ROWS):
        assert next(work) == number
        assert [strips.is_done(n) for n in range(TILE_ROWS)] == [n <= number for n in range(TILE_ROWS)]
    assert next(work, None) is None


@pytest.mark.parametrize("batch_size", [1, 4, 5, 100])
def test_batches_have_one_shape(open_scene, make_strips, noise, batch_size):
    network = Network()
    walk(open_scene(noise), make_strips(), run=network, batch_size=batch_size)
    assert {batch.shape for batch in network.batches} == {(batch_size, 3, TILE, TILE)}
    windows, spare = np.split(np.concatenate(network.batches), [TILE_ROWS * TILE_COLS])
    assert len(spare) == -TILE_ROWS * TILE_COLS % batch_size
    assert not spare.any()
    scene = open_scene(noise)
    expected = [scene.read(window).pixels for window in TileGrid(HEIGHT, WIDTH, TILE, HALO)]
    assert np.array_equal(windows, expected)


def test_windows_that_are_not_wanted_or_empty_are_not_run(open_scene, make_strips, noise):
    noise[:, :, 256:] = 0  # under the two last windows of every tile row
    network, strips = Network(), make_strips()
    walk(
        open_scene(noise),
        strips,
        run=network,
        batch_size=1,
        is_wanted=lambda window: window.row in {64, 128} and window.col > 0,
    )
    assert len(network.batches) == 2 * (TILE_COLS - 3)
    assert [n for n in range(TILE_ROWS) if strips.path(n).stat().st_size] == [1, 2]


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_what_is_run_does_not_depend_on_what_is_not(open_scene, make_strips, noise, share):
    rng = np.random.default_rng(3)
    wanted = {window for window in lay_grid(HEIGHT, WIDTH, TILE, HALO) if rng.random() < share}
    strips = walk(open_scene(noise), make_strips(), is_wanted=wanted.__contains__)
    found = np.concatenate(list(blend_strips(strips, iter(()))), axis=1)
    expected, is_run = enlarged(noise), found != NODATA
    assert np.array_equal(found[is_run], expected[is_run])
    inner = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), bool)
    for window in wanted:
        row, col = (start * SCALE for start in (window.row, window.col))
        inner[row + 32 : row + 224, col + 32 : col + 224] = True
    assert is_run[:, inner].all()


def test_a_network_may_take_batches_ahead(open_scene, make_strips, noise):
    scene = open_scene(noise)
    strips = walk(scene, make_strips(), run=lambda batches: ahead(Network()(batches), 3))
    assert contents(strips) == contents(walk(scene, make_strips("whole")))


def test_a_scene_without_data_is_not_run(open_scene, make_strips, noise):
    network = Network()
    strips = walk(open_scene(noise * 0), make_strips(), run=network)
    assert not network.batches
    assert set(contents(strips)) == {b""}


def test_progress_counts_the_windows_behind(open_scene, make_strips, noise):
    noise[:, 130:250] = 0  # all that the third tile row has for itself
    seen = []
    walk(open_scene(noise), make_strips(), batch_size=4, progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[0] == 4
    assert seen[-1] == TILE_ROWS * TILE_COLS


def test_progress_counts_windows_that_are_not_wanted(open_scene, make_strips, noise):
    seen, third_row = [], {"is_wanted": lambda window: window.row == 128}
    walk(open_scene(noise), make_strips(), batch_size=1, progress=seen.append, **third_row)
    assert seen == list(range(2 * TILE_COLS + 1, 3 * TILE_COLS + 1))


@pytest.mark.parametrize("numbers", [[0], [6], [1, 2, 5], [0, 3, 4, 6]])
def test_some_strips_are_the_same_bytes_as_in_a_full_run(open_scene, make_strips, noise, numbers):
    noise[:, 200:280, 100:] = 0
    scene = open_scene(noise)
    whole = contents(walk(scene, make_strips("whole"), batch_size=4))
    some = walk(scene, make_strips("some"), numbers, batch_size=3)
    assert contents(some) == [whole[number] for number in numbers]


def test_a_run_goes_on_where_it_was_stopped(open_scene, make_strips, noise):
    scene, strips = open_scene(noise), make_strips("some")
    work = compute_strips(scene, strips, range(TILE_ROWS), Network(), batch_size=4)
    assert [next(work) for _ in range(3)] == [0, 1, 2]
    work.close()
    missing = [number for number in range(TILE_ROWS) if not strips.is_done(number)]
    assert missing == [3, 4, 5, 6]
    walk(scene, strips, missing)
    assert contents(strips) == contents(walk(scene, make_strips("whole")))


def failing(error, at):
    """A network that fails at a batch."""

    def run(batches):
        for number, batch in enumerate(batches):
            if number == at:
                raise error
            yield batch.repeat(SCALE, 2).repeat(SCALE, 3)

    return run


def test_an_error_of_the_network_names_the_windows(open_scene, make_strips, noise):
    before, strips = threading.active_count(), make_strips()
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        walk(open_scene(noise), strips, run=failing(RuntimeError("out of memory"), 5), batch_size=2)
    windows = list(strips.grid)[10:12]
    assert caught.value.__notes__ == [f"while running the windows {windows}"]
    assert [strips.is_done(number) for number in range(TILE_ROWS)] == [True] + [False] * (TILE_ROWS - 1)
    assert threading.active_count() <= before


def test_a_full_disk_ends_the_walk(open_scene, small_disk, noise, listing):
    before, scene = threading.active_count(), open_scene(noise)
    strips = Strips(small_disk(1_000_000), lay_grid(HEIGHT, WIDTH, TILE, HALO), SCALE, channels=3)
    with pytest.raises(OutputError, match="No space left") as caught:
        walk(scene, strips)
    assert caught.value.__traceback__  # which keeps all stages from being closed by chance
    assert threading.active_count() <= before
    names = [strips.path(number).name for number in range(TILE_ROWS)]
    assert listing(strips.folder) in [names[:count] for count in range(1, TILE_ROWS)]


def test_an_error_of_the_scene_is_its_own(open_scene, make_strips, noise):
    scene, strips = open_scene(noise), make_strips()
    os.truncate(scene.path, Path(scene.path).stat().st_size // 2)
    with pytest.raises(SceneError, match="truncated") as caught:
        walk(scene, strips)
    assert not hasattr(caught.value, "__notes__")
    assert not strips.is_done(TILE_ROWS - 1)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_stopping_leaves_no_thread_and_no_half_strip(open_scene, make_strips, noise, listing, taken):
    before, strips = threading.active_count(), make_strips()
    work = compute_strips(open_scene(noise), strips, range(TILE_ROWS), Network(), batch_size=4)
    for _ in range(taken):
        next(work)
    work.close()
    assert threading.active_count() <= before
    assert listing(strips.folder) == [strips.path(number).name for number in range(taken)]
