"""`geoconvnext tile`: cut scenes and labels into labelled tiles."""

from pathlib import Path
from typing import Annotated

import typer

from geoconvnext.cli.inputs import expand_scenes, parse_bands

EXAMPLES = """\b
Examples:
  geoconvnext tile scene.tif --labels buildings.gpkg -o tiles/train
  geoconvnext tile images/ --labels labels/ -o tiles/train --gsd 0.3
  geoconvnext tile forest/*.tif --empty -o tiles/forest"""


def tile(
    scenes: Annotated[list[str], typer.Argument(help="Scenes: files, folders or globs.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the tile set; tiles are added to it.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Reference footprints or mask, or a folder with NAME.gpkg, NAME_mask.tif ... per scene."
        ),
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="The scenes have no buildings.")] = False,
    gsd: Annotated[
        float, typer.Option(help="Finer scenes are resampled to this ground sampling distance (m).")
    ] = 0.2,
    scene_gsd: Annotated[
        float | None, typer.Option(help="The scenes' own, where they have no georeference (m).")
    ] = None,
    size: Annotated[int, typer.Option(min=64, help="Largest side of a tile (px).")] = 768,
    bands: Annotated[str | None, typer.Option(help="Bands to use, such as 5,3,2.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of scenes and labels, kept in the manifest.")] = "",
) -> None:
    """Cut scenes and their labels into labelled tiles for training."""
    from geoconvnext.errors import LabelError
    from geoconvnext.tile import TileOptions, tile_scene

    if (labels is None) != empty:
        raise LabelError("tile needs either --labels, or --empty where the scenes have no buildings")
    options = TileOptions(
        size=size, gsd_m=gsd, scene_gsd_m=scene_gsd, bands=parse_bands(bands), licence=licence
    )
    for scene in expand_scenes(scenes):
        count = tile_scene(scene, labels, output, options)
        print(f"{scene}: {count.written} tiles, {count.left_out} windows without data left out")
