"""Which drawing of an arc is taken: the first that harms nobody."""

import numpy as np
import pytest
import shapely
from houses import array, row

from geoconvnext.vector.arcs import cut
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.settle import mix, settle, spread


class Scene:
    """Arcs of polygons, and other ways to draw them."""

    def __init__(self, *polygons):
        self.rings = Rings.of(shapely.orient_polygons(array(*polygons)))
        self.arcs = cut(self.rings, np.zeros(len(self.rings.sizes), np.int64))

    def drawn(self, **changes):
        """Draw arcs as they are but for `arc_N=function of its points`."""
        parts = np.split(self.arcs.coords, self.arcs.starts[1:-1])
        for name, change in changes.items():
            number = int(name.removeprefix("arc_"))
            parts[number] = np.array(change(parts[number]), float)
        return np.concatenate(parts), np.cumsum([0, *map(len, parts)])

    def settle(self, *proposals, level=None):
        """Return the polygons and the choice."""
        level = np.zeros(len(self.arcs), np.int64) if level is None else np.array(level)
        rings, chosen = settle(self.arcs, np.sign(self.rings.areas), list(proposals), level)
        return rings.to_polygons(), chosen.tolist()

    @property
    def polygons(self):
        return self.rings.to_polygons()


def moved(east, north=0.0):
    return lambda points: points + np.array([east, north])


@pytest.fixture
def apart():
    return Scene(shapely.box(0, 0, 4, 4), shapely.box(6, 0, 9, 4), shapely.box(20, 0, 25, 4))


def test_what_crosses_nothing_is_taken(apart):
    found, chosen = apart.settle(apart.drawn(arc_0=moved(1)))
    assert chosen == [0, 0, 0]
    assert found[0].equals(shapely.box(1, 0, 5, 4))
    assert all(found[i].equals(apart.polygons[i]) for i in (1, 2))


def test_both_that_cross_stay_as_they_are_and_others_do_not(apart):
    found, chosen = apart.settle(apart.drawn(arc_0=moved(3), arc_2=moved(-1)))
    assert chosen == [1, 1, 0]
    assert [found[i].equals(apart.polygons[i]) for i in range(3)] == [True, True, False]


def test_the_second_best_comes_next(apart):
    best, second = apart.drawn(arc_0=moved(3), arc_1=moved(-1)), apart.drawn(arc_0=moved(1), arc_1=moved(1))
    found, chosen = apart.settle(best, second)
    assert chosen == [1, 1, 0]
    assert [polygon.bounds[0] for polygon in found] == [1, 7, 20]


def test_one_may_be_the_cause_and_both_step_back(apart):
    """Where the second best crosses too, only arcs as they are remain."""
    best, second = apart.drawn(arc_0=moved(3)), apart.drawn(arc_0=moved(2.5))
    found, chosen = apart.settle(best, second)
    assert chosen == [2, 2, 0]
    assert found[0].equals(apart.polygons[0])


def test_a_touch_is_a_crossing(apart):
    assert apart.settle(apart.drawn(arc_0=moved(2, 1)))[1] == [1, 1, 0]
    assert apart.settle(apart.drawn(arc_0=moved(1.999, 1)))[1] == [0, 0, 0]


def test_a_gap_may_close(apart):
    found, chosen = apart.settle(apart.drawn(arc_0=moved(2)))
    assert chosen == [0, 0, 0]
    assert shapely.coverage_is_valid(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda points: points[::-1],
        lambda points: [points[0], points[1], points[0] / 2 + points[1] / 2],
        lambda points: [points[0], points[2], points[1], points[3]],
    ],
)
def test_a_ring_keeps_its_sense_and_its_area(apart, change):
    """Turned inside out, flat, and a bow tie."""
    found, chosen = apart.settle(apart.drawn(arc_1=change))
    assert chosen == [0, 1, 0]
    assert found[1].equals(apart.polygons[1])


BAY = shapely.Polygon([(0, 0), (9, 0), (9, 5), (6, 5), (6, 4), (3, 4), (3, 5), (0, 5)])


@pytest.mark.parametrize(
    ("polygons", "change"),
    [
        ((BAY, shapely.box(4, 4.2, 5, 4.7)), lambda _: [(0, 0), (9, 0), (9, 5), (0, 5)]),
        ((shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(1, 7, 2, 8).exterior]),),
         lambda _: [(0, 0), (9, 0), (9, 5), (0, 5)]),
    ],
)  # fmt: skip
def test_nothing_is_swallowed(polygons, change):
    """Neither a shed in a bay that closes, nor a courtyard left outside."""
    scene = Scene(*polygons)
    found, chosen = scene.settle(scene.drawn(arc_0=change))
    assert chosen[0] == 1
    assert shapely.is_valid(found).all()


def test_the_level_says_where_to_begin(apart):
    first, second = apart.drawn(arc_0=moved(1), arc_1=moved(1)), apart.drawn(arc_0=moved(0.5), arc_1=moved(2))
    found, chosen = apart.settle(first, second, level=[1, 0, 2])
    assert chosen == [1, 0, 2]
    assert [polygon.bounds[0] for polygon in found] == [0.5, 7, 20]


def test_what_crosses_from_the_beginning_is_left_alone():
    scene = Scene(shapely.box(0, 0, 4, 4), shapely.box(3, 1, 7, 3), shapely.box(9, 1, 12, 3))
    found, chosen = scene.settle(scene.drawn(arc_0=moved(0, 0.5), arc_2=moved(1)))
    assert chosen == [1, 1, 0]
    assert all(found[i].equals(scene.polygons[i]) for i in (0, 1))


@pytest.fixture
def pair():
    """Two houses with a common wall; arcs: first house, second house, the wall between them in any order."""
    return Scene(*row(2))


def pull(scene, junction, by):
    """Propose that a junction moves, with all arcs that end there."""
    changes = {}
    for number, nodes in enumerate(scene.arcs.nodes):
        ends = [end for end, node in zip((0, -1), nodes, strict=True) if node == junction]

        def change(points, ends=ends):
            points = points.copy()
            points[ends] += by
            return points

        changes[f"arc_{number}"] = change
    return scene.drawn(**changes)


def test_a_junction_moves_with_all_its_arcs(pair):
    found, chosen = pair.settle(pull(pair, 0, [0.5, 0.25]))
    assert chosen == [0, 0, 0]
    assert shapely.coverage_is_valid(found)
    assert not found[0].equals(pair.polygons[0])
    assert not found[1].equals(pair.polygons[1])


def test_a_junction_stays_where_one_arc_does(pair):
    both = pull(pair, 0, [0.5, 0.25])
    for arc in range(3):
        level = np.zeros(3, np.int64)
        level[arc] = 1
        found, chosen = pair.settle(both, level=level)
        assert chosen == level.tolist()
        assert shapely.equals(found, pair.polygons).all()


def test_a_house_does_not_swing_into_another_around_their_common_corner():
    """It crosses nothing, and keeps its sense."""
    scene = Scene(shapely.box(0, 0, 5, 5), shapely.box(5, 5, 8, 8))
    (small,) = np.flatnonzero((scene.arcs.sides == 1).any(axis=1))
    inside, outside = [(5, 5), (3, 4), (2, 2), (4, 3), (5, 5)], [(5, 5), (7, 6), (8, 8), (6, 7), (5, 5)]
    sense = np.sign(
        shapely.LinearRing(np.split(scene.arcs.coords, scene.arcs.starts[1:-1])[small]).is_ccw - 0.5
    )
    for corners, taken in ((inside, False), (outside, True)):
        ring = shapely.LinearRing(corners)
        points = corners if ring.is_ccw == (sense > 0) else corners[::-1]
        found, chosen = scene.settle(scene.drawn(**{f"arc_{small}": lambda _, points=points: points}))
        assert (chosen[small] == 0) == taken
        assert shapely.coverage_is_valid(found)


def test_second_best_drawings_do_not_move_junctions(pair):
    found, chosen = pair.settle(pair.drawn(), pull(pair, 0, [0.5, 0.25]), level=[1, 1, 1])
    assert chosen == [1, 1, 1]
    assert shapely.equals(found, pair.polygons).all()


def test_arcs_of_several_drawings_are_put_together():
    first = np.arange(12.0).reshape(6, 2), np.array([0, 1, 4, 6])
    second = -np.arange(8.0).reshape(4, 2), np.array([0, 2, 2, 4])
    coords, starts = mix([first, second], np.array([1, 0, 1]))
    assert starts.tolist() == [0, 2, 5, 7]
    assert coords[:, 0].tolist() == [0, -2, 2, 4, 6, -4, -6]


def test_what_was_drawn_for_some_takes_its_place_among_all():
    drawn = np.arange(6.0).reshape(3, 2), np.array([0, 2, 3])
    coords, starts = spread(drawn, np.array([False, True, False, True]))
    assert coords is drawn[0]
    assert starts.tolist() == [0, 0, 2, 2, 3]
