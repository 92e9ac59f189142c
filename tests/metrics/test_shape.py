"""Shape measures against shapely, point by point, and against shapes known by construction."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from geoconvnext.metrics.shape import (
    complexity_iou,
    direction_error,
    max_tangent_angle,
    polis,
    polis_compat,
    vertex_count,
)

SQUARE = shapely.box(0, 0, 10, 10)


def draw_pairs(seed, count=6):
    """Star-shaped polygons and moved copies with other vertices, some with a courtyard or of two parts."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        pair = []
        for _ in range(2):
            angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 12)))
            radius = rng.uniform(8, 14, len(angle))
            ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]
            shape = shapely.convex_hull(shapely.Polygon(ring))
            kind = rng.integers(3)
            if kind == 1:
                shape = shape - shapely.box(*rng.uniform(-3, -1, 2), *rng.uniform(1, 3, 2))
            if kind == 2:
                shape = shapely.union(shape, affinity.translate(SQUARE, 20, rng.uniform(-3, 3)))
            pair.append(shape)
        pairs.append(pair)
    ours, theirs = zip(*pairs, strict=True)
    return np.array(ours, object), np.array(theirs, object)


def vertices(polygon):
    rings = shapely.get_rings(shapely.get_parts(polygon))
    return [point for ring in rings for point in ring.coords[:-1]]


def mean_distance(a, b):
    return np.mean([shapely.Point(point).distance(b.boundary) for point in vertices(a)])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_polis_by_brute_force(seed):
    ours, theirs = draw_pairs(seed)
    expected = [(mean_distance(a, b) + mean_distance(b, a)) / 2 for a, b in zip(ours, theirs, strict=True)]
    assert polis(ours, theirs) == pytest.approx(expected)
    assert polis(theirs, ours) == pytest.approx(expected)


def test_polis_of_known_squares():
    """All vertices of the inner square are 1 m from the outer boundary, those of the outer one sqrt(2) m."""
    inner = shapely.box(1, 1, 9, 9)
    assert polis([SQUARE], [inner])[0] == pytest.approx((1 + math.sqrt(2)) / 2)
    assert polis_compat([SQUARE], [inner])[0] == pytest.approx((1 + math.sqrt(2)) / 2 * 4 / 5)
    assert polis([SQUARE], [SQUARE])[0] == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_compatible_polis_is_that_of_exteriors_over_one_vertex_more(seed):
    ours, theirs = draw_pairs(seed)
    exteriors = [
        [shapely.Polygon(shapely.get_parts(shape)[0].exterior) for shape in side] for side in (ours, theirs)
    ]
    for found, a, b in zip(polis_compat(*exteriors), *exteriors, strict=True):
        counts = [len(a.exterior.coords), len(b.exterior.coords)]
        sums = [mean_distance(*pair) * (n - 1) for pair, n in zip(((a, b), (b, a)), counts, strict=True)]
        assert found == pytest.approx(sum(part / (2 * n) for part, n in zip(sums, counts, strict=True)))
    yard = SQUARE - shapely.box(4, 4, 6, 6)
    assert polis_compat([yard], [SQUARE])[0] == 0


def tangent_by_hand(predicted, reference, spacing=0.5):
    """Girard et al.: points along the outline, projected; pieces stretched beyond a factor of 2 left out."""
    angles = []
    for ring in shapely.get_rings(shapely.get_parts(shapely.segmentize(predicted, spacing))):
        points = [shapely.Point(xy) for xy in ring.coords]
        rings = shapely.get_rings(shapely.get_parts(reference))
        nearest = [min(rings, key=point.distance) for point in points]
        placed = np.array(
            [line.interpolate(line.project(p)).coords[0] for line, p in zip(nearest, points, strict=True)]
        )
        for piece, other in zip(np.diff(ring.coords, axis=0), np.diff(placed, axis=0), strict=True):
            length, stretched = np.hypot(*piece), np.hypot(*other)
            if 0.5 < stretched / length < 2:
                angles.append(math.degrees(math.acos(min(abs(piece @ other) / length / stretched, 1))))
    return max(angles, default=math.nan)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_tangent_angle_by_brute_force(seed):
    ours, theirs = draw_pairs(seed, count=3)
    expected = [tangent_by_hand(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert max_tangent_angle(ours, theirs) == pytest.approx(expected, abs=1e-3, nan_ok=True)


def test_tangent_angle_of_known_shapes():
    tilted = affinity.rotate(SQUARE, 7, origin="centroid")
    assert max_tangent_angle([SQUARE], [SQUARE])[0] == pytest.approx(0, abs=1e-5)
    assert max_tangent_angle([tilted], [SQUARE])[0] == pytest.approx(7, abs=0.1)
    far = shapely.box(1000, 0, 1000.1, 0.1)
    assert math.isnan(max_tangent_angle([SQUARE], [far])[0])


@pytest.mark.parametrize(("turn", "error"), [(0, 0), (7, 7), (44, 44), (50, 40), (90, 0), (-3, 3), (183, 3)])
def test_direction_error(turn, error):
    """Of an L, which has a direction of its own whatever its diagonal."""
    shape = shapely.Polygon([(0, 0), (20, 0), (20, 8), (8, 8), (8, 20), (0, 20)])
    leaning = affinity.rotate(shape, 31)
    assert direction_error([affinity.rotate(leaning, turn)], [leaning])[0] == pytest.approx(error, abs=1e-6)


def test_direction_of_a_wall_more_or_less():
    """A short oblique wall turns the mean by little, and a round building has no direction."""
    cut = shapely.Polygon([(0, 0), (20, 0), (20, 19), (19, 20), (0, 20)])
    assert direction_error([cut], [shapely.box(0, 0, 20, 20)])[0] < 1
    assert math.isnan(direction_error([shapely.Point(0, 0).buffer(9)], [SQUARE])[0])


def test_complexity():
    triangle, yard = shapely.Polygon([(0, 0), (4, 0), (0, 4)]), SQUARE - shapely.box(4, 4, 6, 6)
    assert vertex_count([triangle, SQUARE, yard]).tolist() == [3, 4, 8]
    iou = np.array([0.8, 0.8, 1.0])
    expected = [0.8 * (1 - 1 / 7), 0.8 * (1 - 4 / 12), 1.0]
    assert complexity_iou(iou, [triangle, yard, SQUARE], [SQUARE] * 3).tolist() == pytest.approx(expected)


def test_no_pairs():
    for measure in (polis, polis_compat, max_tangent_angle, direction_error):
        assert len(measure([], [])) == 0
