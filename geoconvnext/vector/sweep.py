"""Connected components of a probability raster of any height, each handed out whole.

Row band after row band, the runs of building pixels are joined by union-find; a component that reaches a
band's last row stays open. Of open components only the pieces inside their bounding boxes are kept, so memory
depends on the band and on what is open, never on the scene. What is handed out, and its order, does not
depend on the height of the bands.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.vector.runs import Components, group_runs

NODATA = 255

ReadRows = Callable[[int, int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Patch:
    """One connected component with a margin of one pixel on each side.

    row, col: scene pixel of the upper left corner; -1 where the margin lies outside the scene.
    probabilities: uint8 (K, h, w) at the component's pixels and their eight neighbours, 0 elsewhere;
        255 is nodata, and the outside of the scene is nodata.
    mask: bool (h, w), the component's pixels.
    """

    row: int
    col: int
    probabilities: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def sweep(
    read_rows: ReadRows, *, height: int, width: int, threshold: int, band_height: int = 512
) -> Iterator[Patch]:
    """Yield every component of body >= threshold once and whole, by its last row, then its first pixel there.

    read_rows(row, n) returns uint8 (K, n, width) whose first channel is the building body in 0..254, 255
    being nodata. Pixels are connected by their four sides. threshold is in 1..254, in the same unit.
    """
    assert 1 <= threshold < NODATA, f"the threshold must lie in 1..254, got {threshold}"
    open_pieces: list[list[Patch]] = []
    seam = np.empty(0, np.int64)
    for first_row, block in _blocks(read_rows, height=height, width=width, band_height=band_height):
        components = group_runs(block[0], threshold, seam=seam)
        pieces = _inherit(components, open_pieces)
        for index in components.complete:
            yield _join([*pieces.get(index, []), _cut(block, components, index, first_row)])
        open_pieces = [
            [*pieces.get(index, []), _cut(block, components, index, first_row)] for index in components.open
        ]
        seam = components.seam


def _blocks(
    read_rows: ReadRows, *, height: int, width: int, band_height: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (scene row of the block's first row, block): bands under the last row of the one before.

    The scene is framed by nodata, and a last block holds the frame's bottom row, which closes everything.
    """
    last_row: NDArray[np.uint8] | None = None
    for row in range(0, height, band_height):
        rows = min(band_height, height - row)
        band = read_rows(row, rows)
        assert band.dtype == np.uint8, f"expected uint8 probabilities, got {band.dtype}"
        assert band.shape[1:] == (rows, width), f"expected {rows} rows of {width}, got {band.shape[1:]}"
        block = np.full((len(band), rows + 1, width + 2), NODATA, np.uint8)
        block[:, 1:, 1:-1] = band
        if last_row is not None:
            block[:, 0] = last_row
        last_row = block[:, -1].copy()
        yield row - 1, block
    if last_row is not None:
        yield height - 1, np.stack([last_row, np.full_like(last_row, NODATA)], axis=1)


def _inherit(components: Components, open_pieces: list[list[Patch]]) -> dict[int, list[Patch]]:
    """Return the pieces that components of this block inherit from the blocks above."""
    pieces: dict[int, list[Patch]] = {}
    for earlier, index in zip(open_pieces, components.heirs, strict=True):
        pieces.setdefault(index, []).extend(earlier)
    return pieces


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
    probabilities = np.zeros((block.shape[0], bottom - top, right - left), np.uint8)
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for i in range(len(runs)):
        row, start, stop = runs[i, 0], runs[i, 1], runs[i, 2]
        mask[row - top, start - left : stop - left] = True
        for around in range(max(row - 1, top), min(row + 2, bottom)):
            for k in range(block.shape[0]):
                for col in range(start - 1, stop + 1):
                    probabilities[k, around - top, col - left] = block[k, around, col]
    return top, left, probabilities, mask


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
