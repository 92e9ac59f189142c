"""`geoconvnext synth`: make synthetic scenes with exact footprints."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  geoconvnext synth -o demo/
  geoconvnext synth -o scenes/ --count 400 --size 768 --gsd 0.2,0.4
  geoconvnext synth -o town/ --style rows --seed 7"""


def synth(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for synth_SEED.tif and synth_SEED.gpkg.")
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first scene; the same seed gives the same scene.")
    ] = 0,
    size: Annotated[int, typer.Option(min=16, help="Width and height (px).")] = 1024,
    gsd: Annotated[
        str, typer.Option(help="Ground sampling distance in m, or several to take in turn: 0.2,0.4.")
    ] = "0.3",
    style: Annotated[
        str | None, typer.Option(help="Settlement: suburb, rows, informal ... (default: by seed).")
    ] = None,
) -> None:
    """Make synthetic scenes (GeoTIFF) with exact footprints (GeoPackage)."""
    from geoconvnext.cli.inputs import parse_numbers
    from geoconvnext.synth import write_synthetic

    steps = parse_numbers("--gsd", gsd)
    for i in range(count):
        path = output / f"synth_{seed + i:05d}.tif"
        made = write_synthetic(
            path, seed=seed + i, height=size, width=size, gsd_m=steps[i % len(steps)], style=style
        )
        print(f"{made.scene}: {made.style}, {made.buildings} buildings")
