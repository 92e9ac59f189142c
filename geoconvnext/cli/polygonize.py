"""`geoconvnext polygonize`: building footprints of probabilities."""

import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoconvnext.cli.inputs import parse_bands
from geoconvnext.cli.options import (
    Aoi,
    Gsd,
    MinArea,
    MinConfidence,
    Nodata,
    Output,
    Precision,
    Quiet,
    Simplify,
    Threshold,
    Tolerance,
)
from geoconvnext.errors import ConfigError, SceneError

if TYPE_CHECKING:
    from geoconvnext.polygonize import Drawing
    from geoconvnext.raster.probability import ProbabilityRaster

EXAMPLES = """\b
Examples:
  geoconvnext predict scene.tif -o buildings.gpkg --probabilities p.tif
  geoconvnext polygonize p.tif -o bold.gpkg --threshold 0.3 --preview bold.png --scene scene.tif
  geoconvnext polygonize mask.tif -o buildings.gpkg --min-area 30
  geoconvnext polygonize percent.tif -o buildings.gpkg --bands 2 --max-value 100
  geoconvnext polygonize country.tif -o town.gpkg --aoi town_limits.geojson

Probabilities of `geoconvnext predict` carry its rules and calibration: without options they give the same
footprints again, but for --aoi, which must be repeated. Of other rasters the first band is the probability of
building, or those named body, edge, contact. A declared scale, offset and nodata value count; without a
scale, 1 means 1, but 255 does in 8-bit bands, unless they are masks of 0 and 1."""


def polygonize(
    probabilities: Annotated[str, typer.Argument(help="GeoTIFF or other raster of probabilities, or mask.")],
    output: Output,
    preview: Annotated[
        Path | None, typer.Option(help="Picture of the footprints over the probabilities (.png, .jpg).")
    ] = None,
    scene: Annotated[str | None, typer.Option(help="Scene for the picture, instead.")] = None,
    bands: Annotated[
        str | None, typer.Option(help="Band of body, or bands of body, edge, contact, such as 1,2,3.")
    ] = None,
    max_value: Annotated[
        float | None, typer.Option(help="Value that means probability 1, such as 100 for percent.")
    ] = None,
    gsd: Gsd = None,
    nodata: Nodata = None,
    threshold: Threshold = None,
    min_area: MinArea = None,
    tolerance: Tolerance = None,
    simplify: Simplify = None,
    min_confidence: MinConfidence = None,
    precision: Precision = None,
    aoi: Aoi = None,
    quiet: Quiet = False,
) -> None:
    """Draw the footprints of probabilities, so that thresholds can be tried without running a network."""
    # So that drafts are removed when a batch system stops the work, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen_bands = parse_bands(bands)
    _check(probabilities, output, preview, scene, aoi)

    from geoconvnext.area import Area
    from geoconvnext.cli.progress import PixelProgress
    from geoconvnext.polygonize import choose_recipe
    from geoconvnext.polygonize import polygonize as run
    from geoconvnext.raster.probability import ProbabilityRaster

    rules = {
        "body_threshold": threshold,
        "min_area_m2": min_area,
        "tolerance_m": tolerance,
        "simplify_m": simplify,
        "min_confidence": min_confidence,
    }
    asked = {name: value for name, value in rules.items() if value is not None}
    with ProbabilityRaster.open(
        probabilities, bands=chosen_bands, nodata=nodata, max_value=max_value
    ) as raster:
        recipe, notes = choose_recipe(raster, asked, precision=precision, gsd_m=gsd)
        area = Area.read(aoi, raster) if aoi else None
        backdrop = _choose_backdrop(raster, scene, nodata) if preview else None
        if not quiet:
            _introduce(raster, notes)
        with PixelProgress(quiet=quiet) as progress:
            result = run(raster, output, recipe, area=area, progress=progress)
    if not quiet:
        _report(result, aoi)
    if preview and backdrop:
        _draw(preview, backdrop, output)
        if not quiet:
            print(f"  {preview}")


def _check(
    probabilities: str, output: Path, preview: Path | None, scene: str | None, aoi: Path | None
) -> None:
    """Refuse results that could not be written, before any work."""
    from geoconvnext.output import check_places
    from geoconvnext.preview import check_preview
    from geoconvnext.vector.files import check_output

    check_output(output)
    if preview:
        check_preview(preview)
    elif scene:
        raise ConfigError(f"--scene {scene} is what --preview shows the footprints over; give both")
    check_places(filter(None, (probabilities, scene, aoi)), filter(None, (output, preview)))


@dataclass(frozen=True)
class _Backdrop:
    """What footprints are shown over; bands, nodata: as in Scene.open."""

    path: str
    bands: tuple[int, ...]
    nodata: float | None
    crs: Any


def _choose_backdrop(raster: "ProbabilityRaster", scene: str | None, nodata: float | None) -> _Backdrop:
    """Return a scene, or else the raster itself; SceneError where the one cannot lie over the other."""
    if scene is None:
        return _Backdrop(raster.path, (raster.places["body"],), nodata, raster.crs)

    from geoconvnext.raster.scene import Scene

    with Scene.open(scene) as opened:
        if (opened.crs is None) != (raster.crs is None):
            without = scene if opened.crs is None else raster.path
            raise SceneError(f"{without} has no CRS, so {scene} cannot be shown under the footprints")
        return _Backdrop(scene, tuple(opened.bands), None, opened.crs)


def _draw(preview: Path, backdrop: _Backdrop, output: Path) -> None:
    """Draw the footprints of a file."""
    from geoconvnext.preview import draw_preview
    from geoconvnext.vector.files import read_footprints

    footprints = read_footprints(output)
    if backdrop.crs:
        footprints = footprints.to_crs(backdrop.crs.to_wkt())  # GeoJSON is in degrees
    draw_preview(preview, backdrop.path, footprints, bands=backdrop.bands, nodata=backdrop.nodata)


def _introduce(raster: "ProbabilityRaster", notes: Iterable[str]) -> None:
    """Say what is read, and how."""
    metres = f" at {raster.gsd_m:.2f} m" if raster.gsd_m else ""
    places = ", ".join(f"{name} in band {band}" for name, band in raster.places.items())
    print(f"{raster.path}: {raster.width} x {raster.height} px{metres}, {places}, {raster.meaning}")
    for note in notes:
        print(f"  note: {note}", file=sys.stderr)


def _report(result: "Drawing", aoi: Path | None) -> None:
    if result.valid_pixels == 0:
        print("  the raster has no valid pixels: the layer is empty")
    elif not result.footprints and aoi:
        print(f"  no buildings found that touch the features of {aoi}: the layer is empty")
    elif not result.footprints:
        print(f"  no buildings found: the layer is empty; the highest probability is {result.highest:.2f}")
    speed = result.valid_pixels / 1e6 / result.seconds
    found = f"{result.footprints} buildings, {result.area_m2:,.0f} m2"
    print(f"  {found}, in {result.seconds:.1f} s ({speed:.1f} Mpx/s)")
    print(f"  {result.output}")
