"""`geoconvnext info`: what a scene or a weights file is, and whether they fit each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "Examples:  geoconvnext info scene.tif   |   geoconvnext info model.safetensors   |   "
    "geoconvnext info scene.tif --weights model.safetensors"
)


def info(
    path: Annotated[str, typer.Argument(help="A scene, or a weights file (.safetensors).")],
    weights: Annotated[Path | None, typer.Option(help="Weights that the scene should fit (default: shipped).")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands to use, such as 5,3,2.")] = None,
    gsd: Annotated[float | None, typer.Option(help="Ground sampling distance (m) of a scene that does not know it.")] = None,
) -> None:
    """Describe a scene or a weights file, and say whether they fit each other."""
    from geoconvnext.cli.inputs import parse_bands
    from geoconvnext.info import describe_scene, describe_weights

    if path.endswith(".safetensors"):
        lines = describe_weights(Path(path))
    else:
        lines = describe_scene(path, weights, bands=parse_bands(bands), gsd_m=gsd)
    width = max(len(name) for name in lines)
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")
