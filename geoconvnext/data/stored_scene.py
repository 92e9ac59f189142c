"""Scenes without labels, kept in memory on the finest grid that is wanted of them, without areas left out."""

import os
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from pyproj.exceptions import ProjError

from geoconvnext.data.cleaning import parts_of
from geoconvnext.data.labels import Areas
from geoconvnext.errors import LabelError, SceneError
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Pixels, Scene
from geoconvnext.vector.files import read_footprints

MARGIN_PX = 2
"""Pixels around a window from which resampling may take something."""
STRIP_PX = 1024
"""Rows that are read at once while a scene is loaded, to bound the memory of its native pixels."""


def read_left_out(path: Path) -> gpd.GeoDataFrame:
    """Read areas for StoredScene from a vector file; LabelError where it cannot be read or has no CRS."""
    table = read_footprints(path)
    if not isinstance(table, gpd.GeoDataFrame) or table.crs is None:
        raise LabelError(f"leave_out {path} has no CRS, so nobody knows where it lies; state it in the file")
    return table[~(table.geometry.is_empty | table.geometry.isna())]


class StoredScene:
    """A scene on the finest grid that is wanted of it, in memory once loaded.

    known: pixels with data, of a scene that is not loaded all; left_out: areas that no window may touch.
    SceneError: the scene cannot be read, or its ground sampling distance is unknown.
    """

    def __init__(
        self, path: str, *, bands: int, gsd_range_m: tuple[float, float], left_out: gpd.GeoDataFrame | None
    ) -> None:
        self.path, self._bands, self._gsd_range_m = path, bands, gsd_range_m
        with self._open() as scene:
            if scene.gsd_m is None:
                raise SceneError(f"{path}: its ground sampling distance is unknown, it has no georeference")
            self.height, self.width, self.gsd_m = scene.height, scene.width, float(scene.gsd_m)
            self._areas = None if left_out is None else _place(left_out, scene)
        self.known = self.height * self.width
        self._loaded: Pixels | None = None
        self._opened: tuple[int, Scene] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker's process without the open file."""
        return {**vars(self), "_opened": None}

    @property
    def size_bytes(self) -> int:
        """Memory that it takes when loaded."""
        return self.height * self.width * (self._bands + 1)

    def load(self) -> None:
        """Read all of it into memory; SceneError where the file is damaged."""
        pixels = np.empty((self._bands, self.height, self.width), np.uint8)
        valid = np.empty((self.height, self.width), np.bool_)
        with self._open() as scene:
            for top in range(0, self.height, STRIP_PX):
                bottom = min(top + STRIP_PX, self.height)
                strip = scene.read(Window(top, 0, bottom - top, self.width))
                pixels[:, top:bottom], valid[top:bottom] = strip.pixels, strip.valid
        self._loaded, self.known = Pixels(pixels, valid), int(valid.sum())

    def is_free(self, window: Window) -> bool:
        """Whether nothing that is left out lies in or next to a window."""
        if self._areas is None:
            return True
        top, left = window.row - MARGIN_PX, window.col - MARGIN_PX
        around = Window(top, left, window.height + 2 * MARGIN_PX, window.width + 2 * MARGIN_PX)
        return not len(self._areas.reaching(around))

    def read(self, window: Window) -> Pixels:
        """Read a window inside the scene; SceneError where the file is damaged."""
        if self._loaded is None:
            return self._stay_open().read(window)
        rows = slice(window.row, window.row + window.height)
        cols = slice(window.col, window.col + window.width)
        return Pixels(self._loaded.pixels[:, rows, cols], self._loaded.valid[rows, cols])

    def _open(self) -> Scene:
        return Scene.open(self.path, band_count=self._bands, gsd_range_m=self._gsd_range_m)

    def _stay_open(self) -> Scene:
        """Open once in each process: a file that was open when a worker was forked cannot be shared."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._open()
        return self._opened[1]


def _place(table: gpd.GeoDataFrame, scene: Scene) -> Areas:
    """Polygons of the table in the CRS of a scene."""
    try:
        shapes = table.to_crs(scene.crs.to_wkt()).geometry.to_numpy()
    except ProjError as error:
        raise LabelError(f"leave_out cannot be brought to the CRS of {scene.path}: {error}") from error
    # What has no place in the scene's CRS has infinite coordinates now.
    return Areas(parts_of(shapes[np.isfinite(shapely.bounds(shapes)).all(axis=1)]), scene.transform)
