"""Buildings of earlier batches, as long as later ones may come near them."""

import numpy as np
import shapely

from geoconvnext.vector.rings import NO_RINGS, Polygons, Rings

HAIR_PX = 1e-4
"""Far below what matters, far above what rounding of coordinates moves."""


class Earlier:
    """Buildings that are drawn already, in pixels of the scene. What is drawn later keeps off them.

    margin: how far outlines move at most, in pixels; their corners move up to twice as far.
    """

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._polygons: Polygons = np.empty(0, object)

    def add(self, polygons: Polygons) -> None:
        """Remember buildings."""
        self._polygons = np.concatenate([self._polygons, polygons])

    def forget(self, row: int) -> None:
        """Forget what ends above the neighbourhood of a row: no building that comes reaches higher."""
        lowest = shapely.bounds(self._polygons).reshape(-1, 4)[:, 3]
        self._polygons = self._polygons[lowest >= row - 2.0 * self._margin]

    def near(self, rings: Rings) -> Rings:
        """Return those that polygons of these rings could touch when they move."""
        if len(self._polygons) == 0 or len(rings.sizes) == 0:
            return NO_RINGS
        low, high = (find.reduceat(rings.coords, rings.starts[:-1]) for find in (np.minimum, np.maximum))
        around = shapely.box(*(low - 2.0 * self._margin).T, *(high + 2.0 * self._margin).T)
        _, found = shapely.STRtree(self._polygons).query(around)
        return Rings.of(self._polygons[np.unique(found)])

    def cut(self, polygons: Polygons) -> Polygons:
        """Take off what they have in common with these, and a hair's breadth more.

        That is little and rare: an outline that cannot but stay where it is, and one that moved over it.
        """
        mine, theirs = shapely.STRtree(self._polygons).query(polygons, predicate="intersects")
        overlap = shapely.area(shapely.intersection(polygons[mine], self._polygons[theirs])) > 0.0
        mine, theirs = mine[overlap], theirs[overlap]
        for place in np.unique(mine):
            covered = shapely.union_all(self._polygons[theirs[mine == place]])
            left = shapely.difference(polygons[place], shapely.buffer(covered, HAIR_PX, join_style="mitre"))
            polygons[place] = max(shapely.get_parts(left), key=shapely.area, default=polygons[place])
        return polygons
