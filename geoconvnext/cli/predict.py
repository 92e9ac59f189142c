"""`geoconvnext predict`: building footprints of scenes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from geoconvnext.predict import Model, PredictOptions

EXAMPLES = (
    "Examples:  geoconvnext predict scene.tif -o buildings.gpkg --preview buildings.png   |   "
    "geoconvnext predict scenes/ -o results/   |   "
    "geoconvnext predict worldview.tif -o b.parquet --bands 5,3,2 --probabilities p.tif"
)


def predict(
    scenes: Annotated[list[str], typer.Argument(help="GeoTIFFs or other rasters: files, folders, globs, addresses.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File (.gpkg, .parquet, .fgb, .geojson, .shp); a folder for several scenes."),
    ],
    weights: Annotated[Path | None, typer.Option(help="Weights of `geoconvnext train` (default: those shipped).")] = None,
    preview: Annotated[Path | None, typer.Option(help="Picture of the footprints over the scene (.png, .jpg).")] = None,
    probabilities: Annotated[Path | None, typer.Option(help="Probabilities of body, edge, contact (COG, .tif).")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands to use as red, green, blue, such as 5,3,2.")] = None,
    gsd: Annotated[float | None, typer.Option(help="Ground sampling distance (m) of scenes that do not know it.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Value of pixels without data, instead of the declared one.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Probability from which a pixel is building.")] = None,
    min_area: Annotated[float | None, typer.Option(help="Smallest building (m2).")] = None,
    simplify: Annotated[float | None, typer.Option(help="Tolerance of the outlines (m); 0 keeps every vertex.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows run at once.")] = None,
    tile_size: Annotated[int | None, typer.Option(help="Side of a window (px), a multiple of 32.")] = None,
    halo: Annotated[int | None, typer.Option(help="Overlap of a window on each side (px), a multiple of 32.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Find the buildings of scenes and write their footprints."""
    from geoconvnext.cli.inputs import expand_scenes, parse_bands
    from geoconvnext.errors import GeoconvnextError
    from geoconvnext.model.runtime import choose_placement
    from geoconvnext.predict import PredictOptions, load_model

    jobs = _jobs(expand_scenes(scenes), output, preview, probabilities)
    placement = choose_placement(device, precision)
    model = load_model(weights, placement, body_threshold=threshold, min_area_m2=min_area, simplify_m=simplify)
    options = PredictOptions(
        bands=parse_bands(bands),
        gsd_m=gsd,
        nodata=nodata,
        tile_px=tile_size,
        halo_px=halo,
        batch_size=batch_size or (1 if placement.device.type == "cpu" else 8),
    )
    if not quiet:
        print(f"{model.name} on {placement.describe()}")
    failed = []
    for scene, paths in jobs.items():
        try:
            _predict_one(scene, paths, model, options, quiet=quiet)
        except GeoconvnextError as error:
            if len(jobs) == 1:
                raise
            print(f"Error: {scene}: {error}", file=sys.stderr)
            failed.append(scene)
    if failed:
        raise GeoconvnextError(f"{len(failed)} of {len(jobs)} scenes failed, the others are done: {', '.join(failed)}")


Paths = tuple[Path, Path | None, Path | None]


def _jobs(scenes: list[str], output: Path, preview: Path | None, probabilities: Path | None) -> dict[str, Paths]:
    """Output, preview and probabilities of each scene; all checked before any work."""
    from geoconvnext.errors import OutputError
    from geoconvnext.predict import check_outputs
    from geoconvnext.preview import check_preview

    jobs: dict[str, Paths]
    if len(scenes) == 1 and output.suffix and not output.is_dir():
        jobs = {scenes[0]: (output, preview, probabilities)}
    else:
        stems = [Path(scene).stem for scene in scenes]
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        if twice or (output.suffix and not output.is_dir()):
            reason = f"several scenes are named {twice[0]}" if twice else f"{output} is one file"
            raise OutputError(f"{len(scenes)} scenes need a folder and names of their own: {reason}")
        for folder in (output, preview, probabilities):
            if folder:
                _make_folder(folder)
        jobs = {
            scene: (
                output / f"{stem}.gpkg",
                preview and preview / f"{stem}.png",
                probabilities and probabilities / f"{stem}.tif",
            )
            for scene, stem in zip(scenes, stems, strict=True)
        }
    for footprints, picture, raster in jobs.values():
        check_outputs(footprints, raster)
        if picture:
            check_preview(picture)
    return jobs


def _make_folder(path: Path) -> None:
    from geoconvnext.errors import OutputError

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error}") from error


def _predict_one(scene_path: str, paths: Paths, model: Model, options: PredictOptions, *, quiet: bool) -> None:
    from geoconvnext.cli.progress import PixelProgress
    from geoconvnext.predict import open_scene
    from geoconvnext.predict import predict as run
    from geoconvnext.preview import draw_preview

    output, preview, probabilities = paths
    with open_scene(scene_path, model.info, options) as scene:
        if not quiet:
            _introduce(scene_path, scene)
        with PixelProgress(quiet=quiet) as progress:
            result = run(scene, output, model, options, probabilities=probabilities, progress=progress)
        bands = tuple(scene.bands)
    if preview:
        draw_preview(preview, scene_path, result.footprints, bands=bands)
    if not quiet:
        _report(result, preview, probabilities)


def _introduce(path: str, scene: object) -> None:
    from geoconvnext.raster.scene import Scene

    assert isinstance(scene, Scene)
    grid = f"{scene.width} x {scene.height} px"
    metres = f" at {scene.gsd_m:.2f} m" if scene.gsd_m else ""
    print(f"{path}: {grid}{metres}, bands {','.join(map(str, scene.bands))}")
    for warning in scene.warnings:
        print(f"  note: {warning}", file=sys.stderr)


def _report(result: object, *pictures: Path | None) -> None:
    from geoconvnext.predict import Prediction

    assert isinstance(result, Prediction)
    if result.valid_pixels == 0:
        print("  the scene has no valid pixels: the layer is empty")
    count, area = len(result.footprints), result.footprints["area_m2"].sum()
    speed = result.valid_pixels / 1e6 / result.seconds
    print(f"  {count} buildings, {area:,.0f} m2, in {result.seconds:.1f} s ({speed:.1f} Mpx/s)")
    for path in (result.output, *pictures):
        if path:
            print(f"  {path}")
