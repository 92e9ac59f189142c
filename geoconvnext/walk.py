"""Walking over a scene: read ahead, run the network, keep strips; every stage in a thread of its own."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.ahead import ahead
from geoconvnext.raster.blend import Probabilities
from geoconvnext.raster.grid import STRIDE_PX, TileGrid, Window
from geoconvnext.raster.rows import read_windows
from geoconvnext.raster.scene import Pixels, Scene
from geoconvnext.raster.strips import Strips, write_strip

READERS = 2
"""Threads that decode; one decodes many times as fast as a processor runs a network."""

Grey = NDArray[np.uint8]
RunBatches = Callable[[Iterator[Grey]], Iterator[Probabilities]]
"""Takes batches of windows (N, bands, tile, tile), gives probabilities (N, channels, s*tile, s*tile)."""


@dataclass(frozen=True)
class Answer:
    """What the network says of a window."""

    window: Window
    valid: NDArray[np.bool_]
    """(tile, tile), of the scene's pixels."""
    probabilities: Probabilities


def lay_grid(height: int, width: int, tile: int, halo: int) -> TileGrid:
    """Lay windows over a scene; one that is smaller than a window gets a single window of its own size."""
    smallest = -(-max(height, width) // STRIDE_PX) * STRIDE_PX
    return TileGrid(height, width, tile, halo) if smallest > tile else TileGrid(height, width, smallest, 0)


def compute_strips(
    scene: Scene,
    strips: Strips,
    numbers: Sequence[int],
    run: RunBatches,
    *,
    batch_size: int,
    is_wanted: Callable[[Window], bool] = lambda _: True,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[int]:
    """Run the network over the tile rows of those numbers; yields each number as its strip is done.

    Windows that are not wanted, or hold no data, are not run. progress: called with the windows that are
    behind, wanted or not. Raises GeoconvnextError; other errors carry a note that names the windows.
    """
    starts = [strips.grid.row_starts[number] for number in numbers]
    rows = (row for row in strips.grid.rows() if row[0].row in set(starts))
    place = {window: number for number, window in enumerate(itertools.chain.from_iterable(rows), start=1)}
    wanted = [window for window in place if is_wanted(window)]
    seen = ahead(read_windows(scene, wanted, threads=READERS), 2 * batch_size)
    answers = ahead(_ask(seen, run, batch_size, lambda window: progress(place[window])), 2)
    with closing(answers):
        by_row = itertools.groupby(answers, key=lambda answer: answer.window.row)
        row, group = next(by_row, (None, None))
        for number, start in zip(numbers, starts, strict=True):
            if row != start or group is None:
                strips.write_empty(number)
            else:
                with write_strip(strips, number) as writer:
                    for answer in group:
                        writer.add(answer.window, answer.probabilities, answer.valid)
                row, group = next(by_row, (None, None))
            yield number


def _ask(
    seen: Generator[tuple[Window, Pixels]],
    run: RunBatches,
    batch_size: int,
    report: Callable[[Window], None],
) -> Iterator[Answer]:
    """Run the network over windows in batches; `report` gets the last window of each."""
    under_way: deque[list[tuple[Window, Pixels]]] = deque()

    def batches() -> Iterator[Grey]:
        while batch := list(itertools.islice(seen, batch_size)):
            under_way.append(batch)
            yield _stack([pixels.pixels for _, pixels in batch], batch_size)

    with closing(seen):
        try:
            for outputs in run(batches()):
                batch = under_way.popleft()
                for (window, pixels), output in zip(batch, outputs, strict=False):
                    yield Answer(window, pixels.valid, output)
                report(batch[-1][0])
        except Exception as error:
            if under_way:
                error.add_note(f"while running the windows {[window for window, _ in under_way[0]]}")
            raise


def _stack(windows: list[Grey], size: int) -> Grey:
    """Batches of one shape only, which networks compiled for it want; zeros fill the last one up."""
    if len(windows) == size == 1:
        return windows[0][None]
    batch = np.zeros((size, *windows[0].shape), np.uint8)
    np.stack(windows, out=batch[: len(windows)])
    return batch
