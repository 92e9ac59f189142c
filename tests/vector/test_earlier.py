"""Buildings of different batches keep off each other."""

import numpy as np
import pytest
import shapely
from affine import Affine
from shapely import box

from geoconvnext.vector import footprints as module
from geoconvnext.vector.earlier import HAIR_PX, Earlier
from geoconvnext.vector.footprints import stream_footprints
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.rules import FootprintRules

RULES = FootprintRules(tolerance_m=3.0, min_area_m2=4.0)
UTM = Affine(0.5, 0, 420_000, 0, -0.5, 5_800_000)


def draw_crowd(seed, size=160):
    """Blocks of buildings on both sides of crooked lanes a pixel wide."""
    rng = np.random.default_rng(seed)
    body = np.full((size, size), 220, np.uint8)
    body += rng.integers(0, 30, body.shape, np.uint8)
    for start in range(0, size, 24):
        lane = start + np.cumsum(rng.integers(-1, 2, size)) % 5
        for here in range(size):
            to = lane[min(here + 1, size - 1)]
            low, high = min(lane[here], to), max(lane[here], to) + 1
            body[here, low:high] = body[low:high, here] = 0
    return np.stack([body, np.zeros_like(body), np.zeros_like(body)])


def find(raster, rows):
    frames = stream_footprints(
        (raster[:, row : row + rows] for row in range(0, raster.shape[1], rows)),
        height=raster.shape[1],
        width=raster.shape[2],
        transform=UTM,
        crs=32633,
        rules=RULES,
    )
    return np.concatenate([frame.geometry.to_numpy() for frame in frames])


def overlaps(polygons):
    tree = shapely.STRtree(polygons)
    one, other = tree.query(polygons, predicate="intersects")
    pairs = one < other
    return shapely.area(shapely.intersection(polygons[one[pairs]], polygons[other[pairs]]))


@pytest.mark.parametrize("per_batch", [1, 2, 7])
@pytest.mark.parametrize("seed", range(4))
def test_no_overlap_between_batches(seed, per_batch, monkeypatch):
    monkeypatch.setattr(module, "PATCHES_PER_BATCH", per_batch)
    found = find(draw_crowd(seed), 32)
    assert len(found) > 30
    assert shapely.is_valid(found).all()
    assert overlaps(found).max(initial=0.0) == 0.0
    assert all(shapely.equals_identical(found, find(draw_crowd(seed), rows)).all() for rows in (5, 160))


@pytest.mark.parametrize("seed", range(4))
def test_they_would_overlap_otherwise(seed, monkeypatch):
    monkeypatch.setattr(module, "PATCHES_PER_BATCH", 1)
    monkeypatch.setattr(Earlier, "add", lambda *_: None)
    assert overlaps(find(draw_crowd(seed), 32)).max(initial=0.0) > 0.0


def test_what_is_far_is_no_obstacle_and_what_is_above_is_forgotten():
    earlier = Earlier(2.0)
    earlier.add(np.array([box(0, 0, 10, 10), box(50, 0, 60, 10), box(0, 30, 10, 40)]))
    here = Rings.of(np.array([box(13, 0, 20, 9)]))
    assert shapely.equals(earlier.near(here).to_polygons(), box(0, 0, 10, 10)).tolist() == [True]
    earlier.forget(13)
    assert len(earlier.near(here).sizes) == 1
    earlier.forget(15)
    assert len(earlier.near(here).sizes) == 0
    assert len(earlier.near(Rings.of(np.array([box(0, 20, 60, 28)]))).sizes) == 1


def test_what_was_covered_is_cut_off():
    earlier = Earlier(2.0)
    earlier.add(np.array([box(0, 0, 10, 10)]))
    others = [box(30, 0, 40, 10), box(10, 10, 20, 20), box(10, 2, 14, 8)]
    covered, *untouched = earlier.cut(np.array([box(9, 0, 20, 10), *others]))
    assert covered.bounds == pytest.approx((10 + HAIR_PX, 0, 20, 10))
    assert covered.geom_type == "Polygon"
    assert shapely.get_num_coordinates(covered) == 5
    assert shapely.equals_identical(untouched, others).all()  # nor what touches them


def test_the_larger_part_is_left():
    earlier = Earlier(2.0)
    earlier.add(np.array([box(4, -1, 5, 11)]))
    (left,) = earlier.cut(np.array([box(0, 0, 20, 10)]))
    assert left.bounds == pytest.approx((5 + HAIR_PX, 0, 20, 10))
