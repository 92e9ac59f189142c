"""`geoconvnext tile`: cut scenes and labels into labelled tiles."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoconvnext.cli.inputs import expand_scenes, parse_bands
from geoconvnext.errors import GeoconvnextError, LabelError

if TYPE_CHECKING:
    from geoconvnext.tile import TileCount, TileOptions, ValidationSet

EXAMPLES = """\b
Examples:
  geoconvnext tile scene.tif --labels buildings.gpkg -o tiles/train --val tiles/val
  geoconvnext tile images/ --labels labels/ -o tiles/train --gsd 0.3
  geoconvnext tile city.tif --labels osm.gpkg --area mapped.geojson --balance 0.2 -o tiles/city
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
    empty: Annotated[
        bool,
        typer.Option("--empty", help="Scenes have no buildings; with --labels: those without any label."),
    ] = False,
    area: Annotated[
        Path | None, typer.Option(help="Polygons in which the labels are complete; outside nothing is known.")
    ] = None,
    val: Annotated[
        Path | None, typer.Option(help="Tile set that gets whole blocks of the ground for validation.")
    ] = None,
    val_share: Annotated[float, typer.Option(help="Share of the blocks that goes to --val.")] = 0.2,
    balance: Annotated[
        float | None, typer.Option(help="Largest share of a scene's tiles without buildings (not of --val).")
    ] = None,
    gsd: Annotated[
        float, typer.Option(help="Finer scenes are resampled to this ground sampling distance (m).")
    ] = 0.2,
    scene_gsd: Annotated[
        float | None, typer.Option(help="The scenes' own, where they have no georeference (m).")
    ] = None,
    size: Annotated[int, typer.Option(min=64, help="Largest side of a tile (px).")] = 768,
    bands: Annotated[
        str | None, typer.Option(help="Bands to use, any number, such as 5,3,2 or 1,2,3,4.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of scenes and labels, kept in the manifest.")] = "",
) -> None:
    """Cut scenes and their labels into labelled tiles for training."""
    from geoconvnext.data.split import AreaSplit
    from geoconvnext.data.tiles import TileFolder
    from geoconvnext.tile import TileOptions, ValidationSet

    if labels is None and not empty:
        raise LabelError("tile needs either --labels, or --empty where the scenes have no buildings")
    for path in (labels, area):
        if path and not path.exists():
            raise LabelError(f"{path} does not exist; name a vector file, a mask or a folder of labels")
    options = TileOptions(
        size=size,
        gsd_m=gsd,
        scene_gsd_m=scene_gsd,
        bands=parse_bands(bands),
        licence=licence,
        area=area,
        may_be_empty=empty,
        balance=balance,
    )
    validation = ValidationSet(TileFolder(val), AreaSplit(val_share)) if val else None
    _tile_all(expand_scenes(scenes), labels, output, options, validation)
    if validation:
        _check_split(output, validation)


def _tile_all(
    scenes: list[str],
    labels: Path | None,
    output: Path,
    options: "TileOptions",
    validation: "ValidationSet | None",
) -> None:
    """Cut all scenes, even if some fail; raises GeoconvnextError if all do."""
    from geoconvnext.tile import TileCount, tile_scene

    total, failed = TileCount(), 0
    for scene in scenes:
        try:
            count = tile_scene(scene, labels, output, options, validation=validation)
        except GeoconvnextError as error:
            if len(scenes) == 1:
                raise
            print(f"Error: {scene}: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{scene}: {_describe(count)}")
        total += count
    if failed == len(scenes):
        raise GeoconvnextError(f"none of {failed} scenes could be cut")
    if failed:
        print(f"{failed} of {len(scenes)} scenes skipped, the others are cut", file=sys.stderr)
    if len(scenes) > 1:
        print(f"{len(scenes) - failed} scenes: {_describe(total)}")


def _describe(count: "TileCount") -> str:
    """Say what became of scenes; of what did not happen nothing."""
    labels = count.labels
    parts = {
        "for validation": count.validation,
        "windows left out without data or labels": count.unknown,
        "left out without buildings": count.surplus,
        "labels": labels.used,
        "repaired": labels.repaired,
        "drawn twice": labels.duplicates,
        "overlapped": labels.overlaps,
    }
    said = [f"{number} {what}" for what, number in parts.items() if number or what == "labels"]
    return ", ".join([f"{count.written} tiles", *said])


def _check_split(output: Path, validation: "ValidationSet") -> None:
    """LabelError where a tile set of a split is empty, or both share ground: scenes that overlap."""
    from geoconvnext.data.leakage import find_leaks
    from geoconvnext.data.tiles import TileFolder

    train, val = TileFolder(output), validation.tiles
    for tiles in (train, val):
        if not tiles.exists():
            raise LabelError(
                f"no ground fell to {tiles.path}: the scenes are too few to be split like this; name more"
                " scenes, a smaller --size or another --val-share"
            )
    if leaks := find_leaks([train], [val]):
        raise LabelError(
            f"{len(leaks)} pairs of tiles of {output} and {val.path} show the same ground, such as"
            f" {leaks[0].describe()}: scenes overlap each other; cut each place once"
        )
