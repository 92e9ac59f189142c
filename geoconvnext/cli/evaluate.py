"""`geoconvnext evaluate`: compare footprints with reference footprints."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  geoconvnext evaluate buildings.gpkg --reference truth.gpkg
  geoconvnext evaluate buildings.gpkg --reference mask.png --scenes scene.tif
  geoconvnext evaluate results/*.gpkg --reference labels/ --scenes images/ --json scores.json"""


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
    json: Annotated[Path | None, typer.Option(help="Write the scores to this file too (.json).")] = None,
) -> None:
    """Compare footprints with reference footprints: objects at IoU 0.5 one to one, and pixel IoU."""
    from geoconvnext.cli.report import check_json, print_scores, write_json
    from geoconvnext.evaluate import Scores
    from geoconvnext.evaluate import evaluate as run

    if json:
        check_json(json)
    names = _names(footprints)
    rows = {
        name: run(path, reference, scene=_scene_of(path, scenes) if scenes else None)
        for name, path in names.items()
    }
    if len(rows) > 1:
        rows["all"] = sum(rows.values(), Scores())
    scores = {name: row.to_dict() for name, row in rows.items()}
    print_scores(scores)
    if json:
        write_json(json, scores)


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
