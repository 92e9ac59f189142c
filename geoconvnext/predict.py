"""From a scene to footprints: walk its windows, ask the network, keep the answers, draw the buildings."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
from affine import Affine

from geoconvnext import __version__
from geoconvnext.area import Area
from geoconvnext.inference import Model, read_confidence
from geoconvnext.journal import Facts, open_journal
from geoconvnext.output import check_file, draft, remove_scratch
from geoconvnext.probabilities import (
    Plan,
    Progress,
    count_valid,
    create_mosaic,
    make_plan,
    prepare,
    run_strips,
)
from geoconvnext.raster.blend import Probabilities
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.raster.scene import Scene
from geoconvnext.raster.strips import Strips, blend_strips
from geoconvnext.recipe import Recipe
from geoconvnext.scenes import PredictOptions
from geoconvnext.vector.files import check_output, write_footprints
from geoconvnext.workers import share_strips

PROBABILITY_SUFFIXES = (".tif", ".tiff")


@dataclass
class Prediction:
    """What became of a scene, counted as it passes by; pixels are those of the network's grid."""

    output: Path
    pixels: int
    valid_pixels: int = 0
    footprints: int = 0
    area_m2: float = 0.0
    seconds: float = 0.0

    def count_pixels(self, bands: Iterable[Probabilities], scale: int) -> Iterator[Probabilities]:
        """Pass bands on."""
        for band in bands:
            self.valid_pixels += count_valid(band, scale)
            yield band

    def count_footprints(self, frames: Iterable[gpd.GeoDataFrame]) -> Iterator[gpd.GeoDataFrame]:
        """Pass footprints on."""
        for frame in frames:
            self.footprints += len(frame)
            self.area_m2 += float(frame["area_m2"].sum())
            yield frame


def predict(
    scene: Scene,
    output: Path,
    model: Model,
    options: PredictOptions,
    *,
    probabilities: Path | None = None,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
    say: Callable[[str], object] = lambda _: None,
) -> Prediction:
    """Find the buildings of a scene; write their footprints to `output`, and the probabilities if asked for.

    The files appear complete or not at all. A run that was interrupted is continued, unless `overwrite`.
    say: gets what a user should know of how it runs. Raises GeoconvnextError.
    """
    start = time.monotonic()
    check_outputs(output, probabilities)
    area = Area.read(options.aoi, scene) if options.aoi else None
    result = Prediction(output, scene.height * scene.width)
    with open_journal(output, _asked(scene, model, options, probabilities), overwrite=overwrite) as journal:
        for path in filter(None, (output, probabilities)):
            remove_scratch(path)
        chosen = journal.chosen()
        plan = Plan(**chosen) if chosen else make_plan(scene, model, options)
        recipe = _recipe(scene, model, plan.scale)
        plan = prepare(scene, model, plan, say)
        journal.choose(asdict(plan))
        strips = plan.strips(scene, journal.folder, None if probabilities else model.rules.body_level)
        missing = [number for number in range(len(strips)) if not strips.is_done(number)]
        say(f"{plan.describe()}{_resumed(len(strips) - len(missing), len(strips))}")
        task = scene, strips, missing, model, plan
        alone = min(options.workers, len(missing)) <= 1
        work = run_strips(*task, area, progress) if alone else share_strips(*task, options, progress)
        with draft(probabilities) if probabilities else nullcontext() as cog, closing(work):
            bands = result.count_pixels(blend_strips(strips, work), plan.scale)
            kept = _keep(bands, scene, strips, cog, recipe.to_tags()) if cog else bands
            frames = _footprints(kept, scene, recipe, plan.scale)
            frames = result.count_footprints(area.keep(frames) if area else frames)
            write_footprints(frames, output, provenance=recipe.provenance(journal.started))
    result.seconds = time.monotonic() - start
    return result


def _resumed(done: int, total: int) -> str:
    return f"; going on with {done} of {total} strips done" if done else ""


def _keep(
    bands: Iterable[Probabilities], scene: Scene, strips: Strips, cog: Path, tags: Mapping[str, str]
) -> Iterator[Probabilities]:
    """Pass bands on, and write them to a cloud-optimised GeoTIFF before the last footprints are drawn."""
    path, row = strips.folder / "probabilities.tif", 0
    with create_mosaic(path, scene, strips, tags) as mosaic:
        for band in bands:
            mosaic.write_rows(row, band)
            row += band.shape[1]
            yield band
    with ProbabilityMosaic.open(path) as mosaic:
        mosaic.to_cog(cog)


def check_outputs(output: Path, probabilities: Path | None) -> None:
    """Refuse outputs that could not be written, before any work; OutputError."""
    check_output(output)
    if probabilities:
        check_file(probabilities, PROBABILITY_SUFFIXES)


def find_in_mosaic(
    mosaic: ProbabilityMosaic, scene: Scene, model: Model, *, with_features: bool = False
) -> gpd.GeoDataFrame:
    """Draw the footprints of a scene from its probabilities, in the scene's CRS; see stream_footprints()."""
    scale = mosaic.width // scene.width
    recipe = _recipe(scene, model, scale)
    frames = _footprints(mosaic.bands(), scene, recipe, scale, with_features=with_features)
    return pd.concat(list(frames), ignore_index=True)


def _footprints(
    bands: Iterable[Probabilities], scene: Scene, recipe: Recipe, scale: int, *, with_features: bool = False
) -> Iterator[gpd.GeoDataFrame]:
    return recipe.draw(
        bands,
        height=scene.height * scale,
        width=scene.width * scale,
        transform=scene.transform @ Affine.scale(1 / scale),
        crs=scene.crs,
        with_features=with_features,
    )


def _recipe(scene: Scene, model: Model, scale: int) -> Recipe:
    """Say how the footprints are drawn; ConfigError as in Model.rules_at."""
    return Recipe(
        rules=model.rules_at(scale),
        confidence=read_confidence(model.info, scale),
        gsd_m=scene.gsd_m / scale if scene.gsd_m else None,
        origin={"scene": Path(scene.path).name, "model": model.name, "scale": str(scale)},
    )


def _asked(scene: Scene, model: Model, options: PredictOptions, probabilities: Path | None) -> Facts:
    """All that a result depends on, as text."""
    facts = {
        "scene": _stamp(scene.path),
        "weights": f"{model.name} {model.digest}",
        **{name: value for name, value in asdict(options).items() if name != "workers"},
        "aoi": _stamp(str(options.aoi)) if options.aoi else None,
        "precision": model.precision,
        "probabilities": "kept" if probabilities else None,
        "tta": model.tta,
        **asdict(model.rules),
        "version": __version__,
    }
    return {
        name.replace("_", " "): "not given" if value is None else str(value) for name, value in facts.items()
    }


def _stamp(path: str) -> str:
    """Name a file and its state; of what is no file (an address) the name alone is known."""
    try:
        state = Path(path).stat()
    except OSError:
        return path
    changed = datetime.fromtimestamp(state.st_mtime, UTC).isoformat()
    return f"{Path(path).absolute()} ({state.st_size} bytes, changed {changed})"
