"""Directions of buildings, modulo 90 degrees."""

import numpy as np
import pytest
import shapely
from houses import COURTYARD, L_SHAPE, U_SHAPE, array, roughen, row, turn

from geoconvnext.vector.arcs import NOBODY, cut
from geoconvnext.vector.directions import SAME_DEGREES, find_frames
from geoconvnext.vector.rings import Rings
from geoconvnext.vector.simplify import simplify


def frames_of(polygons, tolerance=0.5):
    """Return the arcs of polygons, their frames' numbers, and the directions in degrees."""
    rings = Rings.of(polygons)
    arcs = cut(rings, np.zeros(len(rings.sizes), np.int64))
    frames = find_frames(arcs, simplify(arcs, np.full(len(arcs), tolerance)), len(polygons))
    return arcs, frames.number, np.degrees(frames.angle)


def off(angle, expected):
    """Return the difference of two directions modulo 90 degrees."""
    return np.abs((np.asarray(angle) - expected + 45) % 90 - 45).max()


@pytest.mark.parametrize("degrees", [0, 0.4, 17, 44.9, 45, 60, 89.7])
@pytest.mark.parametrize("shape", [shapely.box(0, 0, 14, 9), L_SHAPE, U_SHAPE, COURTYARD])
def test_a_building_has_the_direction_of_its_walls(degrees, shape):
    plain = turn(array(shape), degrees)
    for polygons, within in ((plain, 0.6), (roughen(plain, 0), 2.0)):
        _, _, angle = frames_of(polygons)
        assert off(angle, degrees) < within
        assert ((angle >= 0) & (angle < 90)).all()


def test_long_walls_count_more():
    """A long wall, and a rounded end of as much outline in all."""
    turns = np.radians(np.arange(-80, 81, 10))
    end = np.column_stack([20 + 5 * np.cos(turns), 5 + 5 * np.sin(turns)])
    _, _, (angle,) = frames_of(
        turn(array(shapely.Polygon([(0, 0), (20, 0), *end, (20, 10), (0, 10)])), 30), 0.05
    )
    assert off(angle, 30) < 1


def test_the_minority_does_not_count():
    """A wing at 45 degrees turns nothing."""
    wing = shapely.Polygon([(20, 4), (24, 8), (20, 12)])
    _, _, (angle,) = frames_of(turn(array(shapely.union(shapely.box(0, 0, 20, 12), wing)), 12))
    assert off(angle, 12) < 0.6


def pair(degrees, *, width=10.0):
    """Two houses that share a wall, the second one turned; its far side is."""
    first = shapely.Polygon([(0, 0), (width, 0), (width, 10), (0, 10)])
    slope = np.tan(np.radians(degrees)) * 14
    second = shapely.Polygon([(width, 0), (width + 14, slope), (width + 14, 10 + slope), (width, 10)])
    return array(first, second)


@pytest.mark.parametrize("degrees", [3, -3, 7])
@pytest.mark.parametrize("turned", [0, 2, 40, 88])
def test_neighbours_that_nearly_agree_have_one_frame(degrees, turned):
    _, number, angle = frames_of(turn(pair(degrees), turned))
    assert len(set(number)) == 1
    assert off(angle, turned + degrees / 2) <= abs(degrees) / 2


@pytest.mark.parametrize("degrees", [1.5 * SAME_DEGREES + 10, 40, -30])
def test_others_keep_their_own(degrees):
    """The wall between has the frame of the building with the smaller number."""
    arcs, number, angle = frames_of(turn(pair(degrees), 5))
    between = (arcs.sides != NOBODY).all(axis=1)
    second = (arcs.sides == 1).any(axis=1) & ~between
    assert len(set(number)) == 2
    assert off(angle[second], 5 + degrees) < 1
    assert off(angle[~second], 5) < 1
    assert set(number[between]) == {number[~second & ~between][0]}


def test_all_houses_of_a_row_have_one_frame():
    _, number, angle = frames_of(roughen(turn(row(8, step=1.0), 25), 0))
    assert len(set(number)) == 1
    assert off(angle, 25) < 0.5


def test_buildings_apart_have_frames_of_their_own():
    polygons = np.concatenate([row(1), turn(row(1), 1.0, (30, 0))])
    _, number, angle = frames_of(polygons)
    assert len(set(number)) == 2
    assert off(angle[0], 0) < 0.5
    assert off(angle[1], 1) < 0.5


def test_a_courtyard_has_the_frame_of_its_building():
    arcs, number, _ = frames_of(turn(array(COURTYARD), 30))
    assert len(arcs) == 2
    assert number[0] == number[1]


def test_nothing():
    _, number, angle = frames_of(array())
    assert number.shape == angle.shape == (0,)


def test_some_arcs_are_taken_out():
    rings = Rings.of(turn(row(3), 20))
    arcs = cut(rings, np.zeros(3, np.int64))
    frames = find_frames(arcs, (arcs.coords, arcs.starts), 3)
    chosen = np.arange(len(arcs)) % 2 == 0
    taken = frames.take(chosen)
    assert taken.number.tolist() == frames.number[chosen].tolist()
    assert taken.angle.tolist() == frames.angle[chosen].tolist()
