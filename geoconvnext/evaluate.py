"""Compare footprints with reference footprints: objects one to one, and the area that both cover."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import ProjError
from rasterio import features
from shapely.geometry import shape

from geoconvnext.data.labels import MASK_SUFFIXES, find_labels
from geoconvnext.errors import LabelError, SceneError
from geoconvnext.metrics.objects import ObjectScores, score_objects
from geoconvnext.metrics.ratio import ratio
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset
from geoconvnext.vector.files import read_footprints

Polygons = NDArray[np.object_]
EDGE_POINTS = 50
"""Points on the longer side of a scene's border when it is brought to another CRS."""


@dataclass(frozen=True)
class Scores:
    """Scores of one area; those of several add up.

    objects: one-to-one matches at IoU 0.5; shared, either: area covered by both sets, and by at least one.
    """

    objects: ObjectScores = field(default_factory=ObjectScores)
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
    scene: both are clipped to its extent, and a mask without georeference has the scene's. Areas are compared
    in the CRS of all files if it is the same and projected, else in a UTM zone, or in pixels without any CRS.
    Raises LabelError and SceneError.
    """
    path = find_labels(Path(scene) if scene else footprints, reference)
    frame = _read_frame(scene) if scene else None
    shapes = [(str(footprints), _read_polygons(footprints)), (str(path), _read_reference(path, frame))]
    if scene and frame:
        shapes.append((scene, frame.outline))
    ours, theirs, *extent = (_valid_polygons(series) for series in _to_common_crs(shapes))
    for outline in extent:
        ours, theirs = (_areas_only(shapely.intersection(polygons, outline)) for polygons in (ours, theirs))
    our_area, their_area = shapely.union_all(ours), shapely.union_all(theirs)
    shared = float(shapely.area(shapely.intersection(our_area, their_area)))
    either = float(shapely.area(our_area) + shapely.area(their_area)) - shared
    return Scores(score_objects(ours, theirs), shared, either)


@dataclass(frozen=True)
class _Frame:
    """Size (height, width) and georeference of a scene's own grid."""

    shape: tuple[int, int]
    transform: Affine
    crs: CRS | None

    @property
    def outline(self) -> gpd.GeoSeries:
        """Its border, with points enough to stay in place in another CRS, where it may be curved."""
        height, width = self.shape
        box = shapely.segmentize(shapely.box(0, 0, width, height), max(height, width) / EDGE_POINTS)
        a, b, c, d, e, f = self.transform[:6]
        placed = shapely.transform(box, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
        return gpd.GeoSeries([placed], crs=self.crs)


def _frame_of(file: Any) -> _Frame:
    crs = CRS.from_wkt(file.crs.to_wkt()) if file.crs else None
    return _Frame(file.shape, file.transform, crs)


def _read_frame(scene: str) -> _Frame:
    try:
        with open_dataset(scene) as file:
            return _frame_of(file)
    except GDAL_ERRORS as error:
        raise SceneError(f"scene {scene} cannot be read: {error}") from error


def _read_reference(path: Path, frame: _Frame | None) -> gpd.GeoSeries:
    if path.suffix.lower() in MASK_SUFFIXES:
        return _read_mask(path, frame)
    return _read_polygons(path)


def _read_polygons(path: Path) -> gpd.GeoSeries:
    table = read_footprints(path)
    if not isinstance(table, gpd.GeoDataFrame):
        raise LabelError(f"{path} is a table without geometries; name a file with polygons")
    return table.geometry.dropna()


def _read_mask(path: Path, frame: _Frame | None) -> gpd.GeoSeries:
    """Outlines of what is not 0 in the first band; connected by their sides pixels are one building."""
    try:
        with open_dataset(str(path)) as file:
            mask = (file.read(1) > 0).astype(np.uint8)
            place = _frame_of(file)
    except GDAL_ERRORS as error:
        raise LabelError(f"mask {path} cannot be read: {error}") from error
    if place.crs is None and frame is not None:
        if place.shape != frame.shape:
            found, wanted = (f"{height} x {width}" for height, width in (place.shape, frame.shape))
            raise LabelError(
                f"mask {path} has no georeference, so it must have its scene's {wanted} pixels; found {found}"
            )
        place = frame
    outlines = [shape(item) for item, _ in features.shapes(mask, mask > 0, transform=place.transform)]
    return gpd.GeoSeries(outlines, crs=place.crs)


def _to_common_crs(shapes: list[tuple[str, gpd.GeoSeries]]) -> list[gpd.GeoSeries]:
    """Bring named shapes to a CRS in which areas can be compared; LabelError where there is none."""
    names, given = zip(*shapes, strict=True)
    without = [name for name, series in shapes if series.crs is None]
    if len(without) == len(shapes):
        return list(given)
    if without:
        others = ", ".join(name for name in names if name not in without)
        raise LabelError(f"{', '.join(without)} has no CRS, but {others} has: give all of them one, or none")
    try:
        metric = _metric_crs(given)
        common = [series.to_crs(metric) for series in given]
    except (ProjError, RuntimeError) as error:
        raise LabelError(f"{', '.join(names)} cannot be brought to one CRS: {error}") from error
    for name, series in zip(names, common, strict=True):
        if not np.isfinite(series.bounds.to_numpy()[~series.is_empty]).all():
            raise LabelError(f"{name} has coordinates outside the area of its CRS; correct it")
    return common


def _metric_crs(shapes: Sequence[gpd.GeoSeries]) -> CRS:
    first: CRS = shapes[0].crs
    if first.is_projected and all(series.crs == first for series in shapes):
        return first
    zones: list[CRS] = [series.estimate_utm_crs() for series in shapes if len(series)]
    return zones[0] if zones else first


def _valid_polygons(series: gpd.GeoSeries) -> Polygons:
    return _areas_only(shapely.make_valid(series.to_numpy()))


def _areas_only(geometries: Polygons) -> Polygons:
    """Drop the lines and points that clipping and repairing leave, and what has no area."""
    polygons: Polygons = np.array([_polygonal(geometry) for geometry in geometries], dtype=object)
    return polygons[np.asarray(shapely.area(polygons)) > 0]


def _polygonal(geometry: shapely.Geometry) -> shapely.Geometry:
    parts = shapely.get_parts(geometry)
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
