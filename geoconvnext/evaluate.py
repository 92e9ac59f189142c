"""Compare footprints with reference footprints: objects one to one, and the area that both cover."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.features import shapes
from shapely.geometry import shape

from geoconvnext.data.labels import MASK_SUFFIXES, find_labels
from geoconvnext.errors import LabelError
from geoconvnext.metrics.objects import ObjectScores, score_objects
from geoconvnext.metrics.ratio import ratio
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset
from geoconvnext.raster.scene import Scene
from geoconvnext.vector.files import read_footprints

Polygons = NDArray[np.object_]
EDGE_POINTS = 50
"""A scene's border is brought to another CRS with this many points on a side, where it may be curved."""


@dataclass(frozen=True)
class Scores:
    """Scores of one area; those of several add up.

    objects: one-to-one matches at IoU 0.5; shared, either: area covered by both sets, and by at least one.
    """

    objects: ObjectScores = ObjectScores()
    shared: float = 0.0
    either: float = 0.0

    def __add__(self, other: "Scores") -> "Scores":
        """Return the scores of both areas together."""
        return Scores(self.objects + other.objects, self.shared + other.shared, self.either + other.either)

    @property
    def iou(self) -> float:
        """IoU of the areas, whatever buildings they are divided into: pixel IoU without a pixel grid."""
        return ratio(self.shared, self.either)

    def to_dict(self) -> dict[str, float]:
        """Return all numbers by name; ratios are NaN where they are undefined."""
        objects = self.objects
        return {
            "pixel_iou": self.iou,
            "precision": objects.precision,
            "recall": objects.recall,
            "f1": objects.f1,
            "matched_iou": objects.mean_iou,
            "tp": objects.tp,
            "fp": objects.fp,
            "fn": objects.fn,
        }


def evaluate(footprints: Path, reference: Path, *, scene: str | None = None) -> Scores:
    """Compare a file of footprints with reference footprints, or with a mask (PNG or GeoTIFF).

    reference: the file, or a folder with one of the scene's name (of the footprints', if no scene is given).
    scene: both are clipped to its extent, and a mask without georeference gets the scene's. Areas are
    compared in a UTM zone, or in pixels if nothing has a CRS. LabelError, SceneError.
    """
    path = find_labels(Path(scene) if scene else footprints, reference)
    frame = _frame(scene) if scene else None
    found, truth = _read_polygons(footprints), _read_reference(path, frame)
    crs = {str(name): table.crs for name, table in ((footprints, found), (path, truth), (scene, frame)) if table is not None}
    metric = _metric_crs(crs, [found, truth])
    ours, theirs = (_place(table, metric, frame) for table in (found, truth))
    our_area, their_area = shapely.union_all(ours), shapely.union_all(theirs)
    shared = float(shapely.area(shapely.intersection(our_area, their_area)))
    either = float(shapely.area(our_area) + shapely.area(their_area)) - shared
    return Scores(score_objects(ours, theirs), shared, either)
