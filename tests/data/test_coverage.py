import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, affinity, box

from geoconvnext.data.coverage import cover
from geoconvnext.data.rings import Rings

HEIGHT, WIDTH = 11, 14
PIXELS = np.array([[box(x, y, x + 1, y + 1) for x in range(WIDTH)] for y in range(HEIGHT)])


def covered(*polygons, height=HEIGHT, width=WIDTH):
    return cover(Rings.from_polygons(polygons), height=height, width=width)


def shares(polygon):
    return shapely.area(shapely.intersection(PIXELS, polygon))


@st.composite
def buildings(draw):
    """A star-shaped polygon, inside the grid, over its borders or outside, sometimes with a court."""
    number = st.floats(-1, 1, width=32)
    x, y = 7 + 12 * draw(number), 5.5 + 10 * draw(number)
    corners = draw(st.lists(st.floats(0.15, 1), min_size=3, max_size=9))
    size = draw(st.floats(0.05, 9))
    turn = draw(st.floats(0, math.tau))
    angles = turn + np.arange(len(corners)) * math.tau / len(corners)
    ring = np.array([x, y]) + size * np.array(corners)[:, None] * np.column_stack(
        [np.cos(angles), np.sin(angles)]
    )
    polygon = Polygon(ring)
    if draw(st.booleans()):
        polygon -= affinity.scale(polygon, 0.6, 0.6, origin=(x, y))
    return polygon


@settings(deadline=None, max_examples=80)
@given(buildings())
def test_share_is_the_area_that_shapely_finds(polygon):
    found = covered(polygon)
    expected = shares(polygon)
    np.testing.assert_allclose(found.share, expected, atol=1e-5)
    clear = np.abs(expected - 0.5) > 1e-6
    np.testing.assert_array_equal(found.number[clear], (expected >= 0.5)[clear])


@settings(deadline=None, max_examples=40)
@given(buildings(), st.booleans(), st.booleans(), st.floats(0.3, 3))
def test_moved_rings_cover_what_moved_polygons_do(polygon, mirror, swap, zoom):
    matrix = np.array([[-zoom if mirror else zoom, 0.3, 2], [-0.2, zoom, 1]])
    matrix = matrix[::-1] if swap else matrix
    rings = Rings.from_polygons([polygon]).moved(matrix)
    moved = shapely.transform(polygon, lambda p: p @ matrix[:, :2].T + matrix[:, 2])
    np.testing.assert_allclose(cover(rings, height=HEIGHT, width=WIDTH).share, shares(moved), atol=1e-5)


@pytest.mark.parametrize(
    "polygon",
    [
        box(2, 3, 5, 7),
        box(2.25, 3.5, 2.75, 3.75),
        box(-3, -3, 30, 30),
        box(-5, 2.5, 3.5, 20),
        box(10.5, -4, 40, 3.25),
        box(-9, 2, -1, 5),
        box(15, 2, 20, 5),
        box(1, -9, 5, -2),
        box(1, 12, 5, 15),
        Polygon([(0, 0), (14, 0), (14, 11)]),
        Polygon([(-20, 5), (7, -20), (40, 6), (7, 30)]),
        Point(7, 5).buffer(4.3) - Point(7.2, 5.1).buffer(4.1),
        MultiPolygon([box(1, 1, 3.5, 3.5), box(6, 1, 9.5, 9) - box(7, 2, 7.5, 8)]),
        (box(1, 1, 13, 10) - box(2.5, 2.5, 11.5, 8.5)) | box(4.2, 4.2, 6.6, 6.6),
    ],
)
def test_places_and_shapes(polygon):
    np.testing.assert_allclose(covered(polygon).share, shares(polygon), atol=1e-6)


def test_a_thin_court_in_a_thin_wall_is_even_odd_within_one_pixel():
    ring = box(2.1, 2.1, 2.9, 2.9) - box(2.2, 2.2, 2.5, 2.8)
    assert covered(ring).share[2, 2] == pytest.approx(ring.area)


def test_buildings_together():
    left, right, over = box(1, 1, 4.4, 9), box(4.4, 1, 8, 9), box(6, 2, 7, 3)
    found = covered(left, right, over)
    np.testing.assert_allclose(found.share, shares(left | right), atol=1e-6)
    assert found.share.max() == 1
    assert found.number[5].tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0]
    assert found.number[2, 6] == 2  # of two that cover all of it, the earlier


def test_number_is_of_the_one_that_covers_most():
    found = covered(box(3, 3, 3.45, 4), box(3.45, 3, 4, 4), box(6, 6, 6.4, 7), box(6.4, 6, 6.8, 7))
    assert found.number[3, 3] == 2
    assert found.number[6, 6] == 0
    assert found.share[6, 6] == pytest.approx(0.8)


def test_many_buildings_against_points():
    rng = np.random.default_rng(3)
    polygons = [
        affinity.rotate(box(x, y, x + rng.uniform(3, 6), y + rng.uniform(3, 6)), rng.uniform(0, 90))
        for x in range(-4, 60, 9)
        for y in range(-4, 60, 9)
    ]
    fine = (np.arange(64 * 8) + 0.5) / 8
    inside = shapely.contains_xy(shapely.union_all(polygons), *np.meshgrid(fine, fine))
    expected = inside.reshape(64, 8, 64, 8).mean(axis=(1, 3))
    found = covered(*polygons, height=64, width=64)
    assert np.abs(found.share - expected).max() < 0.08
    assert np.abs(found.share - expected).mean() < 0.01
    assert found.share.dtype == np.float32
    assert found.number.dtype == np.int32


def test_no_building():
    found = covered()
    assert found.share.shape == found.number.shape == (HEIGHT, WIDTH)
    assert not found.share.any()
    assert not found.number.any()
