import numpy as np
import pytest
import shapely
from shapely import MultiPolygon, Polygon, box

from geoconvnext.data.rings import Rings

COURT = box(0, 0, 10, 8) - box(2, 2, 4, 5)
PAIR = MultiPolygon([box(20, 0, 22, 2), box(30, 0, 33, 3)])
SHAPES = [COURT, PAIR, box(50, 5, 52, 6)]


def pieces(rings):
    return np.split(rings.coords, rings.offsets[1:-1])


def test_rings_of_polygons():
    rings = Rings.from_polygons(SHAPES)
    assert rings.building.tolist() == [1, 1, 2, 2, 3]
    assert rings.buildings == 3
    assert rings.offsets.tolist() == [0, 5, 10, 15, 20, 25]
    for piece in pieces(rings):
        np.testing.assert_array_equal(piece[0], piece[-1])
    assert (rings.coords.dtype, rings.offsets.dtype, rings.building.dtype) == (float, np.int64, np.int32)


@pytest.mark.parametrize("clockwise", [True, False])
def test_holes_turn_the_other_way_whatever_the_polygons_winding(clockwise):
    rings = Rings.from_polygons(shapely.orient_polygons(SHAPES, exterior_cw=clockwise))
    signed = np.array([np.sum(p[:-1, 0] * p[1:, 1] - p[1:, 0] * p[:-1, 1]) / 2 for p in pieces(rings)])
    np.testing.assert_allclose(np.abs(signed), [80, 6, 4, 9, 2])
    assert np.sign(signed).tolist() == [1, -1, 1, 1, 1]


@pytest.mark.parametrize("polygons", [[], np.array([], object), [Polygon()]])
def test_nothing(polygons):
    rings = Rings.from_polygons(polygons)
    assert rings.buildings == 0
    assert rings.coords.shape == (0, 2)
    assert rings.offsets.tolist() == [0]


def test_moved_is_the_affine_transform_of_the_polygons():
    matrix = np.array([[0.5, -2.0, 7.0], [1.5, 0.25, -3.0]])
    moved = Rings.from_polygons(SHAPES).moved(matrix)
    (a, b, x), (c, d, y) = matrix
    expected = shapely.transform(shapely.orient_polygons(SHAPES), lambda p: p @ [[a, c], [b, d]] + [x, y])
    np.testing.assert_allclose(moved.coords, shapely.get_coordinates(expected))


def test_only_some_buildings():
    rings = Rings.from_polygons(SHAPES).only(np.array([1, 3]))
    assert rings.building.tolist() == [1, 1, 3]
    expected = Rings.from_polygons([SHAPES[0], SHAPES[2]])
    np.testing.assert_array_equal(rings.coords, expected.coords)
    np.testing.assert_array_equal(rings.offsets, expected.offsets)


def test_joined_buildings_are_numbered_on():
    joined = Rings.from_polygons(SHAPES[:1]).joined(Rings.from_polygons(SHAPES[1:]))
    together = Rings.from_polygons(SHAPES)
    np.testing.assert_array_equal(joined.coords, together.coords)
    np.testing.assert_array_equal(joined.offsets, together.offsets)
    np.testing.assert_array_equal(joined.building, together.building)
    empty = Rings.from_polygons([])
    assert empty.joined(together).building.tolist() == together.joined(empty).building.tolist()
