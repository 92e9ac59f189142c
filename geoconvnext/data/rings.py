"""Building polygons as flat arrays of rings, the form in which tiles hand them to compiled loops."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True)
class Rings:
    """Outlines of buildings in pixels of a grid, (0, 0) being the outer corner of its first pixel.

    coords: float64 (n, 2), x along columns and y along rows, ring after ring, each closed; holes turn the
    other way than outer rings. offsets: int64 (R+1), ring r is coords[offsets[r]:offsets[r + 1]]. building:
    int32 (R,), number 1..B of each ring's building, ascending.
    """

    coords: NDArray[np.float64]
    offsets: NDArray[np.int64]
    building: NDArray[np.int32]

    @classmethod
    def from_polygons(cls, polygons: Sequence[BaseGeometry] | NDArray[np.object_]) -> "Rings":
        """Flatten valid Polygons or MultiPolygons, numbered from 1 in their order; of any winding."""
        parts, number = shapely.get_parts(np.asarray(polygons, object), return_index=True)
        rings, part = shapely.get_rings(shapely.orient_polygons(parts), return_index=True)
        offsets = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(rings))])
        coords = shapely.get_coordinates(rings)
        return cls(coords, offsets.astype(np.int64), (number[part] + 1).astype(np.int32))

    @property
    def buildings(self) -> int:
        """The highest number of a building."""
        return int(self.building.max(initial=0))

    def moved(self, matrix: NDArray[np.float64]) -> "Rings":
        """Give the rings in pixels of another grid; affine matrix (2, 3) from these pixels to those."""
        return replace(self, coords=self.coords @ matrix[:, :2].T + matrix[:, 2])

    def only(self, buildings: NDArray[np.integer]) -> "Rings":
        """Keep the rings of some buildings, with their numbers."""
        chosen = np.isin(self.building, buildings)
        lengths = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(lengths[chosen])])
        return Rings(self.coords[np.repeat(chosen, lengths)], offsets, self.building[chosen])

    def joined(self, others: "Rings") -> "Rings":
        """Add the rings of others, numbered after these."""
        return Rings(
            np.concatenate([self.coords, others.coords]),
            np.concatenate([self.offsets, self.offsets[-1] + others.offsets[1:]]),
            np.concatenate([self.building, (self.buildings + others.building).astype(np.int32)]),
        )
