"""From a scene to footprints: walk its windows, ask the network, keep the answers, draw the buildings."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoconvnext import __version__
from geoconvnext.errors import ConfigError, OutputError
from geoconvnext.inference import Model, choose_view, read_confidence
from geoconvnext.model.runtime import CHANNELS
from geoconvnext.model.weights import View, WeightsInfo
from geoconvnext.output import check_file, draft, scratch_folder
from geoconvnext.raster.blend import Blender
from geoconvnext.raster.grid import STRIDE_PX, TileGrid, Window
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.raster.scene import Pixels, Scene
from geoconvnext.vector.files import check_output, write_footprints
from geoconvnext.vector.footprints import find_footprints

PROBABILITY_SUFFIXES = (".tif", ".tiff")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is, in pixels."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How scenes are read and run.

    bands: 1-based, None for red, green, blue; gsd_m: states the scene's ground sampling distance; nodata:
    replaces the declared value; scale: of the view of the weights, None for the one that suits the scene;
    tile_px, halo_px: of the windows, None for what the weights say.
    """

    bands: tuple[int, ...] | None = None
    gsd_m: float | None = None
    nodata: float | None = None
    scale: int | None = None
    tile_px: int | None = None
    halo_px: int | None = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.gsd_m is not None and not 0 < self.gsd_m < math.inf:
            raise ConfigError(f"the ground sampling distance must be metres above 0, got {self.gsd_m}")
        if self.batch_size < 1:
            raise ConfigError(f"the batch size must be 1 or more, got {self.batch_size}")


@dataclass(frozen=True)
class Prediction:
    """What became of a scene: its footprints, pixels of the network's grid, and seconds."""

    output: Path
    footprints: gpd.GeoDataFrame
    pixels: int
    valid_pixels: int
    seconds: float


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


def predict(
    scene: Scene,
    output: Path,
    model: Model,
    options: PredictOptions,
    *,
    probabilities: Path | None = None,
    progress: Progress = lambda *_: None,
) -> Prediction:
    """Find the buildings of a scene; write their footprints to `output`, and the probabilities if asked for.

    The files appear complete or not at all. Raises GeoconvnextError.
    """
    start = time.monotonic()
    check_outputs(output, probabilities)
    provenance = _provenance(scene, model, choose_view(model.info, scene.source_gsd_m, options.scale).scale)
    with scratch_folder(output) as folder:
        mosaic_path = folder / "probabilities.tif"
        valid_pixels = write_probabilities(scene, mosaic_path, model, options, progress)
        with ProbabilityMosaic.open(mosaic_path) as mosaic:
            footprints = find_in_mosaic(mosaic, scene, model, progress)
            # The probabilities move into place last, so that neither file appears without the other.
            with draft(probabilities) if probabilities else nullcontext() as cog:
                if cog:
                    mosaic.to_cog(cog)
                write_footprints(footprints, output, provenance=provenance)
    return Prediction(output, footprints, scene.height * scene.width, valid_pixels, time.monotonic() - start)


def check_outputs(output: Path, probabilities: Path | None) -> None:
    """Refuse outputs that could not be written, before any work; OutputError."""
    check_output(output)
    if probabilities:
        check_file(probabilities, PROBABILITY_SUFFIXES)


def check_overwriting(scenes: list[str], outputs: list[Path]) -> None:
    """Refuse outputs that would replace a scene, or each other; OutputError."""
    places = [path.resolve() for path in outputs]
    for output, place in zip(outputs, places, strict=True):
        if place in {Path(scene).resolve() for scene in scenes}:
            raise OutputError(f"{output} would replace the scene of that name; choose another folder")
        if places.count(place) > 1:
            raise OutputError(f"several results would be written to {output}; choose other names")


def write_probabilities(
    scene: Scene, path: Path, model: Model, options: PredictOptions, progress: Progress
) -> int:
    """Run the network over all windows with valid pixels; returns the number of the scene's valid pixels."""
    scale = choose_view(model.info, scene.source_gsd_m, options.scale).scale
    grid = _lay_grid(scene.height, scene.width, *window_size(model.info, options))
    blender = Blender(grid, scale=scale, channels=len(CHANNELS))
    valid_pixels = 0
    with ProbabilityMosaic.create(
        path,
        height=scene.height * scale,
        width=scene.width * scale,
        transform=scene.transform @ Affine.scale(1 / scale),
        crs=scene.crs,
        channels=CHANNELS,
    ) as mosaic:
        for batch in _batches(_valid_windows(scene, grid, progress), options.batch_size):
            outputs = model.runners[scale](np.stack([pixels.pixels for _, pixels in batch]))
            for (window, pixels), output in zip(batch, outputs, strict=True):
                for band in blender.add(window, output, pixels.valid):
                    mosaic.write_rows(band.row, band.probabilities)
                valid_pixels += int(_not_seen_before(pixels, window, grid).sum())
        for band in blender.finish():
            mosaic.write_rows(band.row, band.probabilities)
    return valid_pixels


def _lay_grid(height: int, width: int, tile: int, halo: int) -> TileGrid:
    """Lay windows over a scene; one that is smaller than a window gets a single window of its own size."""
    smallest = -(-max(height, width) // STRIDE_PX) * STRIDE_PX
    return TileGrid(height, width, tile, halo) if smallest > tile else TileGrid(height, width, smallest, 0)


def _valid_windows(scene: Scene, grid: TileGrid, progress: Progress) -> Iterator[tuple[Window, Pixels]]:
    size = scene.height * scene.width
    for done, window in enumerate(grid):
        progress("reading buildings", size * done // len(grid), size)
        pixels = scene.read(window)
        if pixels.valid.any():
            yield window, pixels


def _batches(windows: Iterator[tuple[Window, Pixels]], size: int) -> Iterator[list[tuple[Window, Pixels]]]:
    while batch := list(islice(windows, size)):
        yield batch


def _not_seen_before(pixels: Pixels, window: Window, grid: TileGrid) -> NDArray[np.bool_]:
    """Return the validity of that part of a window which the windows above and left of it do not cover."""
    top, left = (2 * grid.halo if start else 0 for start in (window.row, window.col))
    return pixels.valid[top:, left:]


def find_in_mosaic(
    mosaic: ProbabilityMosaic,
    scene: Scene,
    model: Model,
    progress: Progress = lambda *_: None,
    *,
    with_features: bool = False,
) -> gpd.GeoDataFrame:
    """Draw the footprints of a scene from its probabilities, in the scene's CRS; see build_footprints()."""
    scale = mosaic.width // scene.width

    def read_rows(row: int, count: int) -> NDArray[np.uint8]:
        progress("drawing footprints", row * mosaic.width, mosaic.height * mosaic.width)
        return mosaic.read(row, 0, count, mosaic.width)

    return find_footprints(
        read_rows,
        height=mosaic.height,
        width=mosaic.width,
        transform=mosaic.transform,
        crs=scene.crs.to_wkt() if scene.crs else None,
        rules=model.rules_at(scale),
        gsd_m=scene.gsd_m / scale if scene.gsd_m else None,
        confidence=read_confidence(model.info, scale),
        with_features=with_features,
    )


def _provenance(scene: Scene, model: Model, scale: int) -> dict[str, str]:
    """Say where the footprints come from; ConfigError as in Model.rules_at."""
    is_calibrated = read_confidence(model.info, scale) is not None
    meaning = "probability of being right" if is_calibrated else "mean probability of the pixels"
    return {
        "scene": Path(scene.path).name,
        "model": model.name,
        "scale": str(scale),
        "rules": ", ".join(f"{name} {value}" for name, value in asdict(model.rules_at(scale)).items()),
        "confidence": f"{meaning}, {'calibrated' if is_calibrated else 'not calibrated'}",
        "version": f"geoconvnext {__version__}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
