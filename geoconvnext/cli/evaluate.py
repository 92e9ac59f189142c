"""`geoconvnext evaluate`: compare footprints with reference footprints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "Examples:  geoconvnext evaluate buildings.gpkg --reference truth.gpkg   |   "
    "geoconvnext evaluate results/*.gpkg --reference labels/ --scenes images/ --json scores.json"
)


def evaluate(
    footprints: Annotated[list[Path], typer.Argument(help="Files of footprints.")],
    reference: Annotated[
        Path, typer.Option("--reference", "-r", help="Reference footprints or mask, or a folder with one per file.")
    ],
    scenes: Annotated[
        Path | None, typer.Option(help="Scene, or folder of scenes by name: both sets are clipped to its extent.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the scores to this file too.")] = None,
) -> None:
    """Compare footprints with reference footprints: objects at IoU 0.5 one to one, and pixel IoU."""
    from geoconvnext.cli.report import print_scores, write_json
    from geoconvnext.evaluate import Scores, find_reference
    from geoconvnext.evaluate import evaluate as run

    rows = {}
    for path in footprints:
        scene = None if scenes is None else str(find_reference(path, scenes))
        rows[path.stem] = run(path, find_reference(path, reference), scene=scene)
    if len(rows) > 1:
        rows["all"] = sum(rows.values(), Scores())
    scores = {name: row.to_dict() for name, row in rows.items()}
    print_scores(scores)
    if json:
        write_json(json, scores)
