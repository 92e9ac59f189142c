"""Walls of arcs: the cheapest division of all, and the right one for known buildings."""

from itertools import product

import numpy as np
import pytest
import shapely
from houses import COURTYARD, L_SHAPE, array, roughen, row, turn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely.ops import substring

from geoconvnext.vector.arcs import NOBODY, Arcs, cut
from geoconvnext.vector.directions import Frames
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.simplify import find_corners
from geoconvnext.vector.walls import (
    ACROSS,
    ALONG,
    CANDIDATES,
    FREE,
    PRICE,
    ROUGH_PRICE,
    TRIM,
    WITHIN,
    find_walls,
)

FREE_PRICE = 2.0


def divide(polygons, degrees, tolerance=1.0, free_price=FREE_PRICE):
    """Return the arcs of polygons and their walls in a frame of these degrees."""
    rings = Rings.of(polygons)
    return divide_arcs(cut(rings, np.zeros(len(rings.sizes), np.int64)), degrees, tolerance, free_price)


def divide_arcs(arcs, degrees, tolerance, free_price=FREE_PRICE):
    frames = Frames(np.zeros(len(arcs), np.int64), np.full(len(arcs), np.radians(degrees)))
    return arcs, find_walls(arcs, frames, np.full(len(arcs), tolerance), free_price=free_price)


def open_arc(points):
    """Return one arc between two junctions."""
    nothing = np.empty(0, np.int64)
    starts = np.array([0, len(points)])
    return Arcs(
        points, starts, np.array([[0, 1]]), np.array([[0, NOBODY]]), nothing, np.zeros(1, int), nothing
    )


def integrals(line):
    """Return the centroid of a line, and the integrals (2, 2) of squares and products around it."""
    start, end = line[:-1], line[1:]
    length = np.hypot(*(end - start).T)
    center = (length[:, None] * (start + end) / 2).sum(axis=0) / length.sum()
    samples = np.stack([start, (start + end) / 2, end]) - center
    # Simpson's rule is exact for squares.
    weights = np.array([1, 4, 1])[:, None] / 6 * length
    return center, np.einsum("si,sik,sil->kl", weights, samples, samples)


def cost_of_wall(points, first, last, tolerance, kind):
    """Return what one wall costs without its price: by the definition, at leisure."""
    line = shapely.LineString(points[first : last + 1])
    trim = min(TRIM * tolerance, line.length / 4)
    center, spread = integrals(shapely.get_coordinates(substring(line, trim, line.length - trim)))
    values, vectors = np.linalg.eigh(spread)
    normal = {ALONG: (0, 1), ACROSS: (1, 0), FREE: vectors[:, 0]}[kind]
    if np.abs((points[first : last + 1] - center) @ normal).max() > WITHIN * tolerance:
        return np.inf
    return values[0] if kind == FREE else spread[int(kind == ALONG), int(kind == ALONG)]


def cheapest(points, tolerance, price):
    """Return the cost of the cheapest of all divisions, every point being a possible corner."""
    best = [dict.fromkeys((ALONG, ACROSS, FREE), 0.0)]
    for last in range(1, len(points)):
        costs = dict.fromkeys((ALONG, ACROSS, FREE), np.inf)
        for first, kind in product(range(last), (ALONG, ACROSS, FREE)):
            before = min(cost for other, cost in best[first].items() if kind == FREE or other != kind)
            wall = cost_of_wall(points, first, last, tolerance, kind)
            wall += price * (FREE_PRICE if kind == FREE else 1.0)
            costs[kind] = min(costs[kind], before + wall)
        best.append(costs)
    return min(best[-1].values())


def possible_corners(line):
    """Return the points of a line where walls may begin, at a tolerance of 1."""
    kept = find_corners(line, np.array([0, len(line)]), np.array([True]), np.array([CANDIDATES]))
    return line[kept]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    points=st.integers(2, 14),
    degrees=st.sampled_from([0.0, 33.0]),
    straight=st.booleans(),
)
def test_no_division_is_cheaper(seed, points, degrees, straight):
    """Of arcs of which every vertex may be a corner."""
    rng = np.random.default_rng(seed)
    if straight:
        line = np.column_stack([np.arange(points), rng.choice([-0.15, 0, 0.15], points)])
        line[:, 1] += rng.choice([0.0, 0.05, 0.5]) * np.arange(points)
    else:
        line = np.cumsum(rng.normal(0, 1, (points, 2)) * rng.choice([0.4, 3.0], (points, 2)), axis=0)
    corners = possible_corners(line)
    assume(len(corners) > 1)
    assume(len(possible_corners(corners)) == len(corners))
    _, walls = divide_arcs(open_arc(corners), degrees, 1.0)
    turned = shapely.get_coordinates(turn([shapely.LineString(corners)], -degrees)[0])
    assert walls.costs[0] == pytest.approx(cheapest(turned, 1.0, walls.prices[0]), rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_walls_follow_each_other_and_cost_what_they_say(seed):
    points = np.cumsum(np.random.default_rng(seed).normal(0.3, 0.5, (40, 2)), axis=0)
    arcs, walls = divide_arcs(open_arc(points), 0.0, 1.0)
    assert walls.points[0, 0] == 0
    assert walls.points[-1, 1] == 39
    assert (walls.points[1:, 0] == walls.points[:-1, 1]).all()
    assert not ((walls.kind[1:] == walls.kind[:-1]) & (walls.kind[1:] != FREE)).any()
    costs = [
        cost_of_wall(points, *ends, 1.0, kind) for ends, kind in zip(walls.points, walls.kind, strict=True)
    ]
    prices = walls.prices[0] * np.where(walls.kind == FREE, FREE_PRICE, 1.0)
    assert walls.costs[0] == pytest.approx(sum(costs) + prices.sum(), rel=1e-6)
    assert len(arcs) == 1


@pytest.mark.parametrize("degrees", [0, 20, 45, 89])
@pytest.mark.parametrize("corner", [(0, 0), (420_000, 5_800_000)])
def test_a_house_has_four_walls(degrees, corner):
    house = turn(array(shapely.box(0, 0, 14, 9)), degrees, corner)
    arcs, walls = divide(roughen(house, 0), degrees)
    assert walls.starts.tolist() == [0, 4]
    assert sorted(walls.kind) == [ALONG, ALONG, ACROSS, ACROSS]
    assert (walls.kind[1:] != walls.kind[:-1]).all()
    middles = shapely.points(walls.centers)
    assert shapely.distance(middles, house[0].exterior).max() < 0.05
    for direction, (start, end) in zip(walls.directions, walls.points, strict=True):
        x, y = arcs.coords[end] - arcs.coords[start]
        assert np.abs(np.sin(np.arctan2(y, x) - direction)) < 0.03
        assert np.abs(np.sin(2 * (direction - np.radians(degrees)))) < 0.03
    assert sorted(walls.lengths) == pytest.approx([8.5, 8.5, 13.5, 13.5], abs=1.0)  # without their ends


def test_the_walls_of_a_closed_arc_go_around_it():
    for seed in range(10):
        _, walls = divide(roughen(turn(array(L_SHAPE), 12), seed), 12)
        assert len(walls.kind) == 6
        assert (walls.points[:, 1] == np.roll(walls.points[:, 0], -1)).all()


def test_it_hardly_matters_where_a_closed_arc_begins():
    outline = shapely.get_coordinates(roughen(turn(array(L_SHAPE), 12), 0))[:-1]
    for shift in range(0, len(outline), 7):
        _, walls = divide(array(shapely.Polygon(np.roll(outline, shift, axis=0))), 12)
        assert sorted(walls.kind) == [ALONG] * 3 + [ACROSS] * 3
        assert shapely.distance(shapely.points(walls.centers), turn(L_SHAPE.exterior, 12)).max() < 0.05


def test_shared_walls_are_arcs_of_their_own():
    arcs, walls = divide(roughen(turn(row(2), 20), 0), 20)
    count = np.diff(walls.starts)
    assert count[(arcs.sides != NOBODY).all(axis=1)].tolist() == [1]
    assert count[(arcs.sides == NOBODY).any(axis=1)].tolist() == [3, 3]


def test_a_courtyard_has_walls():
    _, walls = divide(roughen(turn(array(COURTYARD), 70), 0), 70)
    assert np.diff(walls.starts).tolist() == [4, 4]


def test_a_wall_askew_is_free():
    gable = turn(array(shapely.Polygon([(0, 0), (12, 0), (12, 4), (8, 8), (0, 8)])), 30)
    _, walls = divide(gable, 30)
    assert sorted(walls.kind) == [ALONG, ALONG, ACROSS, ACROSS, FREE]
    (free,) = walls.directions[walls.kind == FREE]
    assert np.sin(free - np.radians(30 + 135)) == pytest.approx(0, abs=0.05)


def test_the_more_a_free_wall_costs_the_fewer_there_are():
    disc = roughen(array(shapely.Point(0, 0).buffer(15)), 0)
    counts = [(divide(disc, 0, free_price=price)[1].kind == FREE).sum() for price in (1.0, 20.0)]
    assert counts[0] > counts[1] + 2


def test_rough_outlines_have_dearer_and_fewer_walls():
    smooth, rough = (roughen(array(shapely.Point(0, 0).buffer(6)), 0, sigma=sigma) for sigma in (0.01, 0.2))
    (_, few), (_, many) = divide(rough, 0), divide(smooth, 0)
    assert few.prices[0] > 2 * many.prices[0]
    assert len(few.kind) < len(many.kind)


def test_the_price_of_a_smooth_outline():
    for tolerance in (0.5, 1.0, 2.0):
        _, walls = divide(array(shapely.segmentize(shapely.box(0, 0, 20, 12), 0.3)), 0, tolerance)
        assert walls.prices[0] == pytest.approx(PRICE * tolerance**3)


def test_the_price_of_roughness():
    """It grows with the square, and less than that of independent vertices, two thirds of theirs."""
    rough = [
        divide(roughen(array(shapely.box(0, 0, 40, 30)), 0, sigma=sigma), 0)[1].prices[0] - PRICE
        for sigma in (0.05, 0.1)
    ]
    assert rough[1] == pytest.approx(4 * rough[0], rel=0.2)
    assert 0.3 < rough[1] / (ROUGH_PRICE * 0.1**2 * 2 / 3) < 0.8


def test_every_point_is_near_its_wall():
    for seed in range(10):
        points = np.cumsum(np.random.default_rng(seed).normal(0.2, 0.7, (80, 2)), axis=0)
        arcs, walls = divide_arcs(open_arc(points), 0.0, 1.0)
        for (first, last), kind, center, direction in zip(
            walls.points, walls.kind, walls.centers, walls.directions, strict=True
        ):
            angle = {ALONG: 0.0, ACROSS: np.pi / 2, FREE: direction}[kind]
            away = (arcs.coords[first : last + 1] - center) @ (-np.sin(angle), np.cos(angle))
            assert np.abs(away).max() <= WITHIN + 1e-9


def test_nothing():
    _, walls = divide(array(), 0)
    assert walls.starts.tolist() == [0]
    assert walls.kind.shape == walls.costs.shape == (0,)
