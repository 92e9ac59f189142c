"""`geoconvnext train`: train a network on labelled tiles."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  geoconvnext train configs/default.yaml
  geoconvnext train configs/default.yaml --resume"""


def train(
    config: Annotated[
        Path, typer.Argument(help="Configuration (YAML); configs/default.yaml explains every key.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the last checkpoint of the run.")
    ] = False,
) -> None:
    """Train a network on labelled tiles; the result is OUTPUT/model.safetensors."""
    from geoconvnext.config import read_config
    from geoconvnext.train import train as run

    settings = read_config(config)
    print(f"weights: {run(settings, resume=resume)}")
