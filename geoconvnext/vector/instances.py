"""Individual buildings inside one connected component.

One image decides: score = body * (1 - contact) * (1 - edge_weight * edge), each in 0..1. Where it exceeds the
seed threshold lie the seeds (winning solutions of the SpaceNet challenges use such seeds); from two seeds on,
a priority flood from high to low score divides the component, so that the fronts meet where the network saw a
wall between two buildings.
"""

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.runs import find_runs, join_runs

NO_SEAM = np.empty(0, np.int64)


def divide(
    probabilities: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    *,
    seed_threshold: float,
    edge_weight: float,
    min_seed_px: float,
) -> tuple[NDArray[np.int32], int]:
    """Return (labels int32 (h, w): 0 outside the mask, 1..n inside; n >= 1).

    probabilities is uint8 (K >= 3, h, w): body, edge, contact in 0..254. mask is one component connected by
    four sides, with a margin of one pixel outside it. Seeds smaller than min_seed_px pixels do not count.
    Every building is connected by four sides. Seeds are numbered row by row.
    """
    score = _score(probabilities, mask, edge_weight)
    runs = find_runs(score, int(seed_threshold * 254.0) + 1)
    seeds, count = _number_seeds(runs, *join_runs(runs, NO_SEAM), min_seed_px)
    if count < 2:
        return mask.astype(np.int32), 1
    labels = _paint(runs, seeds, mask.shape)
    _flood(score, mask, labels)
    return labels, count


@kernel
def _score(
    probabilities: NDArray[np.uint8], mask: NDArray[np.bool_], edge_weight: float
) -> NDArray[np.uint8]:
    """Return the seed score in 0..254, rounded; 0 outside the mask."""
    height, width = mask.shape
    score = np.zeros((height, width), np.uint8)
    steps = np.arange(256) / 254.0
    without_contact = 1.0 - np.minimum(steps, 1.0)
    without_edge = 1.0 - edge_weight * np.minimum(steps, 1.0)
    for row in range(height):
        for col in range(width):
            if mask[row, col]:
                body, edge, contact = probabilities[:3, row, col]
                value = steps[body] * without_contact[contact] * without_edge[edge]
                score[row, col] = np.uint8(max(value, 0.0) * 254.0 + 0.5)
    return score


@kernel
def _number_seeds(
    runs: NDArray[np.int32], regions: NDArray[np.int64], count: int, min_seed_px: float
) -> tuple[NDArray[np.int64], int]:
    """Return the seed of each run, 1..n or 0 where its region is too small, and n."""
    sizes, seeds = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for i in range(len(runs)):
        sizes[regions[i]] += runs[i, 2] - runs[i, 1]
    found = 0
    for region in range(count):
        if sizes[region] >= min_seed_px:
            found += 1
            seeds[region] = found
    return seeds[regions], found


@kernel
def _paint(runs: NDArray[np.int32], values: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return an image of a shape (h, w) with a value in the pixels of each run, 0 elsewhere."""
    image = np.zeros(shape, np.int32)
    for i in range(len(runs)):
        image[runs[i, 0], runs[i, 1] : runs[i, 2]] = values[i]
    return image


@kernel
def _flood(score: NDArray[np.uint8], mask: NDArray[np.bool_], labels: NDArray[np.int32]) -> None:
    """Grow the seeds over the mask, in place: high scores first, equal ones in order of arrival.

    Priority flood (Barnes, Lehman and Mulla 2014) with one queue per grey level, as linked lists.
    """
    width = mask.shape[1]
    values, inside, owner = score.ravel(), mask.ravel(), labels.reshape(-1)
    first, last = np.full(256, -1, np.int32), np.full(256, -1, np.int32)
    follower = np.full(mask.size, -1, np.int32)
    for i in range(mask.size):
        # The inner pixels of a seed have no one to hand on to.
        if owner[i] > 0 and _is_at_front(inside, owner, width, i):
            _append(first, last, follower, values[i], i)
    level = 255
    while level >= 0:
        here = first[level]
        if here < 0:
            level -= 1
            continue
        first[level] = follower[here]
        for step in (-width, -1, 1, width):
            near = here + step
            if inside[near] and owner[near] == 0:
                owner[near] = owner[here]
                # Never above the level being flooded: a rise behind a saddle belongs to who crossed it.
                _append(first, last, follower, min(values[near], level), near)


@kernel
def _is_at_front(inside: NDArray[np.bool_], owner: NDArray[np.int32], width: int, i: int) -> bool:
    """Say whether a pixel has a neighbour in the mask that no one owns."""
    above, below, left, right = i - width, i + width, i - 1, i + 1
    free = (inside[above] & (owner[above] == 0)) | (inside[below] & (owner[below] == 0))
    return bool(free | (inside[left] & (owner[left] == 0)) | (inside[right] & (owner[right] == 0)))


@kernel
def _append(
    first: NDArray[np.int32], last: NDArray[np.int32], follower: NDArray[np.int32], level: int, item: int
) -> None:
    """Put an item at the end of a level's queue."""
    if first[level] < 0:
        first[level] = item
    else:
        follower[last[level]] = item
    last[level] = item
