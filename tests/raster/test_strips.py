import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geoconvnext.errors import OutputError
from geoconvnext.raster.blend import NODATA
from geoconvnext.raster.grid import TileGrid, Window
from geoconvnext.raster.strips import BLOCK_ROWS, Strips, blend_strips, write_strip

CHANNELS = 3


def noise_answer(rng, tile, scale):
    """Probabilities and validity of a window: all of it valid, or some rectangle of it, or none."""
    probabilities = rng.integers(0, 255, (CHANNELS, tile * scale, tile * scale), np.uint8)
    valid = np.ones((tile, tile), bool)
    if rng.random() < 0.5:
        top, left = rng.integers(0, tile, 2)
        valid[top:, left:] = False
    return probabilities, valid


def noise_answers(grid, scale, *, seed, share=1.0):
    """Answers by window for about a share of the windows."""
    rng = np.random.default_rng(seed)
    return {window: noise_answer(rng, grid.tile, scale) for window in grid if rng.random() < share}


def keep(strips, number, answers):
    row = strips.grid.row_starts[number]
    with write_strip(strips, number) as writer:
        for window, (probabilities, valid) in answers.items():
            if window.row == row:
                writer.add(window, probabilities, valid)


def writing(strips, answers):
    """Write one strip after the other."""
    for number in range(len(strips)):
        keep(strips, number, answers)
        yield number


def joined(strips, answers):
    bands = list(blend_strips(strips, writing(strips, answers)))
    assert max(band.shape[1] for band in bands) <= BLOCK_ROWS
    return np.concatenate(bands, axis=1)


def trusted(start, starts, extent, grid):
    """First and last pixel of a window that count, and their weights over the window before."""
    first = start + grid.halo // 2 if start else 0
    stop = extent if start == starts[-1] else start + grid.tile - grid.halo // 2
    return first, stop


def weights(first, stop, length, scale):
    pixels = np.arange((stop - first) * scale) + 0.5
    return np.rint(256 * np.minimum(pixels / max(length * scale, 0.5), 1)).astype(int)


def mix(before, after, weight):
    """Let `after` take over from `before`, in place of `before`."""
    mixture = (before.astype(int) * (256 - weight) + after.astype(int) * weight + 128) // 256
    before[:] = np.where(after == NODATA, before, np.where(before == NODATA, after, mixture))


def crossfaded(grid, scale, answers):
    """All windows on one canvas: left to right into tile rows, and these top to bottom."""
    canvas = np.full((CHANNELS, grid.height * scale, grid.width * scale), NODATA, np.uint8)
    for row in grid.row_starts:
        strip = np.full_like(canvas, NODATA)
        top, bottom = trusted(row, grid.row_starts, grid.height, grid)
        rows = slice(top * scale, bottom * scale)
        for col in grid.col_starts:
            window = Window(row, col, grid.tile, grid.tile)
            if window not in answers:
                continue
            probabilities, valid = answers[window]
            seen = np.where(valid.repeat(scale, 0).repeat(scale, 1), probabilities, NODATA)
            left, right = trusted(col, grid.col_starts, grid.width, grid)
            ours = seen[:, (top - row) * scale :, (left - col) * scale :]
            ours = ours[:, : (bottom - top) * scale, : (right - left) * scale]
            across = weights(left, right, grid.halo if col else 0, scale)
            mix(strip[:, rows, left * scale : right * scale], ours, across)
        down = weights(top, bottom, grid.halo if row else 0, scale)
        mix(canvas[:, rows], strip[:, rows], down[:, None])
    return canvas


@st.composite
def grids(draw):
    """Up to 3 x 5 windows; where the tile is a little larger than two halos, up to five show a pixel."""
    halo, stride = draw(st.sampled_from([0, 32, 64, 96])), 32 * draw(st.integers(1, 3))
    height, width = (
        (draw(st.integers(1, most)) - 1) * stride + draw(st.integers(1, 2 * halo + stride)) for most in (3, 5)
    )
    return TileGrid(height, width, 2 * halo + stride, halo)


@settings(max_examples=40, deadline=None)
@given(grid=grids(), seed=st.integers(0, 999), share=st.sampled_from([0.2, 0.7, 1.0]))
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_strips_equal_a_crossfade_on_one_canvas(scale, grid, seed, share):
    answers = noise_answers(grid, scale, seed=seed, share=share)
    with tempfile.TemporaryDirectory() as folder:
        found = joined(Strips(Path(folder), grid, scale, CHANNELS), answers)
    assert np.array_equal(found, crossfaded(grid, scale, answers))


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize(
    ("grid", "scale"),
    [
        (TileGrid(300, 1500, tile=224, halo=96), 1),
        (TileGrid(300, 700, tile=96, halo=32), 4),
        (TileGrid(513, 1200, tile=160, halo=0), 2),
        (TileGrid(1100, 40, tile=800, halo=64), 1),
        (TileGrid(400, 40, tile=256, halo=96), 4),
    ],
)
def test_strips_of_many_blocks_equal_it_too(tmp_path, grid, scale, share):
    answers = noise_answers(grid, scale, seed=1, share=share)
    found = joined(Strips(tmp_path, grid, scale, CHANNELS), answers)
    assert np.array_equal(found, crossfaded(grid, scale, answers))


@settings(max_examples=20, deadline=None)
@example(grid=TileGrid(200, 1500, tile=224, halo=96), seed=0, level=250)
@given(grid=grids(), seed=st.integers(0, 999), level=st.sampled_from([1, 200, 250]))
@pytest.mark.parametrize("scale", [1, 2])
def test_dropping_the_ground_keeps_what_outlines_depend_on(scale, grid, seed, level):
    answers = noise_answers(grid, scale, seed=seed, share=0.8)
    full = crossfaded(grid, scale, answers)
    with tempfile.TemporaryDirectory() as folder:
        found = joined(Strips(Path(folder), grid, scale, CHANNELS, level), answers)
    reaches = np.pad(full[0] >= level, 1)
    near = np.any([np.roll(reaches, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    kept = found == full
    assert kept[:, near[1:-1, 1:-1]].all()
    assert not found[~kept].any()


def test_dropped_ground_takes_little_space(tmp_path):
    sizes = []
    for level in (None, 254):
        strips = Strips(tmp_path / str(level), TileGrid(500, 900, tile=512, halo=32), 1, CHANNELS, level)
        strips.folder.mkdir()
        list(writing(strips, noise_answers(strips.grid, 1, seed=1)))
        sizes.append(strips.path(0).stat().st_size)
    assert sizes[1] < 0.2 * sizes[0]


@pytest.fixture
def strips(tmp_path):
    return Strips(tmp_path / "strips", TileGrid(300, 400, tile=160, halo=32), 2, CHANNELS)


@pytest.fixture
def written(strips):
    """Strips that are all there."""
    strips.folder.mkdir()
    list(writing(strips, noise_answers(strips.grid, 2, seed=3)))
    return strips


def test_bands_come_as_soon_as_their_strip_is_done(strips):
    strips.folder.mkdir()
    done, row = [], 0

    def working():
        for number in writing(strips, noise_answers(strips.grid, 2, seed=2)):
            done.append(number)
            yield "one is done"
            yield "the next one is not done yet"

    work = working()
    for band in blend_strips(strips, work):
        assert len(done) == 1 + (row >= 224) + (row >= 416)
        row += band.shape[1]
    assert (row, done) == (600, [0, 1, 2])


def test_strips_that_are_there_need_no_work(written):
    bands = blend_strips(written, iter(()))
    assert sum(band.shape[1] for band in bands) == 600


def test_an_error_leaves_no_strip(strips, listing):
    strips.folder.mkdir()
    window, answer = next(iter(noise_answers(strips.grid, 2, seed=0).items()))

    def stop_halfway():
        with write_strip(strips, 0) as writer:
            writer.add(window, *answer)
            assert listing(strips.folder) == [".strip_000000.arrow.part"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert not listing(strips.folder)
    assert not strips.is_done(0)


def test_empty_strips_take_no_space(strips):
    strips.folder.mkdir()
    for number in range(len(strips)):
        strips.write_empty(number)
        assert strips.is_done(number)
        assert strips.path(number).stat().st_size == 0
    assert (joined(strips, {}) == NODATA).all()
    assert joined(strips, {}).shape == (CHANNELS, 600, 800)


def test_a_strip_between_empty_ones_stays_as_it_is(strips):
    strips.folder.mkdir()
    answers = noise_answers(strips.grid, 2, seed=5)
    strips.write_empty(0)
    keep(strips, 1, answers)
    strips.write_empty(2)
    middle = {window: answer for window, answer in answers.items() if window.row == 96}
    assert np.array_equal(joined(strips, {}), crossfaded(strips.grid, 2, middle))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_damaged_strip_is_an_error(written, share):
    os.truncate(written.path(1), int(written.path(1).stat().st_size * share))
    with pytest.raises(OutputError, match=r"strip_000001\.arrow.*damaged.*--overwrite"):
        list(blend_strips(written, iter(())))


def test_a_full_disk(small_disk, listing):
    folder = small_disk(100_000)
    strips = Strips(folder, TileGrid(100, 2000, tile=160, halo=32), 1, CHANNELS)
    with pytest.raises(OutputError, match=r"cannot write to .*disk: No space left.*make room"):
        keep(strips, 0, noise_answers(strips.grid, 1, seed=0))
    assert not listing(folder)
    assert not strips.is_done(0)
