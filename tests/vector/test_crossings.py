"""Wrong meetings of outlines, against every pair of segments in shapely."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvnext.vector.crossings import find_crossings, find_reordered

UTM = np.array([420_000.0, 5_800_000.0])


def find(*lines, closed=(), offset=(0.0, 0.0), sides=None):
    """Return which polylines meet wrongly; those numbered in `closed` return to their first point.

    sides: two polygons of each; each has one of its own if not given.
    """
    sides = [(number, -1) for number in range(len(lines))] if sides is None else sides
    coords = np.array([point for line in lines for point in line], float).reshape(-1, 2) + offset
    starts = np.cumsum([0, *map(len, lines)])
    is_open = ~np.isin(np.arange(len(lines)), closed)
    return find_crossings(coords, starts, is_open, np.reshape(sides, (-1, 2)).astype(np.int64)).tolist()


def expected(*lines, closed=()):
    """Return the same by comparing every pair of segments."""
    segments = [
        (number, segment)
        for number, line in enumerate(lines)
        for segment in pairwise([*line, line[0]] if number in closed else line)
    ]
    wrong = [False] * len(lines)
    for (one, first), (other, second) in combinations(segments, 2):
        common = shapely.LineString(first) & shapely.LineString(second)
        ends = shapely.MultiPoint(list(set(first) & set(second)))
        gap_closed = one != other and set(first) == set(second)
        if not (common.is_empty or common.equals(ends) or gap_closed):
            wrong[one] = wrong[other] = True
    return wrong


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [
        ([(0, 0), (4, 4)], [(0, 4), (4, 0)], True),
        ([(0, 0), (4, 4)], [(5, 0), (9, 4)], False),
        ([(0, 0), (4, 0)], [(4, 0), (4, 4)], False),
        ([(0, 0), (4, 0)], [(4, 0), (8, 0)], False),
        ([(0, 0), (4, 0)], [(2, 0), (2, 4)], True),
        ([(2, 4), (2, 0)], [(0, 0), (4, 0)], True),
        ([(0, 0), (4, 0)], [(0, 0), (2, 0)], True),
        ([(0, 0), (4, 0)], [(4, 0), (2, 0)], True),
        ([(0, 0), (4, 2)], [(8, 4), (0, 0)], True),
        ([(0, 0), (4, 0)], [(2, 0), (6, 0)], True),
        ([(0, 0), (4, 0)], [(1, 0), (2, 0)], True),
        ([(0, 0), (4, 0)], [(5, 0), (9, 0)], False),
        ([(0, 0), (4, 0)], [(0, 1), (4, 1)], False),
        ([(0, 0), (4, 0)], [(4, 0), (0, 0)], False),
    ],
)
@pytest.mark.parametrize("offset", [(0, 0), UTM])
def test_two_segments(first, second, wrong, offset):
    for one in (first, first[::-1]):
        for other in (second, second[::-1]):
            assert find(one, other, offset=offset) == find(other, one, offset=offset) == [wrong, wrong]


@pytest.mark.parametrize(
    ("sides", "wrong"),
    [
        ([(0, -1), (1, -1)], False),
        ([(0, 2), (3, 1)], False),
        ([(0, -1), (0, -1)], True),
        ([(0, -1), (-1, 0)], True),
        ([(0, 1), (1, 2)], True),
        ([(1, 0), (2, 1)], True),
    ],
)
def test_a_gap_may_close_between_two_buildings_but_no_building_may(sides, wrong):
    line = [(0, 0), (4, 0), (9, 3)]
    assert find(line, line[::-1], sides=sides) == [wrong, wrong]
    assert find(line, [(0, 0), (4, 0), (9, 4)], sides=sides) == [wrong, wrong]
    assert find(line, [(0, 0), (3, 0), (9, 4)], sides=sides) == [True, True]


def test_an_outline_may_cross_itself():
    bow_tie = [(0, 0), (4, 4), (4, 0), (0, 4)]
    assert find(bow_tie) == [True]
    assert find(bow_tie[:3], closed=[0]) == [False]
    assert find([(0, 4), (0, 0), (4, 4), (4, 0)], closed=[0]) == [True]
    assert find([(0, 4), (0, 0), (4, 4), (4, 0)]) == [False]


def test_going_back_on_itself_is_wrong():
    assert find([(0, 0), (4, 0), (1, 0)]) == [True]
    assert find([(0, 0), (4, 0), (4, 3), (4, 0), (8, 0)]) == [True]
    assert find([(0, 0), (4, 0), (6, 0)], closed=[0]) == [True]


def test_only_those_that_meet_are_told():
    far = [(20 * i, 0) for i in range(5)]
    crosses = [[(x, 0), (x + 4, 4)] for x, _ in far]
    assert find(*crosses, [(40, 4), (44, 0)]) == [False, False, True, False, False, True]


points = st.tuples(st.integers(0, 6), st.integers(0, 6))
polylines = st.lists(
    st.lists(points, min_size=3, max_size=6).filter(
        lambda line: all(a != b for a, b in pairwise([*line, line[0]]))
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(lines=polylines, closed=st.sets(st.integers(0, 3)), far=st.booleans())
def test_any_polylines_on_a_grid(lines, closed, far):
    """Few places, so that most segments touch, overlap or share ends."""
    closed = sorted(number for number in closed if number < len(lines))
    found = find(*lines, closed=closed, offset=UTM if far else (0, 0))
    assert found == expected(*lines, closed=closed)


@pytest.mark.parametrize("offset", [(0, 0), UTM])
@pytest.mark.parametrize("longest", [2.0, 8.0, 30.0])
def test_many_segments_of_any_length(longest, offset):
    """Coordinates are 32nds, which keep all digits far from the origin."""
    rng = np.random.default_rng(3)
    start = rng.random((150, 2)) * 20
    turn, length = rng.random(150) * 2 * np.pi, rng.random(150) ** 3 * longest
    end = start + np.column_stack([np.cos(turn), np.sin(turn)]) * length[:, None] + 1 / 32
    ends = np.round(np.stack([start, end], axis=1) * 32) / 32
    first, second = shapely.STRtree(lines := shapely.linestrings(ends)).query(lines, predicate="intersects")
    wrong = np.isin(np.arange(150), first[first != second])
    assert 5 < wrong.sum() < 149
    assert find(*ends.tolist(), offset=offset) == wrong.tolist()


@pytest.mark.parametrize("second", [[(3.7, 0), (3, 5)], [(0, 0), (3, 0)], [(0, 0), (3, 0), (3, 3)]])
def test_touches_count_at_any_angle(second):
    """Corners are computed as points on walls, to the last digit but one."""
    missed = 0
    for angle in np.radians(np.arange(0.5, 360, 7)):
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        first, other = np.array([(0, 0), (10, 0)]) @ matrix, np.array(second) @ matrix
        missed += find(first, other) != [True, True]
    assert missed == 0


def test_a_touch_is_closer_than_a_gap():
    """Two millionths of the unit are room enough."""
    for gap, wrong in ((2e-6, False), (5e-7, True), (0.0, True), (-2e-6, True)):
        assert find([(0, 0), (7, 0)], [(3, gap), (2, 4)], offset=UTM / 1000) == [wrong, wrong]


def junction(*directions):
    """Arcs that leave one place at these angles, as (points, starts)."""
    ends = np.radians(directions)
    lines = np.stack([np.zeros((len(ends), 2)), np.column_stack([np.cos(ends), np.sin(ends)])], axis=1)
    return lines.reshape(-1, 2), 2 * np.arange(len(ends) + 1)


@pytest.mark.parametrize(
    ("after", "wrong"),
    [
        ((0, 90, 180), False),
        ((200, 290, 20), False),
        ((0, 180, 90), True),
        ((90, 0, 180), True),
        ((10, 20, 30), False),
        ((10, 10, 180), False),
        ((0, 180, 180), False),
        ((30, 20, 10), True),
    ],
)
def test_arcs_keep_their_order_around_a_junction(after, wrong):
    nodes = np.array([[0, 1], [0, 2], [0, 3]])
    assert find_reordered(nodes, junction(0, 90, 180), junction(*after)).tolist() == [wrong] * 3
    backwards = junction(0, 90, 180)[0][::-1], junction(0, 90, 180)[1]
    assert find_reordered(nodes[::-1, ::-1].copy(), backwards, backwards).tolist() == [False] * 3


def test_only_arcs_at_the_junction_in_disorder_are_told():
    nodes = np.array([[0, 1], [0, 2], [0, 3], [4, 5], [4, 6], [4, 7]])
    starts = 2 * np.arange(7)
    good, bad = junction(0, 90, 180)[0], junction(0, 180, 90)[0]
    before, after = (np.concatenate([good, good]), starts), (np.concatenate([good, bad]), starts)
    assert find_reordered(nodes, before, after).tolist() == [False] * 3 + [True] * 3
    assert not find_reordered(nodes, before, before).any()


def test_nothing():
    assert find() == []
    assert find([(1, 1)]) == [False]
