"""Run-length connected components of one block of rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel


@dataclass(frozen=True)
class Components:
    """The components of one block.

    runs: int32 (n, 3) of (row, start, stop), grouped by component, row-major inside each.
    offsets: int64 (components + 1,), where each component's runs begin.
    boxes: int64 (components, 4), first row and column of each component, one past the last ones.
    heirs: int64 (m,), the component that each of the m components left open by the block above continues in.
    complete: components that end above the last row, ordered by their last row and first column there.
    open: components that reach the last row, from left to right.
    seam: int64 (runs of the last row,), the position in `open` of each run's component.
    """

    runs: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.int64]
    heirs: NDArray[np.int64]
    complete: NDArray[np.int64]
    open: NDArray[np.int64]
    seam: NDArray[np.int64]


def group_runs(body: NDArray[np.uint8], threshold: int, *, seam: NDArray[np.int64]) -> Components:
    """Label the components of threshold <= body < 255 in a block uint8 (rows, cols), by four sides.

    The block's first row repeats the last row of the block above, whose `seam` says which of its runs
    belong together; empty for the first block. The first and the last column hold no building.
    """
    runs = find_runs(body, threshold)
    labels, count = join_runs(runs, seam)
    grouped, offsets, boxes, first_col = _group(runs, labels, count)
    last_row = boxes[:, 2] - 1
    order = np.lexsort((first_col, last_row))
    is_open = last_row[order] == body.shape[0] - 1
    rank = np.empty(count, np.int64)
    rank[order[is_open]] = np.arange(is_open.sum())
    return Components(
        runs=grouped,
        offsets=offsets,
        boxes=boxes,
        heirs=labels[np.unique(seam, return_index=True)[1]],
        complete=order[~is_open],
        open=order[is_open],
        seam=rank[labels[runs[:, 0] == body.shape[0] - 1]],
    )


@kernel
def find_runs(values: NDArray[np.uint8], threshold: int) -> NDArray[np.int32]:
    """Return (row, start, stop) of every run of threshold <= value < 255; none reaches an outer column."""
    rows, cols = values.shape
    counts = np.zeros(rows, np.int64)
    for row in range(rows):
        counts[row] = _count_runs(values[row, :-1], values[row, 1:], threshold)
    runs = np.empty((counts.sum(), 3), np.int32)
    found = 0
    for row in range(rows):
        if counts[row] == 0:
            continue
        inside = False
        for col in range(1, cols):
            now = (threshold <= values[row, col]) & (values[row, col] < 255)
            if now and not inside:
                runs[found, 0], runs[found, 1] = row, col
            elif inside and not now:
                runs[found, 2] = col
                found += 1
            inside = now
    return runs


@kernel
def _count_runs(before: NDArray[np.uint8], here: NDArray[np.uint8], threshold: int) -> int:
    """Count the pixels of a row where a run starts, without a branch: most rows of most scenes have few."""
    # In bytes, what is below the threshold wraps around to the top, where nodata is.
    lowest, span = np.uint8(threshold), np.uint8(255 - threshold)
    count = np.uint32(0)
    for i in range(len(here)):
        count += np.uint32((np.uint8(here[i] - lowest) < span) & (np.uint8(before[i] - lowest) >= span))
    return int(count)


@kernel
def root(parents: NDArray[np.int64], node: int) -> int:
    """Return the root of a node, halving its path."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@kernel
def join_runs(runs: NDArray[np.int32], seam: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return each run's component, numbered by first appearance, and the number of components.

    seam is that of group_runs().
    """
    parents = np.arange(len(runs))
    first_of = np.full(len(seam), -1)
    for i in range(len(seam)):
        if first_of[seam[i]] < 0:
            first_of[seam[i]] = i
        parents[i] = first_of[seam[i]]
    above = 0
    for i in range(len(runs)):
        # `above` walks along the runs of the row above and never turns back within a row.
        while runs[above, 0] < runs[i, 0] - 1 or (
            runs[above, 0] < runs[i, 0] and runs[above, 2] <= runs[i, 1]
        ):
            above += 1
        j = above
        while runs[j, 0] < runs[i, 0] and runs[j, 1] < runs[i, 2]:
            a, b = root(parents, i), root(parents, j)
            parents[max(a, b)] = min(a, b)
            j += 1
    labels = np.empty(len(runs), np.int64)
    count = 0
    for i in range(len(runs)):
        first = root(parents, i)
        if first == i:
            labels[i] = count
            count += 1
        else:
            labels[i] = labels[first]
    return labels, count


@kernel
def _group(
    runs: NDArray[np.int32], labels: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sort runs by component; return them, offsets, boxes, each component's first column in its last row."""
    offsets = np.zeros(count + 1, np.int64)
    for label in labels:
        offsets[label + 1] += 1
    offsets = np.cumsum(offsets)
    free = offsets[:-1].copy()
    grouped = np.empty_like(runs)
    boxes = np.zeros((count, 4), np.int64)
    first_col = np.empty(count, np.int64)
    for i in range(len(runs)):
        label = labels[i]
        row, start, stop = runs[i, 0], runs[i, 1], runs[i, 2]
        box = boxes[label]
        if free[label] == offsets[label]:
            box[0], box[1] = row, start
        box[1], box[3] = min(box[1], start), max(box[3], stop)
        if row >= box[2]:
            box[2], first_col[label] = row + 1, start
        grouped[free[label]] = runs[i]
        free[label] += 1
    return grouped, offsets, boxes, first_col
