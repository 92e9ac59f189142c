"""Cases of polygons.py: reference footprints, what a network might say of them, and its buildings.

A case is drawn once for all methods. Its raster has the channels of geoconvnext's own probability rasters,
made from the references as the targets of training are, blurred and noisy. Buildings come from the body
channel, divided into individuals by geoconvnext; specks and pinholes are gone before any method sees them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import cv2
import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.features import shapes

from geoconvnext.data.rings import Rings
from geoconvnext.data.synth import STYLES, make_scene
from geoconvnext.data.targets import WHOLE, make_targets, margin_px
from geoconvnext.metrics.objects import Matches, match_objects
from geoconvnext.vector.footprints import find_footprints
from geoconvnext.vector.instances import divide
from geoconvnext.vector.rules import FootprintRules
from geoconvnext.vector.sweep import sweep

Polygons = NDArray[np.object_]
Indices = NDArray[np.int64]
Made = TypeVar("Made")

ALL = FootprintRules(min_area_m2=0.0, min_hole_m2=0.0)
DRAWINGS = {
    "outline": replace(ALL, tolerance_m=0.0, simplify_m=0.0),
    "simplified": replace(ALL, tolerance_m=0.0),
    "predict": ALL,
}
"""How geoconvnext draws the buildings of a raster: as they are, with fewer vertices, and by default."""
UNSTRAIGHTENED = ("outline", "simplified")
MIN_AREA_M2, MIN_HOLE_M2 = 16.0, 4.0
MARGIN_M = 6.0
BLUR_PX = 1.0
LEVELS = 254
MIN_WALL_M = 1.0
"""Buildings that share less of their outlines are no neighbours."""
SIDE_M = 240
STYLE_ORDER = ("rows", *(style for style in STYLES if style != "rows"))
SYNTH_CRS = CRS.from_epsg(32633)


@dataclass(frozen=True)
class Scene:
    """Reference footprints of one place: valid polygons of MIN_AREA_M2 or more, in metres of a CRS."""

    truth: Polygons
    crs: CRS


@dataclass(frozen=True)
class Result:
    """What a method made of the buildings of a case.

    building: int64 (m,), the one that each polygon comes from: none may be left of some, several of others.
    polygons: (m,), valid or not. seconds: that the method took alone. plain, partly: buildings that it left
    as they were, or did in part only, if it says so.
    """

    building: Indices
    polygons: Polygons
    seconds: float
    plain: float = np.nan
    partly: float = np.nan


@dataclass(frozen=True)
class Case:
    """A scene as a network might see it.

    name: of the set of scenes; noise: share of the range of probabilities; truth: (r,) references.
    drawn: the n buildings by each of DRAWINGS, the seconds being those from the raster on.
    pixels: (n,) the same along the sides of their pixels. labels: GeoTIFF of numbers 1..n, 0 elsewhere.
    walls: int64 (w, 2), pairs of buildings that share a wall; wall_m: (w,), its length.
    matches: outlines and references that belong together.
    """

    name: str
    noise: float
    gsd_m: float
    crs: CRS
    truth: Polygons
    drawn: dict[str, Result]
    pixels: Polygons
    labels: Path
    walls: Indices
    wall_m: NDArray[np.float64]
    matches: Matches

    @property
    def outlines(self) -> Polygons:
        """(n,) sub-pixel outlines, with nothing done to them."""
        return self.drawn["outline"].polygons


def draw_scenes(count: int) -> Iterator[Scene]:
    """Draw scenes of seeds 0, 1 ..., of all styles in turn, row houses first."""
    for seed in range(count):
        style = STYLE_ORDER[seed % len(STYLE_ORDER)]
        # Footprints do not depend on the pixels that the image has.
        found = make_scene(seed, height=SIDE_M, width=SIDE_M, gsd_m=1.0, style=style).footprints
        corner = np.array([400_000.0, 5_500_000.0])
        polygons = shapely.transform(np.array(found, object), lambda xy, to=corner: xy * [1, -1] + to)
        yield Scene(repair(polygons), SYNTH_CRS)


def read_scenes(paths: Sequence[Path]) -> Iterator[Scene]:
    """Read reference footprints, each file in its UTM zone; files without any are left out."""
    for path in paths:
        table = gpd.read_file(path)
        if len(table):
            table = table.to_crs(table.estimate_utm_crs())
            truth = repair(table.geometry.to_numpy())
            if len(truth):
                yield Scene(truth, CRS(table.crs))


def repair(polygons: Polygons) -> Polygons:
    """Return valid single polygons of MIN_AREA_M2 or more."""
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygons)))
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    kept: Polygons = parts[is_polygon & (shapely.area(parts) >= MIN_AREA_M2)]
    return kept


def make_case(name: str, scene: Scene, labels: Path, *, noise: float, gsd_m: float, seed: int) -> Case:
    """Make the raster of a scene and find its buildings; their labels are written to a GeoTIFF."""
    raster, transform = perceive(scene, noise=noise, gsd_m=gsd_m, seed=seed)
    found = {
        drawing: clock(partial(find, raster, transform, scene.crs, rules))
        for drawing, rules in DRAWINGS.items()
    }
    large = found["outline"][0].area.to_numpy() >= MIN_AREA_M2
    drawn = {drawing: result_of(table[large], seconds) for drawing, (table, seconds) in found.items()}
    drawn |= {drawing: replace(drawn[drawing], plain=np.nan, partly=np.nan) for drawing in UNSTRAIGHTENED}
    outlines = drawn["outline"].polygons
    numbers = number_pixels(raster, large, gsd_m)
    write_labels(labels, numbers, transform, scene.crs)
    walls, wall_m = find_walls(outlines)
    return Case(
        name=name,
        noise=noise,
        gsd_m=gsd_m,
        crs=scene.crs,
        truth=scene.truth,
        drawn=drawn,
        pixels=trace_pixels(numbers, transform, len(outlines)),
        labels=labels,
        walls=walls,
        wall_m=wall_m,
        matches=match_objects(outlines, scene.truth),
    )


def perceive(scene: Scene, *, noise: float, gsd_m: float, seed: int) -> tuple[NDArray[np.uint8], Affine]:
    """Return body, edge and contact in 0..254 (3, height, width) on a grid around a scene, and its transform.

    The grid lies anywhere under the walls. Noise is correlated as the blur is; its standard deviation is a
    share of the range. Rasters of one seed differ in its strength only.
    """
    random = np.random.default_rng(seed)
    left, bottom, right, top = shapely.total_bounds(scene.truth)
    west, north = np.array([left - MARGIN_M, top + MARGIN_M]) + random.uniform(-gsd_m, 0, 2) * [1, -1]
    width, height = (4 * ceil((size + MARGIN_M) / gsd_m / 4) for size in (right - west, north - bottom))
    matrix = np.array([[1, 0, -west], [0, -1, north]]) / gsd_m
    margin = 2 * margin_px(gsd_m)
    targets = make_targets(
        Rings.from_polygons(scene.truth).moved(matrix),
        np.ones((height + margin, width + margin), np.bool_),
        gsd_m=gsd_m,
    )
    channels = np.stack([targets.body / np.float32(WHOLE), targets.edge, targets.contact]).astype(np.float32)
    seen = [blur(channel) + noise * correlated(random, (height, width)) for channel in channels]
    raster = np.rint(np.clip(seen, 0, 1) * LEVELS).astype(np.uint8)
    return raster, Affine(gsd_m, 0, west, 0, -gsd_m, north)


def blur(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur as a network does."""
    return np.asarray(cv2.GaussianBlur(channel, (0, 0), BLUR_PX), np.float32)


def correlated(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Draw blurred noise of standard deviation 1."""
    field = blur(random.standard_normal(shape, np.float32))
    return np.asarray(field / field.std(), np.float32)


def find(raster: NDArray[np.uint8], transform: Affine, crs: CRS, rules: FootprintRules) -> gpd.GeoDataFrame:
    """Return all buildings of a raster, without pinholes."""
    height, width = raster.shape[1:]
    table = find_footprints([raster], height=height, width=width, transform=transform, crs=crs, rules=rules)
    rings, owner = shapely.get_rings(table.geometry.to_numpy(), return_index=True)
    is_exterior = np.diff(owner, prepend=-1) != 0
    kept = is_exterior | (shapely.area(shapely.polygons(rings)) >= MIN_HOLE_M2)
    return table.set_geometry(shapely.polygons(rings[kept], indices=owner[kept]), crs=crs)


def result_of(table: gpd.GeoDataFrame, seconds: float) -> Result:
    """Return buildings, all that there are, as a result."""
    plain, partly = (float((table["outline"] == kind).sum()) for kind in ("plain", "partly"))
    return Result(np.arange(len(table)), table.geometry.to_numpy(), seconds, plain, partly)


def clock(work: Callable[[], Made]) -> tuple[Made, float]:
    """Return what is made and the seconds it takes, in the second of two runs: the first may compile."""
    work()
    start = perf_counter()
    made = work()
    return made, perf_counter() - start


def number_pixels(raster: NDArray[np.uint8], large: NDArray[np.bool_], gsd_m: float) -> NDArray[np.int32]:
    """Give the pixels of each large building its number 1..n, in the order of the outlines."""
    padded = np.zeros((raster.shape[1] + 2, raster.shape[2] + 2), np.int32)
    count = 0
    for patch in sweep([raster], width=raster.shape[2], threshold=ALL.body_level):
        labels, buildings = divide(
            patch.probabilities,
            patch.mask,
            seed_threshold=ALL.seed_threshold,
            edge_weight=ALL.edge_weight,
            min_seed_px=ALL.min_seed_m2 / gsd_m**2,
        )
        height, width = labels.shape
        place = padded[patch.row + 1 :, patch.col + 1 :][:height, :width]
        place[labels > 0] = labels[labels > 0] + count
        count += buildings
    assert count == len(large), f"{count} buildings, but {len(large)} outlines"
    numbers = np.concatenate([[0], np.where(large, np.cumsum(large), 0)]).astype(np.int32)
    return fill_pinholes(numbers[padded[1:-1, 1:-1]], max_px=MIN_HOLE_M2 / gsd_m**2)


def fill_pinholes(labels: NDArray[np.int32], *, max_px: float) -> NDArray[np.int32]:
    """Fill holes of fewer pixels inside one building."""
    ground = (labels == 0).astype(np.uint8)
    count, holes, stats, _ = cv2.connectedComponentsWithStats(ground, connectivity=8, ltype=cv2.CV_32S)
    is_small = stats[:, cv2.CC_STAT_AREA] < max_px
    is_small[0] = False
    beside = np.ones((3, 3), np.uint8)
    most = cv2.dilate(labels.astype(np.float32), beside)
    least = cv2.erode(np.where(labels > 0, labels, np.inf).astype(np.float32), beside)
    inside = is_small[holes]
    owners = np.full((count, 2), [np.inf, 0.0], np.float32)
    np.minimum.at(owners[:, 0], holes[inside], least[inside])
    np.maximum.at(owners[:, 1], holes[inside], most[inside])
    filled = labels.copy()
    filled[inside] = np.where(owners[:, 0] == owners[:, 1], owners[:, 1], 0)[holes[inside]]
    return filled


def write_labels(path: Path, labels: NDArray[np.int32], transform: Affine, crs: CRS) -> None:
    """Write labels (height, width) as a GeoTIFF."""
    height, width = labels.shape
    layout = {"driver": "GTiff", "count": 1, "height": height, "width": width, "dtype": "int32"}
    with rasterio.open(path, "w", **layout, crs=crs, transform=transform, compress="deflate") as file:
        file.write(labels, 1)


def trace_pixels(labels: NDArray[np.int32], transform: Affine, count: int) -> Polygons:
    """Return the polygon along the pixel sides of each of the buildings 1..count."""
    polygons = np.empty(count, object)
    for geometry, number in shapes(labels, mask=labels > 0, connectivity=4, transform=transform):
        polygons[int(number) - 1] = shapely.geometry.shape(geometry)
    assert all(polygons), "a building without pixels"
    return polygons


def find_walls(outlines: Polygons) -> tuple[Indices, NDArray[np.float64]]:
    """Return the pairs (w, 2) of outlines that share MIN_WALL_M or more, and how much."""
    pairs = shapely.STRtree(outlines).query(outlines, predicate="intersects").T
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    rings = shapely.boundary(outlines)
    length = shapely.length(shapely.intersection(rings[pairs[:, 0]], rings[pairs[:, 1]]))
    shared = length >= MIN_WALL_M
    return pairs[shared], length[shared]
