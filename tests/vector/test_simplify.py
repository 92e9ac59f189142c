"""Fewer vertices without harm."""

import numpy as np
import pytest
import shapely

from geoconvnext.vector.simplify import drop_small_holes, make_sound, simplify


def array(*polygons):
    return np.array(polygons, dtype=object)


def wavy(left, right, rng):
    """A block between two columns, with vertices every pixel and noise on its upper and lower walls only."""
    upper = [(x, rng.normal(0, 0.05)) for x in np.linspace(left, right, 30)]
    lower = [(x, 20 + rng.normal(0, 0.05)) for x in np.linspace(right, left, 30)]
    return upper, lower


def test_a_noisy_wall_becomes_straight_within_the_tolerance():
    rng = np.random.default_rng(0)
    upper, lower = wavy(0, 30, rng)
    (plain,) = simplify(array(shapely.Polygon(upper + lower)), np.array([0]), tolerance=0.5)
    assert shapely.get_num_coordinates(plain) <= 6
    assert shapely.hausdorff_distance(plain, shapely.box(0, 0, 30, 20)) < 0.6


def test_a_party_wall_stays_one_line():
    rng = np.random.default_rng(1)
    party = [(15 + rng.normal(0, 0.3), y) for y in np.linspace(0.2, 19.8, 40)]
    (up_a, low_a), (up_b, low_b) = wavy(0, 15, rng), wavy(15, 30, rng)
    first = shapely.Polygon([*up_a[:-1], *party, *low_a[1:]])
    second = shapely.Polygon([*up_b[1:], *low_b[:-1], *party[::-1]])
    both = simplify(array(first, second), np.array([0, 0]), tolerance=0.5)
    assert shapely.get_num_coordinates(both).sum() < 30
    assert shapely.coverage_is_valid(both)
    assert both[0].intersection(both[1]).length > 19


def test_neighbours_of_other_groups_are_simplified_alone():
    squares = array(shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10))
    assert all(
        a.equals(b) for a, b in zip(simplify(squares, np.array([0, 1]), tolerance=1.0), squares, strict=True)
    )


def test_nothing_vanishes():
    """A building smaller than the tolerance keeps a valid outline; dropping it is decided elsewhere."""
    tiny = array(shapely.Point(0, 0).buffer(0.1))
    (kept,) = simplify(tiny, np.array([0]), tolerance=5.0)
    assert kept.is_valid
    assert kept.area > 0


def test_zero_tolerance_keeps_all_vertices():
    disc = array(shapely.Point(0, 0).buffer(3.0))
    assert simplify(disc, np.array([0]), tolerance=0.0)[0] is disc[0]


def test_small_holes_are_filled_one_by_one():
    outer = shapely.box(0, 0, 20, 20)
    holes = [shapely.box(1, 1, 2, 2).exterior, shapely.box(5, 5, 9, 9).exterior]
    plain, holed, other = shapely.box(30, 0, 40, 10), shapely.Polygon(outer.exterior, holes), outer
    kept = drop_small_holes(array(plain, holed, other), np.array([5.0, 5.0, 5.0]))
    assert [polygon.area for polygon in kept] == [100, 400 - 16, 400]
    assert drop_small_holes(array(), np.array([])).shape == (0,)


@pytest.mark.parametrize(
    ("broken", "area"),
    [
        (shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 3)]), 32 / 7),
        (shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 0, 6, 3)]), 9.0),
        (shapely.Polygon(), 1.0),
        (shapely.Polygon([(0, 0), (5, 0), (0, 0)]), 1.0),
    ],
)
def test_broken_shapes_become_their_largest_part_or_the_original(broken, area):
    (sound,) = make_sound(array(broken), array(shapely.box(0, 0, 1, 1)))
    assert sound.geom_type == "Polygon"
    assert sound.is_valid
    assert sound.area == pytest.approx(area)
