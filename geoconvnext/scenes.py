"""Opening a scene as a network wants to see it."""

import math
from dataclasses import dataclass
from pathlib import Path

from geoconvnext.errors import ConfigError
from geoconvnext.inference import choose_view
from geoconvnext.model.weights import View, WeightsInfo
from geoconvnext.raster.grid import TileGrid
from geoconvnext.raster.scene import Scene


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How scenes are read and run.

    bands: 1-based, None for red, green, blue; gsd_m: states the scene's ground sampling distance; nodata:
    replaces the declared value; scale: of the view of the weights, None for the one that suits the scene;
    tile_px, halo_px, batch_size: of the windows, None for what is fastest or the weights say; aoi: vector
    file, only buildings that touch its features count; workers: processes that share a scene.
    """

    bands: tuple[int, ...] | None = None
    gsd_m: float | None = None
    nodata: float | None = None
    scale: int | None = None
    tile_px: int | None = None
    halo_px: int | None = None
    aoi: Path | None = None
    batch_size: int | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.gsd_m is not None and not 0 < self.gsd_m < math.inf:
            raise ConfigError(f"the ground sampling distance must be metres above 0, got {self.gsd_m}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"the batch size must be 1 or more, got {self.batch_size}")
        if self.workers < 1:
            raise ConfigError(f"workers must be 1 or more, got {self.workers}")


def open_scene(path: str, info: WeightsInfo, options: PredictOptions) -> Scene:
    """Open a scene on the grid of the view that choose_view() gives for it."""
    first = choose_view(info, options.gsd_m, options.scale)
    scene = _open_in(path, first, info, options)
    view = choose_view(info, scene.source_gsd_m, options.scale)
    if view == first:
        return scene
    scene.close()
    return _open_in(path, view, info, options)


def _open_in(path: str, view: View, info: WeightsInfo, options: PredictOptions) -> Scene:
    return Scene.open(
        path,
        bands=options.bands,
        band_count=info.spec.bands,
        gsd_range_m=view.gsd_range_m,
        gsd_m=options.gsd_m,
        nodata=options.nodata,
    )


def window_size(info: WeightsInfo, options: PredictOptions) -> tuple[int, int]:
    """Tile and halo of the windows in pixels; ConfigError where the network cannot be run in such windows."""
    tile = info.tile if options.tile_px is None else options.tile_px
    halo = info.halo if options.halo_px is None else options.halo_px
    try:
        TileGrid(1, 1, tile, halo)
    except ValueError as error:
        raise ConfigError(
            f"windows of {tile} px with a halo of {halo} px are not possible: {error};"
            f" the weights were made for {info.tile} and {info.halo}"
        ) from error
    return tile, halo
