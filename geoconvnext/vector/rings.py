"""Closed rings of many polygons as ragged arrays, and the way from and to shapely."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvnext.kernel import kernel

Polygons = NDArray[np.object_]


@dataclass(frozen=True)
class Rings:
    """Closed rings, ring after ring.

    coords: float64 (vertices, 2); the first vertex of a ring is not repeated at its end.
    sizes: int64 (rings,), the number of vertices of each ring.
    owners: int64 (rings,), the polygon of each ring; a polygon's first ring is its exterior, and the owners
        never fall.
    """

    coords: NDArray[np.float64]
    sizes: NDArray[np.int64]
    owners: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """(rings + 1,), where each ring begins in coords."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @property
    def is_exterior(self) -> NDArray[np.bool_]:
        """(rings,), whether each is the exterior of its polygon."""
        first: NDArray[np.bool_] = np.diff(self.owners, prepend=-1) != 0
        return first

    @classmethod
    def grouped(
        cls, coords: NDArray[np.float64], sizes: NDArray[np.int64], owners: NDArray[np.int64]
    ) -> "Rings":
        """Bring rings into the order of their owners; rings of one owner stay in theirs."""
        order = np.argsort(owners, kind="stable")
        starts = np.cumsum(sizes) - sizes
        shift = starts[order] - (np.cumsum(sizes[order]) - sizes[order])
        taken = np.arange(len(coords)) + np.repeat(shift, sizes[order])
        return cls(coords[taken], sizes[order], owners[order])

    @classmethod
    def of(cls, polygons: Polygons) -> "Rings":
        """Take polygons apart."""
        rings, owners = shapely.get_rings(polygons, return_index=True)
        coords, ring = shapely.get_coordinates(rings, return_index=True)
        is_last = np.diff(ring, append=-1) != 0
        return cls(coords[~is_last], np.bincount(ring[~is_last], minlength=len(rings)), owners)

    def to_polygons(self) -> Polygons:
        """Build the polygons, of which none may lack its rings."""
        rings = shapely.linearrings(self.coords, indices=np.repeat(np.arange(len(self.sizes)), self.sizes))
        polygons: Polygons = shapely.polygons(rings, indices=self.owners)
        return polygons

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """(rings,), the signed area of each: positive where it turns from the first axis to the second."""
        return _signed_areas(self.coords, self.starts)

    def polygon_areas(self, count: int) -> NDArray[np.float64]:
        """(count,), the area of each polygon without its holes."""
        areas = np.abs(self.areas) * np.where(self.is_exterior, 1.0, -1.0)
        return np.bincount(self.owners, areas, minlength=count).astype(np.float64)

    def select(self, kept: NDArray[np.bool_]) -> "Rings":
        """Leave some rings (rings,) out; the polygons keep their numbers."""
        return Rings(self.coords[np.repeat(kept, self.sizes)], self.sizes[kept], self.owners[kept])


NO_RINGS = Rings(np.empty((0, 2)), np.empty(0, np.int64), np.empty(0, np.int64))


@kernel
def around(place: int, size: int) -> int:
    """Return the vertex at a place of 0..3 * size - 1 around a ring, without a division."""
    while place >= size:
        place -= size
    return place


@kernel
def _signed_areas(coords: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum the triangles between each ring's first vertex and its edges: far coordinates lose no digits."""
    areas = np.zeros(len(starts) - 1)
    for ring in range(len(areas)):
        x, y = coords[starts[ring]]
        for i in range(starts[ring] + 1, starts[ring + 1] - 1):
            ax, ay, bx, by = coords[i, 0] - x, coords[i, 1] - y, coords[i + 1, 0] - x, coords[i + 1, 1] - y
            areas[ring] += (ax * by - ay * bx) / 2.0
    return areas
