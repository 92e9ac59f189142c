"""Windows of a scene for training and for validation, apart by whole blocks of ground."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from geoconvnext.errors import ConfigError
from geoconvnext.raster.grid import Window

BLOCK_WINDOWS = 4
"""Side of a block of a large scene, in windows; a smaller one is halved along each axis where it can be."""
MARGIN_SHARE = 0.25
"""Width of the ground left out between training and validation, as a share of a window."""


@dataclass(frozen=True)
class Part:
    """A window, and whether it is for validation."""

    window: Window
    validates: bool = False


class AreaSplit:
    """Deals blocks of scenes out to validation, so that the share is right over all scenes dealt so far.

    The same scenes in the same order are always dealt the same way. ConfigError: the share is not possible.
    """

    def __init__(self, share: float) -> None:
        if not 0 < share < 1:
            raise ConfigError(f"the share of validation lies between 0 and 1; found {share}")
        self._share = share
        self._owed = 0.0
        self._rng = np.random.default_rng(0)

    def parts(self, height: int, width: int, size: int) -> list[Part]:
        """Cut a scene into windows of at most `size`; a margin inside each validation block is left out."""
        blocks = list(_grid(Window(0, 0, height, width), _blocks(height, size), _blocks(width, size)))
        self._owed += self._share * len(blocks)
        count = min(len(blocks), round(self._owed))
        self._owed -= count
        chosen = set(self._rng.permutation(len(blocks))[:count].tolist())
        parts = []
        for number, block in enumerate(blocks):
            area = _inner(block, height, width, int(size * MARGIN_SHARE)) if number in chosen else block
            parts += [Part(window, number in chosen) for window in windows(area, size)]
        return parts


def windows(area: Window, size: int) -> Iterator[Window]:
    """Windows of nearly equal size, at most `size` on a side, that cover each pixel of an area once."""
    return _grid(area, math.ceil(area.height / size), math.ceil(area.width / size))


def _grid(area: Window, rows: int, cols: int) -> Iterator[Window]:
    for top, bottom in pairwise(_edges(area.height, rows)):
        for left, right in pairwise(_edges(area.width, cols)):
            yield Window(area.row + top, area.col + left, bottom - top, right - left)


def _edges(length: int, count: int) -> list[int]:
    return [round(i * length / count) for i in range(count + 1)]


def _blocks(length: int, size: int) -> int:
    """Blocks along a side of a scene, none narrower than a window."""
    return max(1, min(2, length // size), length // (BLOCK_WINDOWS * size))


def _inner(block: Window, height: int, width: int, margin: int) -> Window:
    """Return a block without a margin along those of its sides that have neighbours in the scene."""
    top, left = (margin if start else 0 for start in (block.row, block.col))
    bottom = margin if block.row + block.height < height else 0
    right = margin if block.col + block.width < width else 0
    return replace(
        block,
        row=block.row + top,
        col=block.col + left,
        height=block.height - top - bottom,
        width=block.width - left - right,
    )
