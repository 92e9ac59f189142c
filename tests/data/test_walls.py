import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, affinity, box

from geoconvnext.data.coverage import cover
from geoconvnext.data.rings import Rings
from geoconvnext.data.walls import near_two, near_walls

HEIGHT, WIDTH = 17, 23
CENTRES = shapely.points(*np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5))


def check(polygons, radius):
    """Compare with shapely's distances, but for centres that are as far away as the radius is."""
    rings = Rings.from_polygons(polygons)
    walls = [shapely.distance(CENTRES, polygon.boundary) for polygon in polygons]
    areas = [shapely.distance(CENTRES, polygon) for polygon in polygons]
    clear = np.all([np.abs(d - radius) > 1e-9 for d in (*walls, *areas)], axis=0)
    edge = near_walls(rings, radius, height=HEIGHT, width=WIDTH)
    np.testing.assert_array_equal(edge[clear], (np.min(walls, axis=0) <= radius)[clear])
    contact = near_two(rings, cover(rings, height=HEIGHT, width=WIDTH).number, radius)
    np.testing.assert_array_equal(contact[clear], (np.sum(np.array(areas) <= radius, axis=0) > 1)[clear])
    return edge, contact


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(-3, 22),
            st.floats(-3, 16),
            st.floats(0.5, 14),
            st.floats(0.5, 9),
            st.floats(0, math.tau),
        ),
        min_size=1,
        max_size=4,
    ),
    st.floats(1, 5),
)
def test_pixels_near_walls_and_near_two_are_those_that_shapely_finds(rectangles, radius):
    polygons = [
        affinity.rotate(box(x, y, x + w, y + h), turn, use_radians=True) for x, y, w, h, turn in rectangles
    ]
    apart = [p - shapely.union_all(polygons[:i]) for i, p in enumerate(polygons)]
    check([polygon for polygon in apart if not polygon.is_empty], radius)


@pytest.mark.parametrize("radius", [1.0, 2.3])
def test_courts_and_corners(radius):
    court = box(2, 2, 15, 13) - box(5, 5, 11, 10)
    spike = Polygon([(16, 3), (22, 3.4), (16.5, 12)])
    edge, contact = check([court, spike], radius)
    assert edge.any()
    assert contact.any()


def test_rings_are_not_joined_by_a_wall():
    edge, _ = check([box(1, 1, 4, 4), box(18, 12, 21, 15)], 1.2)
    assert not edge[6:10].any()


def test_no_building():
    rings = Rings.from_polygons([])
    assert not near_walls(rings, 2.0, height=3, width=4).any()
    assert not near_two(rings, np.zeros((3, 4), np.int32), 2.0).any()
