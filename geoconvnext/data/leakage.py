"""Leaks between tile sets: what a network would see in training and be judged by in validation."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from shapely import STRtree

from geoconvnext.data.tiles import TileFolder, TileHeader
from geoconvnext.errors import LabelError

MIN_SHARED = 1e-3
"""Tiles that share less of the smaller one's ground, about a row of pixels, are only neighbours."""
WORLD = "EPSG:4326"


@dataclass(frozen=True)
class Leak:
    """A training tile and a validation tile that show the same; reason: `ground`, `scene` or `image`."""

    train: str
    val: str
    reason: str

    def describe(self) -> str:
        """Name both tiles and what they share."""
        return f"{self.train} and {self.val} (same {self.reason})"


@dataclass(frozen=True)
class _Placed:
    """A tile, its shape (bands, H, W), and its outline in degrees or in the pixels of its source."""

    folder: TileFolder
    name: str
    shape: tuple[int, int, int]
    outline: shapely.Polygon

    @property
    def label(self) -> str:
        return str(self.folder.path / self.name)


def find_leaks(train: Sequence[TileFolder], val: Sequence[TileFolder]) -> list[Leak]:
    """Find the pairs of a training and a validation tile that show the same ground.

    Tiles overlap on the ground, in whatever CRS; without georeference they overlap in a source of the same
    name, or their pixels are identical. Damaged tiles are passed over. LabelError: a tile set has no
    manifest.
    """
    ours, theirs = (_place(folders) for folders in (train, val))
    leaks = [
        leak
        for frame in sorted(ours.keys() & theirs.keys())
        for leak in _overlapping(ours[frame], theirs[frame], "ground" if frame == WORLD else "scene")
    ]
    known = {(leak.train, leak.val) for leak in leaks}
    return leaks + [leak for leak in _identical(ours, theirs) if (leak.train, leak.val) not in known]


def _place(folders: Iterable[TileFolder]) -> dict[str, list[_Placed]]:
    """Tiles by the frame that their outlines are measured in."""
    placed: dict[str, list[_Placed]] = {}
    for folder in folders:
        world: dict[CRS | None, Transformer | None] = {None: None}
        for record in folder.records():
            with suppress(LabelError):
                tile = folder.header(record.name)
                if tile.crs not in world:
                    world[tile.crs] = _to_world(tile.crs)
                corners = _on_world(tile, world[tile.crs])
                frame = record.source if corners is None else WORLD
                outline = shapely.Polygon(tile.corners if corners is None else corners)
                placed.setdefault(frame, []).append(_Placed(folder, record.name, tile.shape, outline))
    return placed


def _to_world(crs: CRS) -> Transformer | None:
    """Return the way to longitude and latitude, or None where a CRS has no place on Earth."""
    try:
        return Transformer.from_crs(crs.to_wkt(), WORLD, always_xy=True)
    except ProjError:
        return None


def _on_world(tile: TileHeader, transformer: Transformer | None) -> NDArray[np.float64] | None:
    """Return corners (4, 2) in degrees, on one side of the antimeridian; None where they are nowhere."""
    if transformer is None:
        return None
    longitude, latitude = transformer.transform(*tile.corners.T)
    corners = np.stack([longitude, latitude], axis=1)
    if not np.isfinite(corners).all():
        return None
    if np.ptp(corners[:, 0]) > 180:
        corners[:, 0] %= 360
    return corners


def _overlapping(train: Sequence[_Placed], val: Sequence[_Placed], reason: str) -> Iterator[Leak]:
    ours, theirs = (np.array([tile.outline for tile in tiles], object) for tiles in (train, val))
    one, other = STRtree(theirs).query(ours, predicate="intersects")
    shared = shapely.area(shapely.intersection(ours[one], theirs[other]))
    smaller = np.minimum(shapely.area(ours[one]), shapely.area(theirs[other]))
    for i, j in zip(one[shared > MIN_SHARED * smaller], other[shared > MIN_SHARED * smaller], strict=True):
        yield Leak(train[i].label, val[j].label, reason)


def _identical(ours: dict[str, list[_Placed]], theirs: dict[str, list[_Placed]]) -> Iterator[Leak]:
    """Find tiles of the same pixels among those without georeference; only equal shapes are read."""
    nowhere = [
        [tile for frame, group in tiles.items() if frame != WORLD for tile in group]
        for tiles in (ours, theirs)
    ]
    shapes = set.intersection(*({tile.shape for tile in tiles} for tiles in nowhere))
    train, val = ([tile for tile in tiles if tile.shape in shapes] for tiles in nowhere)
    of_val: dict[bytes, list[_Placed]] = {}
    for tile in val:
        for digest in _digest(tile):
            of_val.setdefault(digest, []).append(tile)
    for tile in train:
        for digest in _digest(tile):
            for same in of_val.get(digest, []):
                yield Leak(tile.label, same.label, "image")


def _digest(tile: _Placed) -> Iterator[bytes]:
    """Yield a hash of a tile's shape and pixels; nothing for a damaged one."""
    with suppress(LabelError):
        image = tile.folder.read(tile.name).image
        yield blake2b(repr(image.shape).encode() + image.tobytes()).digest()
