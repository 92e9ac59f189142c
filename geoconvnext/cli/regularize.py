"""`geoconvnext regularize`: straight walls and right angles for anybody's building polygons."""

import time
from pathlib import Path
from typing import Annotated

import typer

from geoconvnext.cli.options import Output, Quiet

EXAMPLES = """\b
Examples:
  geoconvnext regularize footprints.gpkg -o square.gpkg
  geoconvnext regularize town.shp -o square.parquet --tolerance 0.5
  geoconvnext regularize city.gpkg -o square.gpkg --layer roofs"""


def regularize(
    footprints: Annotated[Path, typer.Argument(help="Vector file of building polygons, any CRS.")],
    output: Output,
    tolerance: Annotated[float, typer.Option(help="No outline moves farther than this (m).")] = 1.5,
    layer: Annotated[str | None, typer.Option(help="Layer of the file (default: the first one).")] = None,
    quiet: Quiet = False,
) -> None:
    """Give building polygons straight walls and right angles; neighbours keep their common walls."""
    from geoconvnext.cli.progress import PixelProgress
    from geoconvnext.regularize import regularize_file

    start = time.monotonic()
    with PixelProgress(quiet=quiet):
        counts = regularize_file(footprints, output, layer=layer, tolerance_m=tolerance)
    if not quiet:
        found = ", ".join(f"{count:,} {outline}" for outline, count in counts.most_common())
        print(f"{counts.total():,} buildings: {found or 'none'}; in {time.monotonic() - start:.1f} s")
        print(output)
