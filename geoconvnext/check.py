"""Check tile sets: what they hold, and whether all of it can be read."""

from dataclasses import dataclass
from pathlib import Path

from geoconvnext.data.tiles import TileFolder, TileRecord
from geoconvnext.errors import LabelError


@dataclass(frozen=True)
class TileSetSummary:
    """A tile set.

    tiles, buildings: their numbers; building_share: mean over its tiles; gsd_range_m: finest and coarsest
    metres per pixel; bands: the numbers of bands that occur; licences: named in the manifest; damaged: what
    is wrong with the tiles that cannot be used, a line each.
    """

    path: Path
    tiles: int
    buildings: int
    building_share: float
    gsd_range_m: tuple[float, float]
    bands: tuple[int, ...]
    licences: tuple[str, ...]
    damaged: tuple[str, ...]


def check_tiles(folder: Path) -> TileSetSummary:
    """Read every tile of a tile set; LabelError where there is none."""
    tiles = TileFolder(folder)
    records = tiles.records()
    bands, damaged = set(), []
    for record in records:
        try:
            bands.add(_bands_of(tiles, record))
        except LabelError as error:
            damaged.append(str(error))
    resolutions = [record.gsd_m for record in records]
    return TileSetSummary(
        path=folder,
        tiles=len(records),
        buildings=sum(record.buildings for record in records),
        building_share=sum(record.building_share for record in records) / len(records),
        gsd_range_m=(min(resolutions), max(resolutions)),
        bands=tuple(sorted(bands)),
        licences=tuple(sorted({record.licence or "not stated" for record in records})),
        damaged=tuple(damaged),
    )


def _bands_of(tiles: TileFolder, record: TileRecord) -> int:
    """Return the bands of a tile; LabelError where it is damaged or not what the manifest says."""
    tile = tiles.read(record.name)
    if tile.rings.buildings != record.buildings:
        raise LabelError(
            f"tile {record.name} of {tiles.path} has {tile.rings.buildings} buildings, its manifest says"
            f" {record.buildings}; make it again with `geoconvnext tile`"
        )
    return int(tile.image.shape[2])
