"""`geoconvnext train`: train a network on labelled tiles."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  geoconvnext train configs/small.yaml
  geoconvnext train configs/small.yaml --resume"""


def train(
    config: Annotated[
        Path, typer.Argument(help="Configuration (YAML); configs/small.yaml explains every key.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the last checkpoint of the run.")
    ] = False,
) -> None:
    """Train a network on labelled tiles.

    The results are OUTPUT/model.safetensors and OUTPUT/report.html; `torchrun` runs it on several devices.
    """
    from geoconvnext.config import read_config
    from geoconvnext.train import train as run

    run(read_config(config), resume=resume)
