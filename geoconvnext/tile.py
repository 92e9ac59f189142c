"""Cut scenes and their labels into labelled tiles for training."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine

from geoconvnext.data.cleaning import LabelCount
from geoconvnext.data.labels import Areas, Labels, find_labels, open_area, open_labels
from geoconvnext.data.split import AreaSplit, Part, windows
from geoconvnext.data.tiles import TileFolder, TileRecord
from geoconvnext.errors import ConfigError, LabelError, SceneError
from geoconvnext.raster.grid import Window
from geoconvnext.raster.scene import Scene

MIN_KNOWN_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class TileOptions:
    """How scenes are cut.

    size: largest tile side in pixels; gsd_m: finer scenes are resampled to this ground sampling distance;
    scene_gsd_m: states the scenes' own, where they have no georeference; bands: 1-based, None for red, green,
    blue, or the first up to three; licence: of scene and labels, kept in the manifest; area: polygons outside
    which nothing is known; may_be_empty: a scene without any label has no building; balance: of a scene's
    training tiles at most this share has no building, drawn by lot.
    """

    size: int = 768
    gsd_m: float = 0.2
    scene_gsd_m: float | None = None
    bands: tuple[int, ...] | None = None
    licence: str = ""
    area: Path | None = None
    may_be_empty: bool = False
    balance: float | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"tiles need a size of 1 pixel or more; found {self.size}")
        for gsd_m in (self.gsd_m, self.scene_gsd_m):
            if gsd_m is not None and not 0 < gsd_m < math.inf:
                raise ConfigError(f"a ground sampling distance is a positive number of metres; found {gsd_m}")
        if self.balance is not None and not 0 <= self.balance < 1:
            raise ConfigError(f"a share of tiles lies between 0 and 1, without 1; found {self.balance}")


@dataclass(frozen=True)
class ValidationSet:
    """A tile set that gets a share of the ground of all scenes cut with it."""

    tiles: TileFolder
    split: AreaSplit


@dataclass(frozen=True)
class TileCount:
    """What became of scenes.

    written: tiles for training; validation: for validation; unknown: windows left out without enough data
    and labels; surplus: left out, without buildings; labels: what was done to them.
    """

    written: int = 0
    validation: int = 0
    unknown: int = 0
    surplus: int = 0
    labels: LabelCount = field(default_factory=LabelCount)

    def __add__(self, other: "TileCount") -> "TileCount":
        """Return the sum over the scenes of both."""
        return TileCount(
            self.written + other.written,
            self.validation + other.validation,
            self.unknown + other.unknown,
            self.surplus + other.surplus,
            self.labels + other.labels,
        )


def tile_scene(
    scene_path: str | Path,
    labels: Path | None,
    folder: Path,
    options: TileOptions,
    *,
    validation: ValidationSet | None = None,
) -> TileCount:
    """Cut one scene into tiles of `folder`, and of the validation set if there is one; whole or not at all.

    labels: vector file, mask, folder of these, or None: no buildings.

    SceneError: the scene cannot be read, or its ground sampling distance is neither known nor stated.
    LabelError: labels do not exist or do not fit, or a tile set has tiles of a scene of this name or of other
    bands.
    """
    source = Path(scene_path)
    label_path = find_labels(source, labels) if labels else None
    sets = [TileFolder(folder), *([validation.tiles] if validation else [])]
    with Scene.open(
        scene_path, bands=options.bands, gsd_range_m=(options.gsd_m, math.inf), gsd_m=options.scene_gsd_m
    ) as scene:
        _check_fit(scene, sets)
        truth = open_labels(label_path, scene, may_be_empty=options.may_be_empty)
        area = open_area(options.area, scene) if options.area else None
        parts = _plan(scene, options.size, validation)
        kept = parts if options.balance is None else _balanced(parts, truth, options.balance)
        with _whole_or_not_at_all(source.name, sets):
            done = [
                part for part in kept if _cut(scene, truth, area, part.window, sets[part.validates], options)
            ]
    validating = sum(part.validates for part in done)
    return TileCount(
        written=len(done) - validating,
        validation=validating,
        unknown=len(kept) - len(done),
        surplus=len(parts) - len(kept),
        labels=truth.count,
    )


def _check_fit(scene: Scene, sets: Sequence[TileFolder]) -> None:
    """Refuse a scene of unknown resolution, and one that is in a tile set or has other bands than it."""
    if scene.gsd_m is None:
        raise SceneError(
            f"the ground sampling distance of {scene.path} is unknown, it has no georeference;"
            " state it (tile --scene-gsd METRES)"
        )
    stem = Path(scene.path).stem
    for tiles in sets:
        records = tiles.records() if tiles.exists() else []
        if stem in {Path(record.source).stem for record in records}:
            raise LabelError(
                f"tile set {tiles.path} already has tiles of a scene {stem}; rename the scene, choose another"
                " folder, or remove the tile set to cut it anew"
            )
        if records and (bands := tiles.header(records[0].name).bands) != len(scene.bands):
            raise LabelError(
                f"tile set {tiles.path} has tiles of {bands} bands, {scene.path} would add some of"
                f" {len(scene.bands)}; name the bands (tile --bands) or choose another folder"
            )


@contextmanager
def _whole_or_not_at_all(source: str, sets: Sequence[TileFolder]) -> Iterator[None]:
    """Take the tiles of a scene out again if the block fails."""
    try:
        yield
    except BaseException:
        for tiles in sets:
            tiles.discard(source)
        raise


def _plan(scene: Scene, size: int, validation: ValidationSet | None) -> list[Part]:
    if validation:
        return validation.split.parts(scene.height, scene.width, size)
    return [Part(window) for window in windows(Window(0, 0, scene.height, scene.width), size)]


def _balanced(parts: Sequence[Part], truth: Labels, share: float) -> list[Part]:
    """Drop training windows without buildings until at most `share` of the training windows are such."""
    is_empty = np.array([not part.validates and not len(truth.reaching(part.window)) for part in parts])
    built_up = sum(not part.validates for part in parts) - int(is_empty.sum())
    allowed = int(share * built_up / (1 - share))
    surplus = set(np.random.default_rng(0).permutation(np.flatnonzero(is_empty))[allowed:].tolist())
    return [part for number, part in enumerate(parts) if number not in surplus]


def _cut(
    scene: Scene, truth: Labels, area: Areas | None, window: Window, tiles: TileFolder, options: TileOptions
) -> bool:
    """Write the tile of a window; False where too little is known of it."""
    pixels = scene.read(window)
    known = pixels.valid & area.cover(window) if area else pixels.valid
    if known.mean() < MIN_KNOWN_SHARE:
        return False
    buildings = truth.reaching(window)
    source = Path(scene.path)
    assert scene.gsd_m is not None
    record = TileRecord(
        name=f"{source.stem}_r{window.row}_c{window.col}",
        source=source.name,
        gsd_m=float(scene.gsd_m),
        separate=truth.separate,
        building_share=round(float((truth.cover(window) & known).mean()), 4),
        licence=options.licence,
        buildings=len(buildings),
    )
    transform = scene.transform @ Affine.translation(window.col, window.row)
    tiles.write(record, pixels.pixels, buildings, known, transform=transform, crs=scene.crs)
    return True
