"""Circles for round roofs, and for nothing else."""

import numpy as np
import pytest
import shapely
from houses import array, roughen, row
from shapely.ops import split

from geoconvnext.vector.arcs import cut
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.round import MIN_CORNERS, MIN_RADIUS, SAGITTA, find_circles

CENTER = np.array([420_000.0, 5_800_000.0])
DISC = shapely.transform(shapely.Point(0, 0).buffer(6, 64), lambda xy: xy + CENTER)


def circles(polygons, *, cost=np.inf, price=0.1, tolerance=1.0):
    """Return the rings drawn, and which arcs are round."""
    rings = Rings.of(polygons)
    arcs = cut(rings, np.zeros(len(rings.sizes), np.int64))
    costs, prices, within = (np.full(len(arcs), value) for value in (cost, price, tolerance))
    (coords, starts), is_round = find_circles(arcs, costs, prices, within)
    return np.split(coords, starts[1:-1]), is_round


@pytest.mark.parametrize("tolerance", [0.3, 1.0, 3.0])
def test_a_disc_becomes_a_regular_polygon_of_its_area(tolerance):
    (drawn,), (is_round,) = circles(roughen(array(DISC), 0), tolerance=tolerance)
    assert is_round
    assert len(drawn) >= MIN_CORNERS
    assert shapely.Polygon(drawn).area == pytest.approx(np.pi * 36, rel=0.02)
    assert shapely.Polygon(drawn).area == pytest.approx(roughen(array(DISC), 0)[0].area)
    radius = np.hypot(*(drawn - CENTER).T)
    assert radius == pytest.approx(6, abs=0.1 + SAGITTA * tolerance)
    sides = np.hypot(*np.diff(drawn, axis=0, append=drawn[:1]).T)
    assert sides == pytest.approx(sides[0])


def test_the_finer_the_tolerance_the_more_corners():
    counts = [len(circles(array(DISC), tolerance=tolerance)[0][0]) for tolerance in (0.3, 1.0, 3.0)]
    assert counts[0] > counts[1] > counts[2]
    for count, tolerance in zip(counts, (0.3, 1.0, 3.0), strict=True):
        assert 6 * (1 - np.cos(np.pi / count)) <= SAGITTA * tolerance


def test_a_ring_keeps_its_sense():
    tower = shapely.Polygon(DISC.exterior.coords, [shapely.Point(CENTER).buffer(3).exterior.coords[::-1]])
    drawn, is_round = circles(shapely.orient_polygons(array(tower)))
    assert is_round.all()
    outer, inner = (shapely.LinearRing(part) for part in drawn)
    assert (outer.is_ccw, inner.is_ccw) == (True, False)
    assert shapely.Polygon(inner).area == pytest.approx(np.pi * 9, rel=0.01)
    reverse, _ = circles(shapely.orient_polygons(array(tower), exterior_cw=True))
    assert [shapely.LinearRing(part).is_ccw for part in reverse] == [False, True]


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(0, 0, 14, 9),
        shapely.box(0, 0, 12, 12),
        shapely.transform(shapely.Point(0, 0).buffer(6), lambda xy: xy * [1.4, 1.0]),
        shapely.union(shapely.Point(0, 0).buffer(6), shapely.box(0, 0, 6, 6)),
    ],
)
def test_other_shapes_leave_the_tolerance(shape):
    _, (is_round,) = circles(array(shape))
    assert not is_round


@pytest.mark.parametrize("step", [0.5, 100.0])
def test_long_edges_are_looked_at_between_their_ends(step):
    """A flat side has its ends on the circle."""
    flat = shapely.intersection(shapely.Point(0, 0).buffer(6, 64), shapely.box(-9, -9, 3.8, 9))
    assert circles(array(flat.segmentize(step)))[1].tolist() == [False]
    assert circles(array(flat.segmentize(step)), tolerance=2.0)[1].tolist() == [True]


def test_a_circle_must_cost_less_than_the_walls():
    """Its cost is the integral of squared distances, and three walls."""
    outline = roughen(array(DISC), 0, sigma=0.1)
    points = shapely.segmentize(outline, 0.001)
    steps = shapely.distance(
        shapely.points(shapely.get_coordinates(points)), shapely.Point(_centroid(outline))
    )
    radius = np.sqrt(outline[0].area / np.pi)
    cost = ((steps - radius) ** 2).mean() * outline[0].length + 3 * 0.1
    assert circles(outline, cost=1.01 * cost)[1].tolist() == [True]
    assert circles(outline, cost=0.99 * cost)[1].tolist() == [False]
    assert circles(outline, cost=1.01 * cost, price=0.12)[1].tolist() == [False]


def _centroid(polygons):
    return shapely.get_coordinates(shapely.centroid(polygons))[0]


def test_small_circles_are_not_told_from_squares():
    for radius, told in ((0.95 * MIN_RADIUS, False), (1.05 * MIN_RADIUS, True)):
        assert circles(array(shapely.Point(0, 0).buffer(radius)))[1].tolist() == [told]


def test_open_arcs_are_never_round():
    halves = shapely.get_parts(split(shapely.Point(0, 0).buffer(6), shapely.LineString([(0, -9), (0, 9)])))
    drawn, is_round = circles(halves)
    assert not is_round.any()
    assert all(len(part) == 0 for part in drawn)


def test_only_round_ones_are_drawn():
    drawn, is_round = circles(np.concatenate([array(shapely.Point(-20, 0).buffer(5)), row(1)]))
    assert is_round.tolist() == [True, False]
    assert [len(part) > 0 for part in drawn] == [True, False]


def test_nothing():
    assert circles(array())[1].shape == (0,)
