"""Cutting a sample out of a tile: pixels, known ground and polygons on grids of any fineness."""

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.rings import Rings

_BANDS_AT_ONCE = 4
"""OpenCV interpolates no more."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A square on a tile, in tile pixels, (0, 0) being the outer corner of the first one.

    row, col: its centre; side: its length; angle: radians, from columns towards rows; mirror: flip columns.
    """

    row: float
    col: float
    side: float
    angle: float = 0.0
    mirror: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator, height: int, width: int, *, side: float, tilt: float) -> "Crop":
        """Place a crop at random, in all eight orientations, tilted by up to 45 degrees as often as `tilt`.

        Its middle is such that an untilted crop lies in the tile (height, width), where that is large enough.
        """
        margins = (min(side, length) / 2 for length in (height, width))
        row, col = (rng.uniform(m, length - m) for m, length in zip(margins, (height, width), strict=True))
        angle = rng.integers(4) * np.pi / 2
        if rng.random() < tilt:
            angle += rng.uniform(-np.pi / 4, np.pi / 4)
        return cls(row=row, col=col, side=side, angle=angle, mirror=bool(rng.integers(2)))

    def matrix(self, count: int) -> NDArray[np.float64]:
        """Affine matrix (2, 3) to positions on the tile from those on the crop's grid of count x count."""
        zoom = self.side / count
        cos, sin = np.cos(self.angle) * zoom, np.sin(self.angle) * zoom
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if self.mirror else 1.0, 1.0])
        return np.column_stack([linear, (self.col, self.row) - linear @ np.full(2, count / 2)])


def cut_image(image: NDArray[np.uint8], crop: Crop, count: int) -> NDArray[np.uint8]:
    """Cut (count, count, C) from a tile (H, W, C), reflected outside.

    Area average where pixels become larger, cubic convolution where they become smaller.
    """
    fineness = ceil(crop.side / count - 1e-6)
    flags = cv2.INTER_LINEAR if fineness > 1 else cv2.INTER_CUBIC
    matrix = _of_centres(crop.matrix(count * fineness))
    bands = image.shape[2]
    parts = []
    for first in range(0, bands, _BANDS_AT_ONCE):
        part = cv2.warpAffine(
            image[..., first : first + _BANDS_AT_ONCE],
            matrix,
            (count * fineness, count * fineness),
            flags=flags | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        parts.append(cv2.resize(part, (count, count), interpolation=cv2.INTER_AREA))
    return np.asarray(np.dstack(parts), np.uint8)


def cut_known(known: NDArray[np.bool_], crop: Crop, count: int, *, margin: int) -> NDArray[np.bool_]:
    """Cut known ground (H, W) on the crop's grid and `margin` pixels around; outside nothing is known."""
    matrix = crop.matrix(count)
    matrix[:, 2] -= matrix[:, :2] @ np.full(2, margin)
    cut = cv2.warpAffine(
        known.view(np.uint8),
        _of_centres(matrix),
        (count + 2 * margin, count + 2 * margin),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return np.asarray(cut > 0)


def cut_rings(rings: Rings, crop: Crop, count: int) -> Rings:
    """Move rings of a tile to the crop's grid, those outside too."""
    return rings.moved(np.asarray(cv2.invertAffineTransform(crop.matrix(count)), np.float64))


def _of_centres(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a matrix between positions into that between pixel numbers, which stand for their centres."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    return np.column_stack([linear, shift + linear @ np.full(2, 0.5) - 0.5])
