"""`geoconvnext predict`: building footprints of scenes."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geoconvnext.cli.inputs import expand_scenes, parse_bands
from geoconvnext.cli.options import (
    Aoi,
    Gsd,
    MinArea,
    MinConfidence,
    Nodata,
    Precision,
    Quiet,
    Simplify,
    Threshold,
    Tolerance,
)
from geoconvnext.errors import GeoconvnextError, OutputError

if TYPE_CHECKING:
    from geoconvnext.inference import Model
    from geoconvnext.model.weights import View
    from geoconvnext.predict import Prediction
    from geoconvnext.raster.scene import Scene
    from geoconvnext.scenes import PredictOptions

EXAMPLES = """\b
Examples:
  geoconvnext predict scene.tif -o buildings.gpkg --preview buildings.png
  geoconvnext predict scenes/ -o results/
  geoconvnext predict worldview.tif -o b.parquet --bands 5,3,2 --probabilities p.tif
  geoconvnext predict scene.tif -o sure.gpkg --precision 0.5
  geoconvnext predict country.vrt -o town.gpkg --aoi town_limits.geojson

A run that was stopped or killed goes on where it was: give the same command again."""


def predict(
    scenes: Annotated[
        list[str], typer.Argument(help="GeoTIFFs or other rasters: files, folders, globs, addresses.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File (.gpkg, .parquet, .fgb, .geojson, .shp); a folder for several scenes.",
        ),
    ],
    weights: Annotated[
        Path | None, typer.Option(help="Weights of `geoconvnext train` (default: those shipped).")
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            help="Picture of the footprints over the scene (.png, .jpg); a folder for several scenes."
        ),
    ] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(help="Probabilities of body, edge, contact (COG, .tif); a folder for several scenes."),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Bands to use as red, green, blue, such as 5,3,2.")
    ] = None,
    gsd: Gsd = None,
    nodata: Nodata = None,
    threshold: Threshold = None,
    min_area: MinArea = None,
    tolerance: Tolerance = None,
    simplify: Simplify = None,
    min_confidence: MinConfidence = None,
    precision: Precision = None,
    scale: Annotated[
        int | None,
        typer.Option(help="Mask pixels per pixel, one of the weights' views (default: what suits)."),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
    dtype: Annotated[Literal["auto", "bf16", "fp32"], typer.Option(help="Numbers to compute in.")] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows run at once.")] = None,
    tile_size: Annotated[int | None, typer.Option(help="Side of a window (px), a multiple of 32.")] = None,
    halo: Annotated[
        int | None, typer.Option(help="Overlap of a window on each side (px), a multiple of 32.")
    ] = None,
    aoi: Aoi = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh where an interrupted run could go on.")
    ] = False,
    tta: Annotated[
        bool, typer.Option("--tta", help="Mean over flips and rotations: 8 times the work, a little better.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that share a scene (default: one per GPU).")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Find the buildings of scenes and write their footprints."""
    # So that drafts are removed when a batch system stops the work, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen_bands = parse_bands(bands)
    jobs = _plan(expand_scenes(scenes), output, preview, probabilities)
    _check(jobs, aoi)

    import torch

    from geoconvnext.inference import candidate_views, load_model
    from geoconvnext.model.runtime import choose_placement
    from geoconvnext.scenes import PredictOptions, window_size

    placement = choose_placement(device, dtype)
    model = load_model(
        weights,
        placement,
        body_threshold=threshold,
        min_area_m2=min_area,
        tolerance_m=tolerance,
        simplify_m=simplify,
        min_confidence=min_confidence,
        precision=precision,
        tta=tta,
    )
    options = PredictOptions(
        bands=chosen_bands,
        gsd_m=gsd,
        nodata=nodata,
        scale=scale,
        tile_px=tile_size,
        halo_px=halo,
        aoi=aoi,
        batch_size=batch_size,
        workers=workers or (torch.cuda.device_count() if placement.device.type == "cuda" else 1),
    )
    window_size(model.info, options)
    candidate_views(model.info, scale)
    if not quiet:
        print(f"{model.name} on {placement.describe()}")
    _predict_all(jobs, model, options, overwrite=overwrite, quiet=quiet)


@dataclass(frozen=True)
class _Job:
    """A scene and where its results go."""

    scene: str
    output: Path
    preview: Path | None
    probabilities: Path | None


def _plan(
    scenes: Sequence[str], output: Path, preview: Path | None, probabilities: Path | None
) -> list[_Job]:
    """Give each scene its results."""
    stems = [Path(scene).stem for scene in scenes]
    for stem in stems:
        if stems.count(stem) > 1:
            raise OutputError(
                f"several scenes are named {stem}, and so would be their results; run them one by one"
            )
    return [
        _Job(
            scene,
            _place(output, f"{stem}.gpkg", among=len(scenes)),
            _place(preview, f"{stem}.png", among=len(scenes)) if preview else None,
            _place(probabilities, f"{stem}.tif", among=len(scenes)) if probabilities else None,
        )
        for scene, stem in zip(scenes, stems, strict=True)
    ]


def _place(path: Path, name: str, *, among: int) -> Path:
    """Return `path` itself where it is to be a file, else a name in that folder."""
    if path.is_dir() or not path.suffix:
        return path / name
    if among > 1:
        raise OutputError(f"{path} is one file, but there are {among} scenes; name a folder")
    return path


def _check(jobs: Sequence[_Job], aoi: Path | None) -> None:
    """Refuse, before any work, results that could not be written or would replace what is read."""
    from geoconvnext.output import check_places
    from geoconvnext.predict import check_outputs
    from geoconvnext.preview import check_preview

    for job in jobs:
        check_outputs(job.output, job.probabilities)
        if job.preview:
            check_preview(job.preview)
    results = [path for job in jobs for path in (job.output, job.preview, job.probabilities) if path]
    check_places([*(job.scene for job in jobs), *([aoi] if aoi else [])], results)


def _predict_all(
    jobs: Sequence[_Job], model: "Model", options: "PredictOptions", *, overwrite: bool, quiet: bool
) -> None:
    """Do all jobs, even if some fail; raises GeoconvnextError then."""
    failed = []
    for job in jobs:
        try:
            _predict_one(job, model, options, overwrite=overwrite, quiet=quiet)
        except GeoconvnextError as error:
            if len(jobs) == 1:
                raise
            print(f"Error: {job.scene}: {error}", file=sys.stderr)
            failed.append(job.scene)
    if failed:
        raise GeoconvnextError(
            f"{len(failed)} of {len(jobs)} scenes failed, the others are done: {', '.join(failed)}"
        )


def _predict_one(
    job: _Job, model: "Model", options: "PredictOptions", *, overwrite: bool, quiet: bool
) -> None:
    from geoconvnext.cli.progress import PixelProgress
    from geoconvnext.inference import choose_view
    from geoconvnext.predict import predict as run
    from geoconvnext.scenes import open_scene

    with open_scene(job.scene, model.info, options) as scene:
        if not quiet:
            view = choose_view(model.info, scene.source_gsd_m, options.scale)
            _introduce(scene, None if view == model.info.views[0] else view)
        with PixelProgress(quiet=quiet) as progress:
            result = run(
                scene,
                job.output,
                model,
                options,
                probabilities=job.probabilities,
                overwrite=overwrite,
                progress=progress,
                say=progress.say,
            )
        if not quiet:
            _report(result, job)
        if job.preview:
            _draw(job, scene, options.nodata)
            if not quiet:
                print(f"  {job.preview}")


def _draw(job: _Job, scene: "Scene", nodata: float | None) -> None:
    """Draw the footprints of a file over their scene."""
    from geoconvnext.preview import draw_preview
    from geoconvnext.vector.files import read_footprints

    footprints = read_footprints(job.output)
    if scene.crs:
        footprints = footprints.to_crs(scene.crs.to_wkt())  # GeoJSON is in degrees
    assert job.preview
    draw_preview(job.preview, job.scene, footprints, bands=tuple(scene.bands), nodata=nodata)


def _introduce(scene: "Scene", other_view: "View | None") -> None:
    """Say what is read, and in which view if it is not the weights' first one."""
    metres = f" at {scene.gsd_m:.2f} m" if scene.gsd_m else ""
    bands = ",".join(map(str, scene.bands))
    line = f"{scene.path}: {scene.width} x {scene.height} px{metres}, bands {bands}"
    if other_view:
        finest, coarsest = other_view.gsd_range_m
        line += f", in the view for {finest:g} to {coarsest:g} m (mask {other_view.scale} x as fine)"
    print(line)
    for warning in scene.warnings:
        print(f"  note: {warning}", file=sys.stderr)


def _report(result: "Prediction", job: _Job) -> None:
    if result.valid_pixels == 0:
        print("  the scene has no valid pixels: the layer is empty")
    elif not result.footprints:
        print("  no buildings found: the layer is empty")
    speed = result.valid_pixels / 1e6 / result.seconds
    found = f"{result.footprints} buildings, {result.area_m2:,.0f} m2"
    print(f"  {found}, in {result.seconds:.1f} s ({speed:.1f} Mpx/s)")
    for path in (job.output, job.probabilities):
        if path:
            print(f"  {path}")
