"""Connected components of a probability raster of any height, each handed out whole.

Block of rows after block of rows, the runs of building pixels are joined by union-find; a component that
reaches a block's last row stays open. Of open components only the pieces inside their bounding boxes are
kept, so memory depends on the width and on what is open, never on the scene. What is handed out, and its
order, does not depend on the heights of the bands.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.runs import Components, group_runs

NODATA = 255

MARGIN = np.array([-1, -1, 1, 1])
"""What a patch adds to the box of its component."""

ROWS_PER_BLOCK = 256
"""A band is copied in blocks of so many rows: few enough for the processor's cache, many for few seams."""


@dataclass(frozen=True)
class Patch:
    """One connected component with a margin of one pixel on each side.

    row, col: scene pixel of the upper left corner; -1 where the margin lies outside the scene.
    probabilities: uint8 (K, h, w) at the component's pixels and their eight neighbours, 0 elsewhere;
        255 is nodata, and the outside of the scene is nodata.
    mask: bool (h, w), the component's pixels.
    horizon: no component that is handed out later reaches above this row of the scene.
    """

    row: int
    col: int
    probabilities: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    horizon: int = -1

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First row and column in the scene, one past the last ones."""
        height, width = self.mask.shape
        return self.row, self.col, self.row + height, self.col + width


def all_wanted(boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Want patches of any boxes (n, 4)."""
    return np.ones(len(boxes), np.bool_)


def sweep(
    bands: Iterable[NDArray[np.uint8]],
    *,
    width: int,
    threshold: int,
    is_wanted: Callable[[NDArray[np.int64]], NDArray[np.bool_]] = all_wanted,
) -> Iterator[Patch]:
    """Yield every component of body >= threshold once and whole, by its last row, then its first pixel there.

    bands are uint8 (K, n, width) from the scene's first row to its last, of any heights n; their first
    channel is the building body in 0..254, 255 being nodata. They are not kept, and where no pixel of one is
    a building next to nothing is done. Pixels are connected by their four sides. threshold is in 1..254.
    is_wanted: of patches with these boxes (n, 4), first row and column in the scene, one past the last ones,
    which are to be yielded (n,); what is not is hardly any work.
    """
    assert 1 <= threshold < NODATA, f"the threshold must lie in 1..254, got {threshold}"
    open_pieces: list[list[Patch]] = []
    seam = np.empty(0, np.int64)
    for first_row, block in _blocks(bands, width=width, threshold=threshold):
        components = group_runs(block[0], threshold, seam=seam)
        pieces = _inherit(components, open_pieces)
        horizon = min([first_row, *(piece.row for piece in chain.from_iterable(open_pieces))])
        wanted = is_wanted(_boxes(components, pieces, first_row))
        for index in components.complete[wanted[components.complete]]:
            patch = _join([*pieces.get(index, []), _cut(block, components, index, first_row)])
            yield replace(patch, horizon=horizon)
        open_pieces = [
            [*pieces.get(index, []), _cut(block, components, index, first_row)] for index in components.open
        ]
        seam = components.seam


def _blocks(
    bands: Iterable[NDArray[np.uint8]], *, width: int, threshold: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (scene row of the block's first row, block) wherever there are buildings.

    A block is framed by nodata left and right, and its first row repeats the last row above it: nodata over
    the scene's first row. Below open components there is always one more row, if only the frame's bottom.
    """
    row, is_open = 0, False
    above: NDArray[np.uint8] | None = None
    for band in bands:
        assert band.dtype == np.uint8, f"expected uint8 probabilities, got {band.dtype}"
        assert band.shape[2] == width, f"expected rows of {width} pixels, got {band.shape[2]}"
        if above is None:
            above = np.full_like(band, NODATA, shape=(len(band), 1, width))
        for start in range(0, band.shape[1], ROWS_PER_BLOCK):
            part = band[:, start : start + ROWS_PER_BLOCK]
            if _has_building(part[0], threshold):
                yield row - 1, _frame(above, part)
            elif is_open:
                yield row - 1, _frame(above, part[:, :1])
            above = part[:, -1:].copy()
            is_open = _has_building(above[0], threshold)
            row += part.shape[1]
    if above is not None and is_open:
        yield row - 1, _frame(above, np.full_like(above, NODATA))


def _has_building(body: NDArray[np.uint8], threshold: int) -> bool:
    """Say whether any pixel (rows, cols) is a building."""
    # Along an axis of stride 0 one value is repeated, as np.broadcast_to does.
    once = body[tuple(slice(None if step else 1) for step in body.strides)]
    return _reaches(once, threshold)


@kernel
def _reaches(body: NDArray[np.uint8], threshold: int) -> bool:
    """Look at whole rows, which takes a fraction of a nanosecond per pixel, until one has a building."""
    for row in range(body.shape[0]):
        found = False
        for col in range(body.shape[1]):
            found |= (threshold <= body[row, col]) & (body[row, col] < NODATA)
        if found:
            return True
    return False


def _frame(above: NDArray[np.uint8], rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy rows (K, n, width) under the row above them (K, 1, width), with nodata left and right."""
    channels, count, width = rows.shape
    block = np.empty((channels, count + 1, width + 2), np.uint8)
    block[:, :, 0] = block[:, :, -1] = NODATA
    block[:, :1, 1:-1] = above
    block[:, 1:, 1:-1] = rows
    return block


def _inherit(components: Components, open_pieces: list[list[Patch]]) -> dict[int, list[Patch]]:
    """Return the pieces that components of this block inherit from the blocks above."""
    pieces: dict[int, list[Patch]] = {}
    for earlier, index in zip(open_pieces, components.heirs, strict=True):
        pieces.setdefault(index, []).extend(earlier)
    return pieces


def _boxes(components: Components, pieces: dict[int, list[Patch]], first_row: int) -> NDArray[np.int64]:
    """Return the boxes (n, 4) of the patches that components have by now."""
    boxes: NDArray[np.int64] = components.boxes + MARGIN
    boxes += np.array([first_row, -1, first_row, -1])  # the frame moves columns by one
    for index, inherited in pieces.items():
        all_of_it = np.array([boxes[index], *(piece.box for piece in inherited)])
        boxes[index] = *all_of_it[:, :2].min(axis=0), *all_of_it[:, 2:].max(axis=0)
    return boxes


def _cut(block: NDArray[np.uint8], components: Components, index: int, first_row: int) -> Patch:
    """Cut one component's part of the block out."""
    first, last = components.offsets[index], components.offsets[index + 1]
    top, left, probabilities, mask = _cut_runs(block, components.runs[first:last])
    return Patch(row=first_row + top, col=left - 1, probabilities=probabilities, mask=mask)


@kernel
def _cut_runs(
    block: NDArray[np.uint8], runs: NDArray[np.int32]
) -> tuple[int, int, NDArray[np.uint8], NDArray[np.bool_]]:
    """Copy runs (row, start, stop) and the pixels around them; return (top, left, probabilities, mask)."""
    top = max(runs[0, 0] - 1, 0)
    bottom = min(runs[-1, 0] + 2, block.shape[1])
    left = runs[:, 1].min() - 1
    right = runs[:, 2].max() + 1
    probabilities = np.empty((block.shape[0], bottom - top, right - left), np.uint8)
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for i in range(len(runs)):
        mask[runs[i, 0] - top, runs[i, 1] - left : runs[i, 2] - left] = True
    _copy_near(mask, block[:, top:bottom, left:right], probabilities)
    return top, left, probabilities, mask


@kernel
def _copy_near(mask: NDArray[np.bool_], source: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    """Copy the pixels (K, h, w) in a mask and around it, without a branch; its outer columns are empty."""
    height, width = mask.shape
    columns = np.zeros(width, np.uint8)
    for row in range(height):
        above, below = max(row - 1, 0), min(row + 1, height - 1)
        for col in range(width):
            columns[col] = mask[above, col] | mask[row, col] | mask[below, col]
        for channel in range(len(source)):
            target[channel, row, 0] = columns[1] * source[channel, row, 0]
            target[channel, row, -1] = columns[-2] * source[channel, row, -1]
            for col in range(1, width - 1):
                near = columns[col - 1] | columns[col] | columns[col + 1]
                target[channel, row, col] = near * source[channel, row, col]


def _join(pieces: list[Patch]) -> Patch:
    """Put the pieces of one component together; they overlap by the rows around the seams of the bands."""
    if len(pieces) == 1:
        return pieces[0]
    top, left = min(p.row for p in pieces), min(p.col for p in pieces)
    height = max(p.row + p.mask.shape[0] for p in pieces) - top
    width = max(p.col + p.mask.shape[1] for p in pieces) - left
    probabilities = np.zeros((len(pieces[0].probabilities), height, width), np.uint8)
    mask = np.zeros((height, width), np.bool_)
    for piece in pieces:
        rows = slice(piece.row - top, piece.row - top + piece.mask.shape[0])
        cols = slice(piece.col - left, piece.col - left + piece.mask.shape[1])
        mask[rows, cols] |= piece.mask
        # A pixel that a piece did not copy is 0 there.
        np.maximum(probabilities[:, rows, cols], piece.probabilities, out=probabilities[:, rows, cols])
    return Patch(row=top, col=left, probabilities=probabilities, mask=mask)
