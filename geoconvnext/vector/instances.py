"""Individual buildings inside one connected component.

One image decides: score = body * (1 - contact) * (1 - edge_weight * edge), each in 0..1. Where it exceeds the
seed threshold lie the seeds (winning solutions of the SpaceNet challenges use such seeds); from two seeds on,
a priority flood from high to low score divides the component, so that the fronts meet where the network saw a
wall between two buildings.
"""

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel


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
    labels, count = _find_seeds(score, seed_threshold * 254.0, min_seed_px)
    if count < 2:
        return mask.astype(np.int32), 1
    _flood(score, mask, labels)
    return labels, count


@kernel
def _score(
    probabilities: NDArray[np.uint8], mask: NDArray[np.bool_], edge_weight: float
) -> NDArray[np.uint8]:
    """Return the seed score in 0..254, rounded; 0 outside the mask."""
    height, width = mask.shape
    score = np.zeros((height, width), np.uint8)
    for row in range(height):
        for col in range(width):
            if mask[row, col]:
                body = probabilities[0, row, col] / 254.0
                edge = min(probabilities[1, row, col] / 254.0, 1.0)
                contact = min(probabilities[2, row, col] / 254.0, 1.0)
                value = body * (1.0 - contact) * (1.0 - edge_weight * edge)
                score[row, col] = np.uint8(max(value, 0.0) * 254.0 + 0.5)
    return score


@kernel
def _find_seeds(score: NDArray[np.uint8], level: float, min_seed_px: float) -> tuple[NDArray[np.int32], int]:
    """Label the connected regions (four sides) of score > level that are large enough; the margin is none."""
    width = score.shape[1]
    values = score.ravel()
    labels = np.zeros(score.size, np.int32)
    members = np.empty(score.size, np.int64)
    steps = (-width, -1, 1, width)
    count = 0
    for start in range(score.size):
        if values[start] <= level or labels[start] != 0:
            continue
        members[0], size, done = start, 1, 0
        labels[start] = count + 1
        while done < size:
            for step in steps:
                near = members[done] + step
                if values[near] > level and labels[near] == 0:
                    labels[near] = count + 1
                    members[size] = near
                    size += 1
            done += 1
        if size >= min_seed_px:
            count += 1
        else:
            labels[members[:size]] = -1
    for i in range(score.size):
        labels[i] = max(labels[i], 0)
    return labels.reshape(score.shape), count


@kernel
def _flood(score: NDArray[np.uint8], mask: NDArray[np.bool_], labels: NDArray[np.int32]) -> None:
    """Grow the seeds over the mask, in place: high scores first, equal ones in order of arrival.

    Priority flood (Barnes, Lehman and Mulla 2014) with one queue per grey level, as linked lists.
    """
    width = mask.shape[1]
    values, inside, owner = score.ravel(), mask.ravel(), labels.reshape(-1)
    first, last = np.full(256, -1), np.full(256, -1)
    follower = np.full(mask.size, -1)
    for i in range(mask.size):
        if owner[i] > 0:
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
def _append(
    first: NDArray[np.int64], last: NDArray[np.int64], follower: NDArray[np.int64], level: int, item: int
) -> None:
    """Put an item at the end of a level's queue."""
    if first[level] < 0:
        first[level] = item
    else:
        follower[last[level]] = item
    last[level] = item
