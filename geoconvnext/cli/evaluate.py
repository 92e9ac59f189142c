"""`geoconvnext evaluate`: compare footprints with reference footprints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from geoconvnext.comparison import Panel
    from geoconvnext.metrics.scores import Scores

EXAMPLES = """\b
Examples:
  geoconvnext evaluate buildings.gpkg --reference truth.gpkg
  geoconvnext evaluate buildings.gpkg --reference mask.png --scenes scene.tif
  geoconvnext evaluate results/*.gpkg -r labels/ --scenes images/ --json scores.json --picture scores.png"""

MAIN = (
    *("pixel_iou", "boundary_iou", "precision", "recall", "f1", "ap50", "matched_iou"),
    *("tp", "fp", "fn"),
)
DETAILS = (
    *("ap50_95", "split_rate", "merge_rate"),
    *("c_iou", "n_ratio", "polis_m", "max_tangent_deg", "direction_deg"),
)


def evaluate(
    footprints: Annotated[list[Path], typer.Argument(help="Files of footprints.")],
    reference: Annotated[
        Path,
        typer.Option(
            "--reference", "-r", help="Reference footprints or mask, or a folder with one per file."
        ),
    ],
    scenes: Annotated[
        Path | None,
        typer.Option(help="Scene, or folder of scenes by name: both sets are clipped to its extent."),
    ] = None,
    gsd: Annotated[float, typer.Option(help="Metres per pixel of files that have no CRS.")] = 1.0,
    json: Annotated[Path | None, typer.Option(help="Write all scores to this file too (.json).")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw what is right, wrong and missed into this file (.png).")
    ] = None,
) -> None:
    """Compare footprints with reference footprints: areas, buildings one to one at IoU 0.5, and outlines.

    Below the scores of all files stand their 95% intervals (bootstrap).
    """
    from geoconvnext.cli.report import check_json, write_json
    from geoconvnext.comparison import MAX_PANELS, check_picture, draw_comparison, draw_panel
    from geoconvnext.evaluate import evaluate as run
    from geoconvnext.metrics.scores import pool

    for path, check in ((json, check_json), (picture, check_picture)):
        if path:
            check(path)
    rows: dict[str, Scores] = {}
    panels: list[Panel] = []
    for name, path in _names(footprints).items():
        scene = _scene_of(path, scenes) if scenes else None
        evaluation = run(path, reference, scene=scene, gsd_m=gsd)
        rows[name] = evaluation.scores
        if picture and len(panels) < MAX_PANELS:
            panels.append(draw_panel(name, evaluation, scene))
    if len(rows) > 1:
        rows["all"] = pool(list(rows.values()))
    _print(rows)
    if json:
        write_json(json, {name: scores.complete() for name, scores in rows.items()})
    if picture:
        draw_comparison(picture, panels, list(rows.values())[-1], scenes=len(footprints))


def _print(rows: "dict[str, Scores]") -> None:
    """Print the main scores of all rows, and the others of the last one, which is overall."""
    from geoconvnext.cli.report import print_scores

    values = {name: scores.to_dict() for name, scores in rows.items()}
    name, overall = list(rows.items())[-1]
    main = {row: {measure: scores[measure] for measure in MAIN} for row, scores in values.items()}
    print_scores(main | {"  95%": overall.intervals()})
    print()
    print_scores(overall.groups())
    print()
    print_scores({name: {measure: values[name][measure] for measure in DETAILS}})
    if not overall.is_ranked:
        print("Average precision needs numbers in a column `confidence` of all footprints.")


def _names(footprints: list[Path]) -> dict[str, Path]:
    """Files by stem, by path where that is ambiguous."""
    stems = {path.stem: path for path in footprints}
    if len(stems) == len(footprints) and "all" not in stems:
        return stems
    return {str(path): path for path in footprints}


def _scene_of(footprints: Path, scenes: Path) -> str:
    """Return the scene of a file of footprints: `scenes`, or the one of that name in the folder `scenes`."""
    from geoconvnext.cli.inputs import expand_scenes
    from geoconvnext.errors import LabelError

    if not scenes.is_dir():
        return str(scenes)
    for scene in expand_scenes([str(scenes)]):
        if Path(scene).stem == footprints.stem:
            return scene
    raise LabelError(f"{footprints} has no scene in {scenes}; expected one named {footprints.stem}")
