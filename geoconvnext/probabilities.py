"""From a scene to bands of probabilities, by way of strips that survive a killed run."""

import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoconvnext.ahead import ahead
from geoconvnext.area import Area
from geoconvnext.inference import Model, choose_view
from geoconvnext.model.runtime import CHANNELS, Engine, Runner
from geoconvnext.raster.blend import NODATA, Probabilities
from geoconvnext.raster.grid import STRIDE_PX, Window
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.raster.scene import Scene
from geoconvnext.raster.strips import Strips, blend_strips
from geoconvnext.scenes import PredictOptions, window_size
from geoconvnext.walk import compute_strips, lay_grid

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is, in pixels."""

WIDEST_PX = 2**27
"""Tile rows of more pixels are not chosen: they would take half a gigabyte of memory."""
SAMPLE_PX = 256
"""Side of the windows on which a network's precision is checked."""


@dataclass(frozen=True)
class Plan:
    """How a network walks over a scene; what a resumed run must not choose anew.

    dtype, engine: how the network runs, None for one that gives no choice.
    """

    scale: int
    tile: int
    halo: int
    batch_size: int
    dtype: str | None = None
    engine: Engine | None = None

    def describe(self) -> str:
        """One line for the user."""
        how = [
            self.dtype,
            {"amx": "AMX", "avx512": "AVX-512", "plain": "not compiled"}.get(self.engine or "", self.engine),
        ]
        return ", ".join([f"windows of {self.tile} px, halo {self.halo} px", *filter(None, how)])

    def strips(self, scene: Scene, folder: Path, body_level: int | None = None) -> Strips:
        """Name the strips of a scene in a folder; see Strips."""
        grid = lay_grid(scene.height, scene.width, self.tile, self.halo)
        return Strips(folder, grid, self.scale, len(CHANNELS), body_level)


def make_plan(scene: Scene, model: Model, options: PredictOptions) -> Plan:
    """Choose what the options leave open: the fastest windows, where the result does not depend on them."""
    scale = choose_view(model.info, scene.source_gsd_m, options.scale).scale
    tile, halo = window_size(model.info, options)
    runner, batch_size = model.runners[scale], 1
    if isinstance(runner, Runner) and options.tile_px is None and model.info.spec.tile_local:
        fastest, batch_size = runner.choose_windows(scene.height, scene.width, halo)
        tile = fastest if fastest * scene.width <= WIDEST_PX else min(tile, fastest)
    return Plan(scale, tile, halo, options.batch_size or batch_size)


def prepare(scene: Scene, model: Model, plan: Plan, say: Callable[[str], object]) -> Plan:
    """Check the network's precision on samples of the scene and compile it, or as the plan says already.

    say: gets lines for the user.
    """
    runner = model.runners[plan.scale]
    if not isinstance(runner, Runner):
        return plan
    if plan.dtype is None:
        sample = _sample(scene)
        if sample is not None and (message := runner.verify(sample, model.rules.body_level)):
            say(message)
    else:
        runner.use(plan.dtype)
    grid = lay_grid(scene.height, scene.width, plan.tile, plan.halo)
    runner.prepare(grid.tile, plan.batch_size, len(grid), say, engine=plan.engine)
    return replace(plan, dtype=runner.dtype, engine=runner.engine)


def _sample(scene: Scene) -> NDArray[np.uint8] | None:
    """Read windows from the middle and from two corners' quarters that hold data, None where none does."""
    side = min(SAMPLE_PX, -(-max(scene.height, scene.width) // STRIDE_PX) * STRIDE_PX)
    found = []
    for share in (0.5, 0.25, 0.75):
        row, col = (max(0, int(share * (extent - side))) for extent in (scene.height, scene.width))
        pixels = scene.read(Window(row, col, side, side))
        if pixels.valid.any():
            found.append(pixels.pixels)
    return np.stack(found) if found else None


def run_strips(
    scene: Scene,
    strips: Strips,
    numbers: Sequence[int],
    model: Model,
    plan: Plan,
    area: Area | None = None,
    progress: Progress = lambda *_: None,
) -> Generator[int]:
    """Compute strips by their numbers, ahead of who takes them; yields each number as its strip is done.

    area: only windows that show some of it are run, the rest is nodata. Raises GeoconvnextError.
    """
    size, per_strip = scene.height * scene.width, len(strips.grid.col_starts)
    behind = (len(strips) - len(numbers)) * per_strip
    work = compute_strips(
        scene,
        strips,
        numbers,
        runner.stream if isinstance(runner := model.runners[plan.scale], Runner) else partial(map, runner),
        batch_size=plan.batch_size,
        is_wanted=area.touches if area else lambda _: True,
        progress=lambda done: progress("finding buildings", size * (behind + done) // len(strips.grid), size),
    )
    return ahead(work, 1)


def create_mosaic(
    path: Path, scene: Scene, strips: Strips, tags: Mapping[str, str] | None = None
) -> ProbabilityMosaic:
    """Begin a raster for the bands of a scene, with tags that tell of it. Raises OutputError."""
    return ProbabilityMosaic.create(
        path,
        height=scene.height * strips.scale,
        width=strips.width,
        transform=scene.transform @ Affine.scale(1 / strips.scale),
        crs=scene.crs,
        channels=CHANNELS,
        tags=tags,
    )


def write_probabilities(
    scene: Scene, path: Path, model: Model, options: PredictOptions, progress: Progress = lambda *_: None
) -> int:
    """Write all probabilities of a scene as a raster; returns the number of its valid pixels."""
    plan = make_plan(scene, model, options)
    row = valid_pixels = 0
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        strips = plan.strips(scene, Path(folder))
        work = run_strips(scene, strips, range(len(strips)), model, plan, progress=progress)
        with create_mosaic(path, scene, strips) as mosaic, closing(work):
            for band in blend_strips(strips, work):
                mosaic.write_rows(row, band)
                row += band.shape[1]
                valid_pixels += count_valid(band, plan.scale)
    return valid_pixels


def count_valid(band: Probabilities, scale: int) -> int:
    """Count the pixels of the scene that have data in a band."""
    return int(np.count_nonzero(band[0, ::scale, ::scale] != NODATA))
