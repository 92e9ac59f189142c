"""`geoconvnext pretrain`: pretrain an encoder on scenes without labels."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  geoconvnext pretrain configs/pretrain.yaml
  geoconvnext pretrain configs/pretrain.yaml --resume"""


def pretrain(
    config: Annotated[
        Path, typer.Argument(help="Configuration (YAML); configs/pretrain.yaml explains every key.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the last checkpoint of the run.")
    ] = False,
) -> None:
    """Pretrain an encoder on unlabelled scenes; the result is OUTPUT/encoder.safetensors."""
    from geoconvnext.cli.inputs import expand_scenes
    from geoconvnext.config import read_pretrain_config
    from geoconvnext.pretrain import pretrain as run

    settings = read_pretrain_config(config)
    print(f"encoder: {run(settings, expand_scenes(settings.scenes), resume=resume)}")
