"""Compare footprints with reference footprints: read both, bring them to one place, score them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS
from pyproj.exceptions import ProjError
from rasterio import features
from shapely.geometry import shape

from geoconvnext.data.labels import MASK_SUFFIXES, building_pixels, find_labels
from geoconvnext.errors import ConfigError, LabelError, SceneError
from geoconvnext.metrics.scores import Scores, score
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset
from geoconvnext.vector.files import read_footprints

EDGE_POINTS = 50
"""Points on the longer side of a scene's border when it is brought to another CRS."""


@dataclass(frozen=True)
class Evaluation:
    """Scores, and what they are about: valid polygons in one UTM zone, or in pixels without any CRS."""

    scores: Scores
    predicted: gpd.GeoSeries
    reference: gpd.GeoSeries


def evaluate(
    footprints: Path, reference: Path, *, scene: str | None = None, gsd_m: float = 1.0
) -> Evaluation:
    """Compare a file of footprints with reference footprints, or with a mask (PNG or GeoTIFF).

    reference: the file, or a folder with one of the scene's name (of the footprints', if no scene is given).
    scene: both are clipped to its extent, and a mask without georeference has the scene's.
    gsd_m: metres per pixel of files without any CRS. A column `confidence` of the footprints ranks them.
    Raises LabelError, SceneError and ConfigError.
    """
    if not 0 < gsd_m < np.inf:
        raise ConfigError(f"the ground sampling distance must be metres above 0, got {gsd_m}")
    path = find_labels(Path(scene) if scene else footprints, reference)
    frame = _read_frame(scene) if scene else None
    table = _read_table(footprints)
    shapes = [(str(footprints), table.geometry), (str(path), _read_reference(path, frame))]
    if scene and frame:
        shapes.append((scene, frame.outline))
    ours, theirs, *extent = (_repair(series) for series in _to_common_crs(shapes))
    if extent:
        ours, theirs = (_clip(series, extent[0].iloc[0]) for series in (ours, theirs))
    metres = 1.0 if ours.crs else gsd_m
    scores = score(_scale(ours, metres), _scale(theirs, metres), _confidence(table.loc[ours.index]))
    return Evaluation(scores, ours, theirs)


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


def _read_table(path: Path) -> gpd.GeoDataFrame:
    table = read_footprints(path)
    if not isinstance(table, gpd.GeoDataFrame):
        raise LabelError(f"{path} is a table without geometries; name a file with polygons")
    return table[~(table.geometry.is_empty | table.geometry.isna())].reset_index(drop=True)


def _confidence(table: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """NaN where the footprints do not say how sure they are, or not in numbers."""
    values = table["confidence"] if "confidence" in table else pd.Series(np.nan, table.index)
    return np.asarray(pd.to_numeric(values, errors="coerce"), np.float64)


def _read_reference(path: Path, frame: _Frame | None) -> gpd.GeoSeries:
    if path.suffix.lower() in MASK_SUFFIXES:
        return _read_mask(path, frame)
    return _read_table(path).geometry


def _read_mask(path: Path, frame: _Frame | None) -> gpd.GeoSeries:
    """Outlines of the building pixels; those connected by their sides are one building."""
    try:
        with open_dataset(str(path)) as file:
            mask = building_pixels(file).astype(np.uint8)
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
    """Bring named shapes to one UTM zone, leave those without CRS; LabelError where that cannot be."""
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
    """Return a CRS in which metres are metres, as they are not in every projected one (EPSG:3857)."""
    zones: list[CRS] = [series.estimate_utm_crs() for series in shapes if len(series)]
    return zones[0] if zones else shapes[0].crs


def _repair(series: gpd.GeoSeries) -> gpd.GeoSeries:
    """Make geometries valid polygons, single or multiple; what has no area is left out."""
    return _areas_only(_change(series, ~series.is_valid, shapely.make_valid))


def _clip(series: gpd.GeoSeries, extent: shapely.Geometry) -> gpd.GeoSeries:
    """Cut polygons off at the border of an extent."""
    shapely.prepare(extent)
    crossing = ~shapely.contains_properly(extent, series.to_numpy())
    return _areas_only(_change(series, crossing, lambda shapes: shapely.intersection(shapes, extent)))


def _areas_only(series: gpd.GeoSeries) -> gpd.GeoSeries:
    """Drop the lines and points that clipping and repairing leave, and what has no area."""
    mixed = series.geom_type == "GeometryCollection"
    polygonal = _change(series, mixed, lambda shapes: [_polygonal(each) for each in shapes])
    return polygonal[polygonal.area > 0]


def _polygonal(geometry: shapely.Geometry) -> shapely.Geometry:
    parts = shapely.get_parts(geometry)
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])


def _scale(series: gpd.GeoSeries, factor: float) -> NDArray[np.object_]:
    scaled: NDArray[np.object_] = shapely.transform(series.to_numpy(), lambda xy: xy * factor)
    return scaled


def _change(
    series: gpd.GeoSeries,
    chosen: pd.Series | NDArray[np.bool_],
    how: Callable[[NDArray[np.object_]], ArrayLike],
) -> gpd.GeoSeries:
    """Replace the chosen geometries."""
    geometries = series.to_numpy().copy()
    geometries[chosen] = how(geometries[chosen])
    return gpd.GeoSeries(geometries, index=series.index, crs=series.crs)
