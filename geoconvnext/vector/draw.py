"""The outlines of the individual buildings of many patches, in pixels of the scene."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geoconvnext.vector.features import RASTER_FEATURES, describe
from geoconvnext.vector.instances import divide
from geoconvnext.vector.outline import trace
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.rules import FootprintRules
from geoconvnext.vector.sweep import Patch


@dataclass(frozen=True)
class Outlines:
    """Buildings, in the order of their patches and of their labels inside each.

    rings: in (col, row) of the scene, their owners being the buildings.
    patch: int64 (n,), the patch of each building; buildings of one patch may touch.
    features: float64 (n, k), RASTER_FEATURES of each building.
    touches_edge: bool (n,), a side of one of its pixels lies at nodata or outside the scene.
    """

    rings: Rings
    patch: NDArray[np.int64]
    features: NDArray[np.float64]
    touches_edge: NDArray[np.bool_]

    def without_small_holes(self, least: NDArray[np.float64]) -> "Outlines":
        """Fill holes below an area (n,) in square pixels, each building's own."""
        kept = self.rings.is_exterior | (np.abs(self.rings.areas) >= least[self.rings.owners])
        return replace(self, rings=self.rings.select(kept))

    def without_small_ones(self, least: NDArray[np.float64]) -> "Outlines":
        """Leave buildings out below an area (n,) in square pixels, and number the others anew."""
        kept = self.rings.polygon_areas(len(self.patch)) >= least
        rings = self.rings.select(kept[self.rings.owners])
        rings = replace(rings, owners=(np.cumsum(kept) - 1)[rings.owners])
        return Outlines(rings, self.patch[kept], self.features[kept], self.touches_edge[kept])


def draw(patches: Sequence[Patch], rules: FootprintRules, *, min_seed_px: float) -> Outlines:
    """Divide each patch into buildings and trace them; see divide() and trace()."""
    # The empty first parts give the arrays their shape where there is no patch at all.
    coords, sizes, owners = [np.empty((0, 2))], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    features, touches_edge = [np.empty((0, len(RASTER_FEATURES)))], [np.empty(0, np.bool_)]
    counts: list[int] = []
    buildings = 0
    for patch in patches:
        labels, count = divide(
            patch.probabilities,
            patch.mask,
            seed_threshold=rules.seed_threshold,
            edge_weight=rules.edge_weight,
            min_seed_px=min_seed_px,
        )
        rings = trace(patch.probabilities[0], labels, threshold=rules.body_level)
        coords.append(rings.coords + np.array([patch.col, patch.row]))
        sizes.append(rings.sizes)
        owners.append(rings.labels.astype(np.int64) + (buildings - 1))
        described, touches = describe(patch.probabilities, labels, count)
        features.append(described)
        touches_edge.append(touches)
        counts.append(count)
        buildings += count
    return Outlines(
        rings=Rings.grouped(np.concatenate(coords), np.concatenate(sizes), np.concatenate(owners)),
        patch=np.repeat(np.arange(len(counts)), counts),
        features=np.concatenate(features),
        touches_edge=np.concatenate(touches_edge),
    )
