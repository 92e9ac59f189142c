"""Labels of a scene, from reference footprints or from a mask, as instance numbers on any part of its grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from shapely import make_valid

from geoconvnext.data.targets import UNLABELLED
from geoconvnext.data.tiles import FINENESS
from geoconvnext.errors import LabelError
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene
from geoconvnext.vector.files import SUFFIXES, read_footprints

MASK_SUFFIXES = (".tif", ".tiff", ".png", ".jpg")


class Labels(Protocol):
    """Instance numbers of a scene's buildings; `separate` says whether touching ones have different numbers."""

    separate: bool

    def numbers(self, window: Window) -> NDArray[np.uint16]:
        """(FINENESS*height, FINENESS*width) numbers in a window of the scene; 0 is background."""
        ...


@dataclass(frozen=True)
class FootprintLabels:
    """Labels from polygons in the scene's CRS."""

    footprints: gpd.GeoDataFrame
    transform: Affine
    separate: bool = True

    def numbers(self, window: Window) -> NDArray[np.uint16]:
        """Burn the polygons that the window touches, each with a number of its own."""
        shape = (window.height * FINENESS, window.width * FINENESS)
        transform = self.transform @ Affine.translation(window.col, window.row) @ Affine.scale(1 / FINENESS)
        corners = [transform @ corner for corner in ((0, 0), (shape[1], 0), (0, shape[0]), shape[::-1])]
        (left, *_, right), (bottom, *_, top) = (sorted(values) for values in zip(*corners, strict=True))
        near = self.footprints.geometry.cx[left:right, bottom:top]
        if len(near) == 0:
            return np.zeros(shape, np.uint16)
        burned = rasterize(zip(near, range(1, len(near) + 1), strict=True), shape, transform=transform, dtype="uint16")
        return np.asarray(burned, np.uint16)


@dataclass(frozen=True)
class MaskLabels:
    """Labels from a mask: touching buildings are one."""

    components: NDArray[np.uint16]
    separate: bool = False

    def numbers(self, window: Window) -> NDArray[np.uint16]:
        """Cut the window out of the components."""
        rows = slice(window.row * FINENESS, (window.row + window.height) * FINENESS)
        cols = slice(window.col * FINENESS, (window.col + window.width) * FINENESS)
        return self.components[rows, cols]


def find_labels(scene_path: Path, labels: Path) -> Path:
    """The label file of a scene: `labels` itself, or the file of the scene's name in the folder `labels`."""
    if not labels.is_dir():
        if not labels.exists():
            raise LabelError(f"labels {labels} do not exist")
        return labels
    candidates = [
        labels / f"{scene_path.stem}{ending}{suffix}"
        for suffix in (*SUFFIXES, *MASK_SUFFIXES)
        for ending in ("", "_mask")
    ]
    for candidate in candidates:
        if candidate.is_file() and candidate.resolve() != scene_path.resolve():
            return candidate
    raise LabelError(
        f"no labels for {scene_path.name} in {labels}: expected {scene_path.stem} with a suffix of"
        f" {', '.join(SUFFIXES)} (footprints) or {', '.join(MASK_SUFFIXES)} (mask)"
    )


def open_labels(path: Path | None, scene: Scene) -> Labels:
    """Labels of a scene from a vector file or a mask; None says that the scene has no building."""
    if path is None:
        return FootprintLabels(gpd.GeoDataFrame(geometry=[], crs=scene.crs), scene.transform)
    if path.suffix.lower() in MASK_SUFFIXES:
        return _open_mask(path, scene)
    return FootprintLabels(_open_footprints(path, scene), scene.transform)


def _open_footprints(path: Path, scene: Scene) -> gpd.GeoDataFrame:
    footprints = read_footprints(path)
    if footprints.crs is not None and scene.crs is not None:
        footprints = footprints.to_crs(scene.crs.to_wkt())
    footprints = footprints[~(footprints.geometry.is_empty | footprints.geometry.isna())]
    repaired = footprints.set_geometry(make_valid(footprints.geometry.to_numpy()), crs=footprints.crs)
    single = repaired.explode(index_parts=False)
    return single[single.geom_type == "Polygon"]


def _open_mask(path: Path, scene: Scene) -> MaskLabels:
    try:
        with rasterio.open(path) as file:
            mask = (file.read(1) > 0).astype(np.uint8)
        with rasterio.open(scene.path) as file:
            expected = file.shape
    except RasterioError as error:
        raise LabelError(f"mask {path} cannot be read: {error}") from error
    if mask.shape != expected:
        raise LabelError(f"mask {path} must have the {expected} pixels of {scene.path}; found {mask.shape}")
    fine = cv2.resize(mask, (scene.width * FINENESS, scene.height * FINENESS), interpolation=cv2.INTER_NEAREST)
    count, components = cv2.connectedComponents(fine, connectivity=4)
    if count >= UNLABELLED:
        raise LabelError(f"mask {path} has {count} separate buildings; cut it into parts of less than {UNLABELLED}")
    return MaskLabels(components.astype(np.uint16))
