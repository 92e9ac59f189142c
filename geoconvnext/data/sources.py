"""Tile sets as sources of samples: names that tell them apart, tiles that fit the network."""

import sys
from collections.abc import Sequence
from pathlib import Path

from geoconvnext.data.tiles import Tile, TileFolder, TileRecord
from geoconvnext.errors import LabelError


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Name folders by their last parts, as many as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    names: list[str] = []
    for count in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def open_tile_set(path: Path, bands: int) -> tuple[TileFolder, list[TileRecord]]:
    """Read the manifest of a tile set, and what one tile says of itself.

    LabelError: there is none, no tile can be opened, or the first that can has other bands than the network.
    """
    folder = TileFolder(path)
    records = folder.records()
    for record in records:
        try:
            header = folder.header(record.name)
        except LabelError:
            continue
        _require_bands(header.shape[0], bands, folder, record)
        return folder, records
    raise LabelError(f"no tile of {path} can be read; make them again with `geoconvnext tile`")


def read_tile(folder: TileFolder, record: TileRecord, bands: int) -> Tile:
    """Read a tile; LabelError where it is damaged or has another number of bands."""
    tile = folder.read(record.name)
    _require_bands(tile.image.shape[2], bands, folder, record)
    return tile


def say_left_out(error: LabelError) -> None:
    """Name a damaged tile on stderr."""
    print(f"left out: {error}", file=sys.stderr, flush=True)


def _require_bands(found: int, bands: int, folder: TileFolder, record: TileRecord) -> None:
    if found != bands:
        raise LabelError(
            f"tiles of {folder.path} must have the {bands} bands of the network; found {found} in"
            f" {record.name}; choose another tile set or net.bands"
        )
