"""`geoconvnext check`: what tile sets hold, damaged tiles, and leaks from training into validation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from geoconvnext.check import TileSetSummary
    from geoconvnext.data.leakage import Leak

EXAMPLES = """\b
Examples:
  geoconvnext check tiles/train
  geoconvnext check tiles/train/* --against tiles/val/town --against tiles/val/coast"""

SHOWN_LEAKS = 10


def check(
    tiles: Annotated[list[Path], typer.Argument(help="Tile sets of `geoconvnext tile`.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Tile set for validation, which must share no ground with TILES; repeatable."),
    ] = None,
) -> None:
    """Check tile sets: what they hold, damaged tiles, leaks from training into validation."""
    from geoconvnext.check import check_tiles
    from geoconvnext.data.leakage import find_leaks
    from geoconvnext.data.tiles import TileFolder
    from geoconvnext.errors import LabelError

    damaged = 0
    for path in (*tiles, *(against or [])):
        summary = check_tiles(path)
        _report(summary)
        damaged += len(summary.damaged)
    train, val = ([TileFolder(path) for path in paths] for paths in (tiles, against or []))
    leaks = find_leaks(train, val)
    _list(leaks)
    if damaged or leaks:
        raise LabelError(
            f"{damaged} damaged tiles, {len(leaks)} leaks; cut damaged tiles again, and leave out of training"
            " what leaks (or split by area with `geoconvnext tile --val`)"
        )
    print(f"no damaged tiles{', no leaks' if against else ''}")


def _report(summary: "TileSetSummary") -> None:
    finest, coarsest = summary.gsd_range_m
    metres = f"{finest:.2f} m" if coarsest < 1.01 * finest else f"{finest:.2f} to {coarsest:.2f} m"
    print(
        f"{summary.path}: {summary.tiles} tiles, {summary.buildings} buildings,"
        f" {summary.building_share:.1%} built-up, {metres}, {' or '.join(map(str, summary.bands))} bands"
    )
    print(f"  licence: {'; '.join(summary.licences)}")
    for problem in summary.damaged:
        print(f"  damaged: {problem}")


def _list(leaks: "list[Leak]") -> None:
    for leak in leaks[:SHOWN_LEAKS]:
        print(f"leak: {leak.describe()}")
    if len(leaks) > SHOWN_LEAKS:
        print(f"leak: and {len(leaks) - SHOWN_LEAKS} more")
