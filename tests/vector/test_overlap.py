"""Common areas against shapely."""

import numpy as np
import pytest
import shapely
from houses import COURTYARD, L_SHAPE, U_SHAPE, array, turn
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvnext.vector.overlap import intersection_areas
from geoconvnext.vector.rings import Rings


def star(rng, holes):
    """A polygon of any shape about the origin, with or without a star-shaped hole, turning either way."""
    corners = rng.integers(3, 40)
    turns = np.sort(rng.random(corners)) * 2 * np.pi
    along = np.column_stack([np.cos(turns), np.sin(turns)]) * 10
    radius = rng.uniform(0.5, 1.0, corners)[:, None]
    outer, inner = along * radius, along * radius * rng.uniform(0.1, 0.9)
    polygon = shapely.Polygon(outer[:: rng.choice([-1, 1])], [inner[:: rng.choice([-1, 1])]] * holes)
    return polygon if polygon.is_valid else shapely.box(-3, -2, 5, 6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    holes=st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1)]),
    corner=st.sampled_from([(0, 0), (420_000, 5_800_000)]),
)
def test_any_polygons(seed, holes, corner):
    rng = np.random.default_rng(seed)
    first, second = (turn(array(*(star(rng, one) for _ in range(5))), 0, corner) for one in holes)
    second = np.array([shapely.transform(one, lambda xy: xy + rng.normal(0, 6, 2)) for one in second])
    found = intersection_areas(Rings.of(first), Rings.of(second), 5)
    expected = shapely.area(shapely.intersection(first, second))
    tolerance = 1e-9 * shapely.area(first).max() * (1 if corner == (0, 0) else 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("degrees", [0, 90, 33])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (shapely.box(0, 0, 4, 4), shapely.box(2, 1, 9, 3)),
        (shapely.box(0, 0, 4, 4), shapely.box(4, 0, 9, 4)),
        (shapely.box(0, 0, 4, 4), shapely.box(9, 0, 12, 4)),
        (shapely.box(0, 0, 4, 4), shapely.box(0, 9, 4, 12)),
        (shapely.box(0, 0, 4, 4), shapely.box(1, 1, 2, 2)),
        (COURTYARD, shapely.box(8, 7, 9, 8)),
        (COURTYARD, shapely.box(5, 5, 9, 9)),
        (COURTYARD, COURTYARD),
        (COURTYARD, shapely.transform(COURTYARD, lambda xy: xy + np.array([6, 4]))),
        (U_SHAPE, L_SHAPE),
        (U_SHAPE, shapely.box(0, 8, 18, 10)),
    ],
)
def test_known_polygons(first, second, degrees):
    pair = turn(array(first, second), degrees)
    expected = first.intersection(second).area
    for one, other in (pair, pair[::-1]):
        found = intersection_areas(Rings.of(array(one)), Rings.of(array(other)), 1)
        assert found == pytest.approx([expected], rel=1e-9, abs=1e-9)


def test_each_polygon_is_compared_with_its_own():
    first = array(shapely.box(0, 0, 1, 1), COURTYARD, shapely.box(0, 0, 2, 2))
    second = array(COURTYARD, shapely.box(0, 0, 24, 20), shapely.box(1, 0, 3, 3))
    assert intersection_areas(Rings.of(first), Rings.of(second), 3) == pytest.approx([1, 400, 2])


def test_nothing():
    nothing = Rings.of(array())
    assert intersection_areas(nothing, nothing, 0).shape == (0,)
