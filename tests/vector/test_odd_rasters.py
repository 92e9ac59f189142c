"""Rasters that no scene gives: still valid footprints, none lost, and no two in one place."""

from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pandas.testing import assert_frame_equal
from scipy import ndimage

from geoconvnext.vector.footprints import find_footprints
from geoconvnext.vector.regularize import OUTLINES
from geoconvnext.vector.rules import FootprintRules

PLACES = {
    "UTM": ("EPSG:32633", Affine(0.5, 0, 420_000, 0, -0.5, 5_800_000)),
    "rotated": (
        "EPSG:32633",
        Affine.translation(420_000, 5_800_000) @ Affine.rotation(30) @ Affine.scale(0.3, -0.3),
    ),
    "degrees": ("EPSG:4326", Affine(9e-6, 0, 13.0, 0, -4.5e-6, 60.0)),
    "no CRS": (None, Affine.identity()),
}
EVERYTHING = FootprintRules(min_area_m2=0, min_hole_m2=0, min_seed_m2=0)
AS_DRAWN = replace(EVERYTHING, tolerance_m=0, simplify_m=0)


def find(raster, *heights, place="UTM", rules=EVERYTHING):
    """Find the buildings of a raster in bands of these heights, over and over."""
    crs, transform = PLACES[place]
    bands, row = [], 0
    for height in cycle(heights or (1000,)):
        if row >= raster.shape[1]:
            break
        bands.append(raster[:, row : row + height])
        row += height
    size = {"height": raster.shape[1], "width": raster.shape[2]}
    return find_footprints(bands, **size, transform=transform, crs=crs, rules=rules)


def check(table):
    """Every footprint is valid, and none overlaps another one."""
    shapes = table.geometry.to_numpy()
    assert (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON).all()
    assert shapely.is_valid(shapes).all()
    assert (shapely.area(shapes) > 0).all()
    assert shapely.coverage_is_valid(shapes)
    assert table["outline"].isin(OUTLINES).all()
    assert table["fidelity"].between(0, 1).all()
    assert table["id"].tolist() == list(range(1, len(table) + 1))
    return table


def from_mask(mask):
    """Return probabilities that are 1 where a mask is, without edges and contacts."""
    return np.stack([np.where(mask, 254, 0), np.zeros_like(mask), np.zeros_like(mask)]).astype(np.uint8)


def checkerboard(side, size=24):
    rows, cols = np.indices((size, size)) // side
    return (rows + cols) % 2 == 0


def spiral(turns=5, step=3):
    """One building, a pixel wide, that winds inwards; the gap is two pixels wide."""
    mask = np.zeros((2 * turns * step + 1,) * 2, bool)
    row, col = 0, 0
    length = len(mask) - 1
    mask[0, 0] = True
    for turn in range(4 * turns - 2):
        rows, cols = ((0, 1), (1, 0), (0, -1), (-1, 0))[turn % 4]
        for _ in range(length):
            row, col = row + rows, col + cols
            mask[row, col] = True
        length -= step if turn % 2 == 1 or turn == 0 else 0
    return mask


def donuts(wall, gap, count=4):
    """Rings around each other."""
    size = 2 * count * (wall + gap)
    rows, cols = np.indices((size, size))
    from_edge = np.minimum(np.minimum(rows, size - 1 - rows), np.minimum(cols, size - 1 - cols))
    return from_edge % (wall + gap) < wall


def blocks(*corners, side=8, size=40):
    mask = np.zeros((size, size), bool)
    for row, col in corners:
        mask[row : row + side, col : col + side] = True
    return mask


MASKS = {
    "nothing": (np.zeros((9, 12), bool), 0),
    "all building": (np.ones((30, 20), bool), 1),
    "one pixel in all": (np.ones((1, 1), bool), 1),
    "one row": (np.ones((1, 50), bool), 1),
    "one column": (np.ones((50, 1), bool), 1),
    "single pixels": (blocks(*((r, c) for r in range(1, 30, 3) for c in range(1, 30, 4)), side=1), 80),
    "squares that touch at corners": (blocks((2, 2), (10, 10), (18, 18), (10, 26), (26, 26)), 5),
    "a spiral": (spiral(), 1),
    "donuts": (donuts(2, 2), 4),
    "thin donuts": (donuts(1, 1, count=7), 7),
    "a checkerboard of single pixels": (checkerboard(1), 288),
    "a checkerboard": (checkerboard(3), 32),
    "a comb": (np.indices((20, 41))[1] % 2 == 0, 21),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tolerance_m", [0.0, 1.5])
def test_masks(name, place, tolerance_m):
    mask, count = MASKS[name]
    rules = replace(AS_DRAWN, tolerance_m=tolerance_m)
    table = check(find(from_mask(mask), place=place, rules=rules))
    assert len(table) == count
    if tolerance_m == 0:
        assert set(table["outline"]) <= {"plain"}
        np.testing.assert_allclose(table["fidelity"], 1)


@pytest.mark.parametrize("name", MASKS)
def test_areas_as_drawn_are_those_of_the_pixels(name):
    """But for an eighth of a pixel, which is cut off at convex corners, and added at concave ones."""
    mask, _ = MASKS[name]
    framed = np.pad(mask, 1, mode="edge")
    convex = concave = 0
    for rows, cols in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        down, right, both = (np.roll(framed, shift, (0, 1)) for shift in ((rows, 0), (0, cols), (rows, cols)))
        convex += (framed & ~down & ~right)[1:-1, 1:-1].sum()
        concave += (~framed & down & right & both)[1:-1, 1:-1].sum()
    pixels = find(from_mask(mask), rules=AS_DRAWN)["area_m2"].sum() / 0.25
    assert pixels == pytest.approx(mask.sum() - convex / 8 + concave / 8, rel=0.02)


def test_a_donut_in_a_donut_stays_in_its_hole():
    table = check(find(from_mask(donuts(4, 4))))
    outer = [shapely.Polygon(shape.exterior) for shape in table.geometry]
    for shape, hull in zip(table.geometry, outer, strict=True):
        assert len(shape.interiors) == 1
        assert all(hull.within(other) or other.within(hull) for other in outer)
        assert not any(shape.overlaps(other) for other in table.geometry)
    assert table["outline"].tolist() == ["squared"] * 4


def noise(seed, sigma, *, size=50, nodata=False):
    """Random buildings, edges and contacts: without smoothing any values, with it blobs that touch."""
    rng = np.random.default_rng(seed)
    if sigma == 0:
        return rng.integers(0, 256 if nodata else 255, (3, size, size)).astype(np.uint8)
    smooth = ndimage.gaussian_filter(rng.random((3, size, size)), (0, sigma, sigma))
    smooth -= smooth.mean(axis=(1, 2), keepdims=True)
    scaled = 60 * smooth / smooth.std(axis=(1, 2), keepdims=True) + np.reshape([150, 100, 120], (3, 1, 1))
    raster = np.clip(scaled, 0, 254).astype(np.uint8)
    if nodata:
        raster[:, rng.random((size, size)) < 0.02] = 255
    return raster


@pytest.mark.parametrize("tolerance_m", [0.0, 1.5, 4.0])
@pytest.mark.parametrize("sigma", [0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("place", ["UTM", "rotated"])
def test_noise(place, sigma, tolerance_m):
    touching = 0
    for seed in range(6):
        raster = noise(seed, sigma)
        plain = find(raster, place=place, rules=AS_DRAWN)
        table = check(find(raster, place=place, rules=replace(EVERYTHING, tolerance_m=tolerance_m)))
        assert len(table) == len(plain)
        pairs = shapely.STRtree(table.geometry).query(table.geometry, predicate="touches")
        touching += pairs.shape[1] / 2
        if sigma > 0:
            pixel_m2 = 0.25 if place == "UTM" else 0.09
            pixels = ((raster[0] >= EVERYTHING.body_level) & (raster[0] < 255)).sum()
            assert plain["area_m2"].sum() == pytest.approx(pixels * pixel_m2, rel=0.05)
            assert table["area_m2"].sum() == pytest.approx(plain["area_m2"].sum(), rel=0.05)
    assert touching > 20


@pytest.mark.parametrize("tolerance_m", [0.0, 1.5])
def test_noise_by_the_usual_rules(tolerance_m):
    for seed in range(12):
        rules = FootprintRules(tolerance_m=tolerance_m)
        table = check(find(noise(seed, [0.5, 1.0, 1.5, 2.5][seed % 4], size=80), rules=rules))
        assert (table["area_m2"] >= 16).all()


@pytest.mark.parametrize("tolerance_m", [0.0, 1.5])
def test_buildings_that_touch_at_a_corner_of_nodata(tolerance_m):
    raster = from_mask(np.eye(2, dtype=bool))
    raster[0, 1, 0] = 255
    check(find(raster, rules=replace(AS_DRAWN, tolerance_m=tolerance_m)))


def test_noise_with_nodata():
    for seed in range(10):
        check(find(noise(seed, 0, nodata=True), rules=AS_DRAWN))


def test_a_pixel_in_a_bay_is_not_swallowed():
    values = [
        [0, 0, 0, 0, 0, 0],
        [254, 0, 200, 0, 254, 0],
        [254, 254, 0, 254, 161, 0],
        [0, 254, 254, 254, 0, 0],
    ]
    raster = from_mask(np.zeros((4, 6), bool))
    raster[0] = values
    check(find(raster, place="no CRS", rules=replace(AS_DRAWN, simplify_m=2.0)))


levels = st.sampled_from([0, 60, 127, 128, 200, 254, 255])
rasters = hnp.arrays(
    np.uint8,
    st.tuples(st.just(3), st.integers(1, 16), st.integers(1, 16)),
    elements=levels,
    fill=st.sampled_from([0, 200, 254]),
)


@settings(max_examples=80, deadline=None)
@given(
    raster=rasters,
    heights=st.lists(st.integers(0, 16), min_size=1, max_size=4).filter(any),
    rules=st.sampled_from([EVERYTHING, FootprintRules(min_area_m2=2, min_hole_m2=1, min_seed_m2=0.5)]),
)
def test_bands_of_any_heights_give_the_same_bytes(raster, heights, rules):
    check_same_bytes(find(raster, *heights, rules=rules), find(raster, rules=rules))


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_bands_of_any_heights_give_the_same_bytes_of_many_touching_buildings(rows):
    raster = noise(3, 1.0, size=150)
    whole = find(raster)
    assert len(whole) > 300
    assert set(whole["outline"]) >= {"squared", "partly", "plain"}
    check_same_bytes(find(raster, rows), whole)


def check_same_bytes(one, other):
    assert (
        shapely.to_wkb(one.geometry.to_numpy()).tolist() == shapely.to_wkb(other.geometry.to_numpy()).tolist()
    )
    assert_frame_equal(one.drop(columns="geometry"), other.drop(columns="geometry"), check_exact=True)
