"""Ragged rings against shapely."""

import numpy as np
import pytest
import shapely
from houses import COURTYARD, L_SHAPE, array, turn

from geoconvnext.vector.rings import Rings

HOUSES = turn(array(shapely.box(0, 0, 3, 2), COURTYARD, L_SHAPE, shapely.Polygon(L_SHAPE.exterior)), 17)


def test_polygons_come_back_as_they_were():
    rings = Rings.of(HOUSES)
    assert rings.sizes.tolist() == [4, 4, 4, 6, 6]
    assert rings.owners.tolist() == [0, 1, 1, 2, 3]
    assert rings.is_exterior.tolist() == [True, True, False, True, True]
    assert rings.starts.tolist() == [0, 4, 8, 12, 18, 24]
    assert shapely.equals_identical(rings.to_polygons(), HOUSES).all()


def test_no_vertex_is_repeated_at_the_end():
    rings = Rings.of(array(shapely.box(0, 0, 3, 2)))
    assert sorted(map(tuple, rings.coords)) == [(0, 0), (0, 2), (3, 0), (3, 2)]


@pytest.mark.parametrize("corner", [(0, 0), (420_000, 5_800_000)])
def test_areas_are_those_of_shapely(corner):
    rings = Rings.of(turn(HOUSES, 30, corner))
    assert rings.polygon_areas(4) == pytest.approx(shapely.area(HOUSES), rel=1e-9)
    assert np.abs(rings.areas) == pytest.approx([6, 480, 80, 132, 132], rel=1e-9)


def test_areas_have_a_sign():
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    rings = Rings.of(array(shapely.Polygon(square), shapely.Polygon(square[::-1])))
    assert rings.areas.tolist() == [1.0, -1.0]
    assert rings.polygon_areas(2).tolist() == [1.0, 1.0]


def test_polygons_without_rings_have_no_area():
    assert Rings.of(HOUSES).select(np.arange(5) == 2).polygon_areas(4).tolist()[2:] == [0.0, 0.0]


def test_grouping_keeps_the_rings_of_one_polygon_in_order():
    outer, inner = np.array(COURTYARD.exterior.coords)[:-1], np.array(COURTYARD.interiors[0].coords)[:-1]
    triangle = np.array([(50.0, 0.0), (60.0, 0.0), (55.0, 9.0)])
    rings = Rings.grouped(np.concatenate([outer, triangle, inner]), np.array([4, 3, 4]), np.array([1, 0, 1]))
    assert rings.owners.tolist() == [0, 1, 1]
    found = rings.to_polygons()
    assert shapely.equals_identical(found, array(shapely.Polygon(triangle), COURTYARD)).all()


def test_selected_rings_keep_their_polygons():
    rings = Rings.of(HOUSES)
    left = rings.select(rings.is_exterior)
    assert left.owners.tolist() == [0, 1, 2, 3]
    assert [len(polygon.interiors) for polygon in left.to_polygons()] == [0, 0, 0, 0]
    assert left.polygon_areas(4) == pytest.approx([6, 480, 132, 132])


def test_nothing():
    rings = Rings.of(array())
    assert rings.coords.shape == (0, 2)
    assert rings.to_polygons().shape == rings.areas.shape == rings.is_exterior.shape == (0,)
    assert rings.polygon_areas(0).shape == (0,)
    assert len(Rings.grouped(rings.coords, rings.sizes, rings.owners).sizes) == 0
