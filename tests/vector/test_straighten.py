"""Walls put together to buildings: lines across junctions, corners on two lines, a hard tolerance."""

import numpy as np
import pytest
import shapely
from houses import L_SHAPE, angles, array, cells, farthest, roughen, row, turn

from geoconvnext.vector.arcs import NOBODY, cut
from geoconvnext.vector.directions import Frames, find_frames
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.simplify import simplify
from geoconvnext.vector.straighten import HARD, SAME_LINE, straighten
from geoconvnext.vector.walls import find_walls

HOUSE = array(shapely.box(0, 0, 14, 9))


class Straight:
    """What becomes of polygons. drawn: polygons; far: (arcs,); parts: the points of every arc."""

    def __init__(self, polygons, *, tolerance=1.0, hard=None, frame=None):
        rings = Rings.of(polygons)
        self.arcs = cut(rings, np.zeros(len(rings.sizes), np.int64))
        within = np.full(len(self.arcs), tolerance)
        frames = find_frames(self.arcs, simplify(self.arcs, 0.5 * within), len(polygons))
        if frame is not None:
            frames = Frames(np.zeros_like(frames.number), np.full(len(self.arcs), np.radians(frame)))
        walls = find_walls(self.arcs, frames, within, free_price=5.0)
        hard = within if hard is None else np.full(len(self.arcs), hard)
        (coords, starts), self.far = straighten(self.arcs, walls, frames, hard)
        self.drawn = self.arcs.rings(coords, starts).to_polygons()
        self.parts = np.split(coords, starts[1:-1])

    def shared(self):
        """Return the points of the arcs between two buildings."""
        between = (self.arcs.sides != NOBODY).all(axis=1)
        return [part for part, one in zip(self.parts, between, strict=True) if one]


@pytest.mark.parametrize("shape", [HOUSE[0], L_SHAPE])
@pytest.mark.parametrize("degrees", [0, 30, 77])
def test_corners_lie_where_walls_meet(shape, degrees):
    truth = turn(array(shape), degrees)
    made = Straight(roughen(truth, 0))
    assert shapely.get_num_coordinates(made.drawn) == shapely.get_num_coordinates(truth)
    assert shapely.hausdorff_distance(made.drawn, truth)[0] < 0.1
    np.testing.assert_allclose(angles(made.drawn[0]), 90)
    assert not made.far.any()


@pytest.mark.parametrize("error", [-1, 0, 1])
def test_the_walls_correct_their_frame(error):
    """What the histogram says is a degree off at times."""
    made = Straight(roughen(turn(HOUSE, 30), 1), frame=30 + error)
    ((x, y),) = np.diff(shapely.get_coordinates(made.drawn[0])[:2], axis=0)
    assert (np.degrees(np.arctan2(y, x)) - 30 + 45) % 90 - 45 == pytest.approx(0, abs=0.4)
    np.testing.assert_allclose(angles(made.drawn[0]), 90)


def test_a_front_that_goes_on_is_one_line():
    made = Straight(roughen(turn(row(5), 20), 0))
    assert shapely.coverage_is_valid(made.drawn)
    block = shapely.union_all(made.drawn).simplify(1e-9)
    assert shapely.get_num_coordinates(block) == 5
    np.testing.assert_allclose(angles(block), 90)
    assert [len(part) for part in made.shared()] == [2] * 4


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
def test_a_front_with_a_step_is_not(step):
    """The side of the step goes on along the wall between the houses, on one line."""
    truth = turn(row(4, step=step), 20)
    made = Straight(roughen(truth, 0))
    assert shapely.coverage_is_valid(made.drawn)
    assert shapely.hausdorff_distance(made.drawn, truth).max() < 0.15
    assert [len(part) for part in made.shared()] == [2] * 3
    for house, true in zip(made.drawn, truth, strict=True):
        turns = angles(house)
        np.testing.assert_allclose(turns[turns > 1], 90)
        assert (turns > 1).sum() == 4
        assert len(turns) == shapely.get_num_coordinates(true) - 1
        assert turns[turns < 1].max() < 1e-6


def test_fronts_on_nearly_one_line_become_one():
    near, far = (Straight(row(3, step=share * SAME_LINE)) for share in (0.8, 1.5))
    assert shapely.get_num_coordinates(shapely.union_all(near.drawn).simplify(1e-9)) == 5
    assert shapely.get_num_coordinates(shapely.union_all(far.drawn).simplify(1e-9)) == 13


def test_four_walls_meet_in_one_place():
    block = array(*(shapely.box(x, y, x + 8, y + 8) for x in (0, 8) for y in (0, 8)))
    made = Straight(roughen(turn(block, 15), 0))
    assert shapely.coverage_is_valid(made.drawn)
    middle = shapely.intersection_all(made.drawn)
    assert middle.geom_type == "Point"
    assert shapely.distance(middle, turn([shapely.Point(8, 8)], 15)[0]) < 0.1
    assert all(len(part) == 2 for part in made.shared())


def test_a_wall_between_frames_is_straight():
    """Neighbours at 30 degrees to each other, and what is between has the frame of the first."""
    first = shapely.Polygon([(0, 0), (10, 0), (10, 10), (0, 10)])
    second = shapely.Polygon([(10, 0), (22, 6.93), (17, 15.59), (10, 10)])
    made = Straight(roughen(array(first, second), 0))
    assert shapely.coverage_is_valid(made.drawn)
    assert [len(part) for part in made.shared()] == [2]
    np.testing.assert_allclose(angles(made.drawn[0]), 90, atol=5)


def test_what_moves_farther_than_the_hard_tolerance_is_told():
    for seed in range(5):
        outline = roughen(turn(HOUSE, 30), seed)
        moved = farthest(outline[0], Straight(outline).drawn[0])
        assert not Straight(outline, hard=1.01 * moved / HARD).far.any()
        assert Straight(outline, hard=0.95 * moved / HARD).far.all()


@pytest.mark.parametrize("tolerance", [0.1, 0.3, 1.0])
def test_nothing_else_moves_farther(tolerance):
    """Each point of an arc is near what was drawn for the arc, or the arc is far."""
    told = 0
    for seed in range(20):
        made = Straight(roughen(cells(seed), seed, sigma=0.08), tolerance=tolerance)
        told += made.far.sum()
        for number in np.flatnonzero(~made.far):
            before = made.arcs.coords[made.arcs.starts[number] : made.arcs.starts[number + 1]]
            part = made.parts[number]
            if made.arcs.nodes[number, 0] == NOBODY:
                part = np.concatenate([part, part[:1]])
            away = shapely.distance(shapely.points(before), shapely.LineString(part)).max()
            assert away <= HARD * tolerance + 1e-9
    assert told == 0 or tolerance < 1


def test_junctions_are_shared_by_what_is_drawn():
    for seed in range(10):
        made = Straight(roughen(cells(seed), seed))
        place = {}
        for part, nodes in zip(made.parts, made.arcs.nodes, strict=True):
            for end, node in zip((part[0], part[-1]), nodes, strict=True):
                if node != NOBODY:
                    assert place.setdefault(node, tuple(end)) == tuple(end)


def test_nothing():
    made = Straight(array())
    assert made.far.shape == made.drawn.shape == (0,)
