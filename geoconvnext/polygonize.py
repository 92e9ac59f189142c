"""From a raster of probabilities to footprints: the vector stage alone, without a network."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd

from geoconvnext.area import Area
from geoconvnext.errors import ConfigError
from geoconvnext.raster.blend import NODATA, Probabilities
from geoconvnext.raster.probability import TOP, ProbabilityRaster
from geoconvnext.recipe import Recipe
from geoconvnext.vector.files import check_output, write_footprints
from geoconvnext.vector.rules import FootprintRules

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is, in pixels."""


@dataclass
class Drawing:
    """What became of a raster, counted as it passes by."""

    output: Path
    valid_pixels: int = 0
    highest: float = 0.0
    """Highest probability of body."""
    footprints: int = 0
    area_m2: float = 0.0
    seconds: float = 0.0

    def count_pixels(
        self, raster: ProbabilityRaster, progress: Progress = lambda *_: None
    ) -> Iterator[Probabilities]:
        """Pass the bands of a raster on."""
        done, total = 0, raster.height * raster.width
        for band in raster.bands():
            body = band[0][band[0] != NODATA]
            self.valid_pixels += body.size
            self.highest = max(self.highest, int(body.max(initial=0)) / TOP)
            yield band
            done += band[0].size
            progress("drawing footprints", done, total)

    def count_footprints(self, frames: Iterable[gpd.GeoDataFrame]) -> Iterator[gpd.GeoDataFrame]:
        """Pass footprints on."""
        for frame in frames:
            self.footprints += len(frame)
            self.area_m2 += float(frame["area_m2"].sum())
            yield frame


def polygonize(
    raster: ProbabilityRaster,
    output: Path,
    recipe: Recipe,
    *,
    area: Area | None = None,
    progress: Progress = lambda *_: None,
) -> Drawing:
    """Draw the buildings of a raster of probabilities; write their footprints to `output`.

    area: of this raster, None for all of it; only buildings that touch it are kept.
    The file appears complete or not at all. Raises GeoconvnextError.
    """
    start = time.monotonic()
    check_output(output)
    result = Drawing(output)
    frames = recipe.draw(
        result.count_pixels(raster, progress),
        height=raster.height,
        width=raster.width,
        transform=raster.transform,
        crs=raster.crs,
    )
    places = ", ".join(f"{name} {band}" for name, band in raster.places.items())
    date = datetime.now(UTC).isoformat(timespec="seconds")
    source = {"probabilities": Path(raster.path).name, "bands": f"{places} ({raster.meaning})"}
    frames = result.count_footprints(area.keep(frames) if area else frames)
    write_footprints(frames, output, provenance=source | recipe.provenance(date))
    result.seconds = time.monotonic() - start
    return result


def choose_recipe(
    raster: ProbabilityRaster,
    rules: Mapping[str, float],
    *,
    precision: float | None = None,
    gsd_m: float | None = None,
) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe in a raster's tags, else the default, with what was asked instead; and notes on it.

    rules: by their names in FootprintRules; gsd_m: of the raster, used where it has no CRS. precision: share
    of the footprints that should be right; the raster's calibration says from which confidence on.
    ConfigError: what was asked for is impossible. SceneError: the tags cannot be understood.
    """
    if gsd_m is not None and not 0 < gsd_m < math.inf:
        raise ConfigError(f"the ground sampling distance must be metres above 0, got {gsd_m}")
    stored = Recipe.from_tags(raster.tags, raster.path)
    recipe = stored or Recipe()
    recipe = replace(recipe, rules=_change(recipe.rules, rules), gsd_m=gsd_m or recipe.gsd_m)
    if precision is not None:
        if "min_confidence" in rules:
            raise ConfigError(
                "a minimal confidence and a precision were given; both say what to keep: give one"
            )
        recipe = replace(recipe, rules=_promise(recipe, precision, raster.path))
    return recipe, tuple(_notes(raster, recipe, is_stored=stored is not None))


def _change(rules: FootprintRules, changes: Mapping[str, float]) -> FootprintRules:
    """Change some rules, and what follows from them."""
    changed = dict(changes)
    if "min_area_m2" in changed:
        # A hole may not be larger than the smallest building, which could lie in it.
        changed["min_hole_m2"] = min(changed["min_area_m2"], FootprintRules.min_hole_m2)
    return replace(rules, **changed)


def _promise(recipe: Recipe, precision: float, path: str) -> FootprintRules:
    """Return the rules that keep a precision; ConfigError where none do."""
    if recipe.confidence is None:
        raise ConfigError(
            f"a precision of {precision:g} was asked for, but {path} carries no calibration: only what"
            " `geoconvnext predict` writes with calibrated weights does; give --min-confidence instead"
        )
    return replace(recipe.rules, min_confidence=recipe.confidence.threshold_for(precision))


def _notes(raster: ProbabilityRaster, recipe: Recipe, *, is_stored: bool) -> Iterator[str]:
    """Say what a user should know about how the footprints are drawn."""
    yield from raster.warnings
    if not is_stored:
        yield "not written by geoconvnext predict: default rules, confidence is the mean probability"
    if raster.crs is None:
        yield "no CRS: results are in pixel coordinates."
        if recipe.gsd_m is None:
            yield "ground sampling distance unknown: units of the georeference count as metres; state --gsd"
