"""Fewer vertices without harm."""

import numpy as np
import pytest
import shapely
from houses import array, cells, roughen, row, turn
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvnext.vector.arcs import cut
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.simplify import find_corners, simplify


def simplified(polygons, tolerance):
    """Return polygons of simplified arcs."""
    rings = Rings.of(polygons)
    arcs = cut(rings, np.zeros(len(rings.sizes), np.int64))
    return arcs.rings(*simplify(arcs, np.full(len(arcs), tolerance))).to_polygons()


def keep(line, tolerance, *, is_open=True):
    """Return the corners of one line."""
    one = np.array([0, len(line)]), np.array([is_open]), np.array([tolerance])
    return line[find_corners(np.asarray(line, float), *one)]


def walk(seed, count=60):
    return np.cumsum(np.random.default_rng(seed).normal(0, 1, (count, 2)), axis=0)


def test_a_noisy_wall_becomes_straight_within_the_tolerance():
    house = array(shapely.box(0, 0, 30, 20))
    (plain,) = simplified(roughen(house, 0, step=1.0, sigma=0.05), 0.5)
    assert shapely.get_num_coordinates(plain) <= 6
    assert shapely.hausdorff_distance(plain, house[0]) < 0.6


def test_a_party_wall_stays_one_line():
    both = simplified(roughen(turn(row(2, width=15, depth=20), 30), 1, sigma=0.2), 0.6)
    assert shapely.get_num_coordinates(both).sum() < 30
    assert shapely.coverage_is_valid(both)
    assert both[0].intersection(both[1]).length > 19


@pytest.mark.parametrize("tolerance", [0.1, 0.3, 1.0])
def test_nothing_is_farther_than_the_tolerance(tolerance):
    for seed in range(10):
        before = roughen(cells(seed, side=80), seed)
        after = simplified(before, tolerance)
        assert len(after) == len(before)
        assert shapely.hausdorff_distance(before, after).max() <= tolerance
        assert shapely.get_num_coordinates(after).sum() < 0.6 * shapely.get_num_coordinates(before).sum()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tolerance=st.sampled_from([0.0, 0.3, 1.0, 3.0, 30.0]))
def test_a_line_is_simplified_as_by_shapely(seed, tolerance):
    line = walk(seed)
    expected = shapely.simplify(shapely.LineString(line), tolerance, preserve_topology=False)
    assert keep(line, tolerance).tolist() == shapely.get_coordinates(expected).tolist()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tolerance=st.sampled_from([0.05, 0.3, 1.0]))
def test_a_ring_is_two_lines_between_its_ends(seed, tolerance):
    """The ends are the point farthest from the first one, and the point farthest from that."""
    outline = shapely.get_coordinates(roughen(array(shapely.Point(3, 4).buffer(9)), seed, sigma=0.3))[:-1]
    one = np.argmax(np.hypot(*(outline - outline[0]).T))
    other = np.argmax(np.hypot(*(outline - outline[one]).T))
    around = np.roll(outline, -one, axis=0)
    middle = (other - one) % len(outline)
    halves = around[: middle + 1], np.concatenate([around[middle:], around[:1]])
    expected = [
        shapely.get_coordinates(
            shapely.simplify(shapely.LineString(half), tolerance, preserve_topology=False)
        )
        for half in halves
    ]
    assert sorted(keep(outline, tolerance, is_open=False).tolist()) == sorted(
        np.concatenate([half[:-1] for half in expected]).tolist()
    )


def test_each_arc_has_a_tolerance_of_its_own():
    lines = np.concatenate([walk(1), walk(1), walk(2)])
    starts, is_open = np.array([0, 60, 120, 180]), np.ones(3, bool)
    found = np.split(find_corners(lines, starts, is_open, np.array([0.5, 3.0, 0.0])), starts[1:-1])
    assert found[0].sum() > found[1].sum()
    assert (walk(1)[found[1]] == keep(walk(1), 3.0)).all()
    assert found[2].all()


@pytest.mark.parametrize("tolerance", [5.0, 1e9])
def test_nothing_vanishes(tolerance):
    """A building smaller than the tolerance keeps a valid outline; dropping it is decided elsewhere."""
    tiny = shapely.Point(0, 0).buffer(0.1)
    (kept,) = simplified(array(tiny), tolerance)
    assert kept.is_valid
    assert kept.area > 0.2 * tiny.area
    assert shapely.get_num_coordinates(kept) == 4


def test_zero_tolerance_keeps_all_vertices():
    polygons = roughen(cells(0), 0)
    after = simplified(polygons, 0.0)
    assert shapely.equals_exact(shapely.normalize(after), shapely.normalize(polygons)).all()


def test_points_on_a_straight_line_go_at_any_tolerance():
    house = array(shapely.segmentize(shapely.box(0, 0, 8, 4), 1.0))
    assert simplified(house, 1e-9)[0].normalize() == shapely.box(0, 0, 8, 4).normalize()
    assert shapely.get_num_coordinates(simplified(house, 1e-9)).tolist() == [5]


def test_lines_that_return_to_their_beginning():
    """An open arc may end where it began, at the only junction of its ring."""
    loop = [(0, 0), (4, 0), (4.1, 2), (4, 4), (0, 4), (0, 0)]
    assert keep(np.array(loop), 0.5).tolist() == [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
