"""`geoconvnext info`: what a scene or a weights file is, and whether they fit each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  geoconvnext info scene.tif
  geoconvnext info model.safetensors
  geoconvnext info scene.tif --weights model.safetensors"""


def info(
    path: Annotated[str, typer.Argument(help="A scene, or a weights file (.safetensors).")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights that the scene should fit (default: shipped).")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Bands to use, such as 5,3,2.")] = None,
    gsd: Annotated[
        float | None,
        typer.Option(min=0.001, help="Ground sampling distance (m) of a scene that does not know it."),
    ] = None,
) -> None:
    """Describe a scene or a weights file, and say whether they fit each other."""
    from geoconvnext.cli.inputs import parse_bands
    from geoconvnext.info import describe_fit, describe_scene, describe_weights

    chosen = parse_bands(bands)
    if path.lower().endswith(".safetensors"):
        _print(describe_weights(Path(path)))
    else:
        _print(describe_scene(path, bands=chosen, gsd_m=gsd))
        _print(describe_fit(path, weights, bands=chosen, gsd_m=gsd))


def _print(lines: Mapping[str, str]) -> None:
    width = max(11, *map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}} {value}")
