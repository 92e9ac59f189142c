"""`geoconvnext calibrate`: make the confidence of footprints a probability."""

from pathlib import Path
from typing import Annotated, Literal

import typer

EXAMPLES = """\b
Examples:
  geoconvnext calibrate model.safetensors tiles/val/a tiles/val/b
  geoconvnext calibrate model.safetensors tiles/val/* --tune -o tuned.safetensors"""


def calibrate(
    weights: Annotated[Path, typer.Argument(help="Weights of `geoconvnext train`.")],
    tiles: Annotated[list[Path], typer.Argument(help="Tile sets that the weights were not trained on.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the weights here (default: replace them)."),
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Also choose the thresholds and the smallest building.")
    ] = False,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
    dtype: Annotated[Literal["auto", "bf16", "fp32"], typer.Option(help="Numbers to compute in.")] = "auto",
) -> None:
    """Learn on validation tiles how likely footprints are right; the weights file carries the result."""
    from geoconvnext.calibrate import calibrate as run
    from geoconvnext.errors import LabelError
    from geoconvnext.model.runtime import choose_placement

    placement = choose_placement(device, dtype)
    result = run(weights, tiles, placement=placement, output=output, tune=tune, announce=print)
    for line in result.describe():
        print(line)
    if not result.is_calibrated:
        raise LabelError("the weights stay uncalibrated; give more tiles with separate buildings")
