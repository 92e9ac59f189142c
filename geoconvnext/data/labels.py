"""Labels of a scene, from reference footprints or a mask, as instance numbers on any part of its grid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.features import rasterize
from shapely import GeometryType, Polygon

from geoconvnext.data.targets import UNLABELLED
from geoconvnext.data.tiles import FINENESS
from geoconvnext.errors import LabelError
from geoconvnext.raster.gdal import GDAL_ERRORS, open_dataset
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene
from geoconvnext.vector.files import SUFFIXES, read_footprints

MASK_SUFFIXES = (".tif", ".tiff", ".png", ".jpg")


class Labels(Protocol):
    """Instance numbers of a scene's buildings."""

    @property
    def separate(self) -> bool:
        """Whether touching buildings have numbers of their own."""
        ...

    def numbers(self, window: Window) -> NDArray[np.uint16]:
        """(FINENESS*height, FINENESS*width) numbers in a window of the scene; 0 is background."""
        ...


@dataclass(frozen=True)
class FootprintLabels:
    """Labels from polygons in the scene's CRS; `transform` is the scene's."""

    footprints: gpd.GeoDataFrame
    transform: Affine
    separate: bool = True

    def numbers(self, window: Window) -> NDArray[np.uint16]:
        """Burn the polygons that the window touches, numbered from 1 in their order; the later wins."""
        shape = (window.height * FINENESS, window.width * FINENESS)
        transform = self.transform @ Affine.translation(window.col, window.row) @ Affine.scale(1 / FINENESS)
        near = self.footprints.geometry.iloc[_touching(self.footprints, _outline(transform, *shape))]
        if len(near) == 0:
            return np.zeros(shape, np.uint16)
        if len(near) >= UNLABELLED:
            raise LabelError(
                f"a tile would have {len(near)} buildings, at most {UNLABELLED - 1} fit;"
                " choose a smaller size"
            )
        numbered = zip(near, range(1, len(near) + 1), strict=True)
        return np.asarray(rasterize(numbered, shape, transform=transform, dtype="uint16"), np.uint16)


@dataclass(frozen=True)
class MaskLabels:
    """Labels from a mask on a grid FINENESS times as fine as the scene's: touching buildings are one."""

    components: NDArray[np.uint16]
    separate: bool = False

    def numbers(self, window: Window) -> NDArray[np.uint16]:
        """Cut the window out of the components."""
        rows = slice(window.row * FINENESS, (window.row + window.height) * FINENESS)
        cols = slice(window.col * FINENESS, (window.col + window.width) * FINENESS)
        return self.components[rows, cols]


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


def open_labels(path: Path | None, scene: Scene) -> Labels:
    """Open the labels of a scene, a vector file or a mask; None says that the scene has no building.

    A vector file without any polygon says the same. LabelError: the file cannot be read, or is not about the
    scene: no polygon touches it, the mask has another size.
    """
    if path is None:
        return FootprintLabels(gpd.GeoDataFrame(geometry=[]), scene.transform)
    if path.suffix.lower() in MASK_SUFFIXES:
        return _open_mask(path, scene)
    return FootprintLabels(_open_footprints(path, scene), scene.transform)


def _open_footprints(path: Path, scene: Scene) -> gpd.GeoDataFrame:
    table = read_footprints(path)
    if not isinstance(table, gpd.GeoDataFrame):
        raise LabelError(f"labels {path} are a table without geometries; name a file with polygons")
    given = table[~(table.geometry.is_empty | table.geometry.isna())]
    try:
        placed = _polygons(given, scene)
    except ProjError as error:
        raise LabelError(f"labels {path} cannot be brought to the CRS of {scene.path}: {error}") from error
    if len(given) and not len(_touching(placed, _outline(scene.transform, scene.height, scene.width))):
        crs = given.crs.to_string() if given.crs else "no CRS"
        raise LabelError(
            f"labels {path} do not touch the scene {scene.path}: none of {len(given)} features ({crs}, within"
            f" {' '.join(f'{bound:.7g}' for bound in given.total_bounds)}) is a polygon that reaches it;"
            " check the files, or use --empty if the scene has no building"
        )
    return placed


def _polygons(table: gpd.GeoDataFrame, scene: Scene) -> gpd.GeoDataFrame:
    """Make polygons valid, single and in the scene's CRS; where either has none they stay in place."""
    if table.crs is not None and scene.crs is not None:
        table = table.to_crs(scene.crs.to_wkt())
    shapes = table.geometry.to_numpy()
    # What has no place in the scene's CRS has infinite coordinates now.
    shapes = shapes[np.isfinite(shapely.bounds(shapes)).all(axis=1)]
    # Twice: repairing a polygon can make a collection of a multi-polygon and lines.
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapes)))
    polygons = parts[(shapely.get_type_id(parts) == GeometryType.POLYGON) & ~shapely.is_empty(parts)]
    return gpd.GeoDataFrame(geometry=polygons, crs=table.crs)


def _outline(transform: Affine, height: int, width: int) -> Polygon:
    """Corners of a grid on the map; a parallelogram where the transform is rotated."""
    return Polygon([transform @ corner for corner in ((0, 0), (width, 0), (width, height), (0, height))])


def _touching(footprints: gpd.GeoDataFrame, area: Polygon) -> NDArray[np.intp]:
    """Positions of the footprints that touch an area, in ascending order."""
    return np.asarray(footprints.sindex.query(area, predicate="intersects", sort=True), np.intp)


def _open_mask(path: Path, scene: Scene) -> MaskLabels:
    try:
        with open_dataset(str(path)) as file:
            mask = (file.read(1) > 0).astype(np.uint8)
        with open_dataset(scene.path) as file:
            expected = file.shape
    except GDAL_ERRORS as error:
        raise LabelError(f"mask {path} cannot be read: {error}") from error
    if mask.shape != expected:
        raise LabelError(
            f"mask {path} must have the {expected[0]} x {expected[1]} pixels of {scene.path};"
            f" found {mask.shape[0]} x {mask.shape[1]}"
        )
    size = (scene.width * FINENESS, scene.height * FINENESS)
    fine = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
    count, components = cv2.connectedComponents(fine, connectivity=4)
    if count > UNLABELLED:
        raise LabelError(
            f"mask {path} has {count - 1} separate buildings; cut it into parts of less than {UNLABELLED}"
        )
    return MaskLabels(components.astype(np.uint16))
