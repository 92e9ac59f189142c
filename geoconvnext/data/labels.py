"""Labels of a scene, from reference footprints or a mask, as building polygons in the scene's CRS."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.features import rasterize, shapes
from shapely import GeometryType, Polygon, STRtree
from shapely.geometry import shape

from geoconvnext.data.cleaning import LabelCount, Polygons, clean, parts_of
from geoconvnext.errors import LabelError
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene
from geoconvnext.vector.files import SUFFIXES, read_footprints

MASK_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
AREAL = (GeometryType.POLYGON, GeometryType.MULTIPOLYGON, GeometryType.GEOMETRYCOLLECTION)


@dataclass(frozen=True)
class Areas:
    """Polygons in a scene's CRS; `transform` is the scene's."""

    polygons: Polygons
    transform: Affine

    @cached_property
    def _tree(self) -> STRtree:
        return STRtree(self.polygons)

    def reaching(self, window: Window) -> Polygons:
        """Polygons that have ground in a window, whole, in their order."""
        area = _outline(self.transform, window)
        near: Polygons = self.polygons[np.sort(self._tree.query(area, predicate="intersects"))]
        inside: Polygons = near[~shapely.touches(near, area)]
        return inside

    def cover(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) of a window: the pixels whose centre lies in a polygon."""
        near, size = self.reaching(window), (window.height, window.width)
        if len(near) == 0:
            return np.zeros(size, np.bool_)
        transform = self.transform @ Affine.translation(window.col, window.row)
        return np.asarray(rasterize(near, size, transform=transform, dtype="uint8"), np.bool_)


@dataclass(frozen=True)
class Labels(Areas):
    """Buildings of a scene, as Polygons that do not overlap.

    separate: touching buildings are polygons of their own; count: what was done to the labels.
    """

    separate: bool
    count: LabelCount


def find_labels(scene_path: Path, labels: Path) -> Path:
    """Find the label file of a scene: `labels` itself, or in the folder `labels` the one of its name."""
    if not labels.is_dir():
        if not labels.exists():
            raise LabelError(f"labels {labels} do not exist; name a vector file, a mask or a folder of these")
        return labels
    for suffix in (*SUFFIXES, *MASK_SUFFIXES):
        for ending in ("", "_mask"):
            candidate = labels / f"{scene_path.stem}{ending}{suffix}"
            if candidate.is_file() and candidate.resolve() != scene_path.resolve():
                return candidate
    raise LabelError(
        f"no labels for {scene_path.name} in {labels}: expected {scene_path.stem} with a suffix of"
        f" {', '.join(SUFFIXES)} (footprints) or {', '.join(MASK_SUFFIXES)} (mask)"
    )


def open_labels(path: Path | None, scene: Scene, *, may_be_empty: bool = False) -> Labels:
    """Open the labels of a scene, a vector file or a mask; None says that the scene has no building.

    A mask without any building pixel says the same; of a vector file without any polygon in the scene this
    is believed where it `may_be_empty`. LabelError: the file cannot be read, or is not about the scene: no
    polygon touches it, the mask has another size.
    """
    if path is None:
        return Labels(np.empty(0, object), scene.transform, separate=True, count=LabelCount())
    if path.suffix.lower() in MASK_SUFFIXES:
        return _open_mask(path, scene)
    given = _read_near(path, scene, what="labels", may_be_empty=may_be_empty)
    polygons, count = clean(given, pixel=abs(scene.transform.determinant) ** 0.5)
    return Labels(polygons, scene.transform, separate=True, count=count)


def open_area(path: Path, scene: Scene) -> Areas:
    """Open the area in which the labels of a scene are complete; LabelError as for labels."""
    return Areas(parts_of(_read_near(path, scene, what="area", may_be_empty=False)), scene.transform)


def _read_near(path: Path, scene: Scene, *, what: str, may_be_empty: bool) -> Polygons:
    """Geometries of a file that have polygons in the scene, in its CRS."""
    table = read_footprints(path)
    if not isinstance(table, gpd.GeoDataFrame):
        raise LabelError(f"{what} {path}: a table without geometries; name a file with polygons")
    given = table[~(table.geometry.is_empty | table.geometry.isna())]
    try:
        near = _touching(_placed(given, scene), _outline(scene.transform, _whole(scene)))
    except ProjError as error:
        raise LabelError(f"{what} {path} cannot be brought to the CRS of {scene.path}: {error}") from error
    if len(near) or may_be_empty:
        return near
    hint = "check the files" + (", or state --empty if scenes may have no building" * (what == "labels"))
    if len(given) == 0:
        raise LabelError(f"{what} {path} holds no polygon; {hint}")
    crs = given.crs.to_string() if given.crs else "no CRS"
    bounds = " ".join(f"{bound:.7g}" for bound in given.total_bounds)
    raise LabelError(
        f"{what} {path} is not about the scene {scene.path}: of {len(given)} features ({crs}, within"
        f" {bounds}) none is a polygon that reaches it; {hint}"
    )


def _placed(table: gpd.GeoDataFrame, scene: Scene) -> Polygons:
    """Geometries in the scene's CRS; where either has none they stay in place."""
    if table.crs is not None and scene.crs is not None:
        table = table.to_crs(scene.crs.to_wkt())
    geometries: Polygons = table.geometry.to_numpy()
    # What has no place in the scene's CRS has infinite coordinates now.
    placed: Polygons = geometries[np.isfinite(shapely.bounds(geometries)).all(axis=1)]
    return placed


def _touching(geometries: Polygons, area: Polygon) -> Polygons:
    """Those that touch an area and are polygons, or hold some, in their order."""
    areal = geometries[np.isin(shapely.get_type_id(geometries), AREAL)]
    near = areal[np.sort(STRtree(areal).query(area))]
    touching: Polygons = near[shapely.intersects(shapely.make_valid(near), area)]
    return touching


def _whole(scene: Scene) -> Window:
    return Window(0, 0, scene.height, scene.width)


def _outline(transform: Affine, window: Window) -> Polygon:
    """Corners of a window on the map; a parallelogram where the transform is rotated."""
    top, left, bottom, right = window.row, window.col, window.row + window.height, window.col + window.width
    return Polygon([transform @ at for at in ((left, top), (right, top), (right, bottom), (left, bottom))])


def _open_mask(path: Path, scene: Scene) -> Labels:
    """Outlines of the building pixels of a mask: touching buildings are one."""
    try:
        with open_dataset(str(path)) as file:
            mask = building_pixels(file)
        with open_dataset(scene.path) as file:
            expected = file.shape
    except GDAL_ERRORS as error:
        raise LabelError(f"mask {path} cannot be read: {error}") from error
    if mask.shape != expected:
        raise LabelError(
            f"mask {path} must have the {expected[0]} x {expected[1]} pixels of {scene.path};"
            f" found {mask.shape[0]} x {mask.shape[1]}"
        )
    # The scene may be resampled; its mask has the file's own pixels.
    native = scene.transform @ Affine.scale(scene.width / mask.shape[1], scene.height / mask.shape[0])
    found = shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=native)
    polygons = parts_of(_array(shape(outline) for outline, _ in found))
    return Labels(polygons, scene.transform, separate=False, count=LabelCount(used=len(polygons)))


def building_pixels(file: Any) -> NDArray[np.bool_]:
    """Return the building pixels of a mask: not 0; in a JPEG, which blurs edges, the brighter half."""
    values = file.read(1)
    compression = file.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", file.driver)
    is_lossy = compression in {"JPEG", "YCbCr JPEG"}
    return np.asarray(values > (np.iinfo(values.dtype).max // 2 if is_lossy else 0))


def _array(polygons: Iterable[Polygon]) -> Polygons:
    return np.array(list(polygons), object)
