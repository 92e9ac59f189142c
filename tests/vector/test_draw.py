"""Buildings of many patches in one, and what is too small left out."""

import numpy as np
import pytest
import shapely

from geoconvnext.vector.draw import Outlines, draw
from geoconvnext.vector.features import RASTER_FEATURES
from geoconvnext.vector.rules import FootprintRules
from geoconvnext.vector.sweep import sweep

RULES = FootprintRules()


def outlines_of(body, contact=0):
    """Return the outlines of a raster of body probabilities."""
    raster = np.zeros((3, *body.shape), np.uint8)
    raster[0], raster[2] = body, contact
    return draw(list(sweep([raster], width=body.shape[1], threshold=RULES.body_level)), RULES, min_seed_px=0)


@pytest.fixture
def town():
    """Two houses that touch, one with two courtyards, and one apart."""
    body, contact = np.zeros((60, 60), np.uint8), np.zeros((60, 60), np.uint8)
    body[5:25, 5:45], contact[5:25, 24:26] = 254, 254
    body[30:55, 10:40] = 254
    body[33:35, 13:15] = body[40:45, 20:26] = 0
    body[40:43, 50:53] = 254
    return outlines_of(body, contact)


def test_buildings_follow_their_patches(town):
    polygons = town.rings.to_polygons()
    assert town.patch.tolist() == [0, 0, 1, 2]
    bounds = shapely.bounds(polygons)
    assert bounds == pytest.approx(np.array([
        [5, 5, 25, 25], [25, 5, 45, 25], [50, 40, 53, 43], [10, 30, 40, 55],
    ]), abs=0.1)  # fmt: skip
    assert [len(polygon.interiors) for polygon in polygons] == [0, 0, 0, 2]
    assert town.features.shape == (4, len(RASTER_FEATURES))
    assert not town.touches_edge.any()
    assert shapely.coverage_is_valid(polygons)


def test_holes_are_filled_one_by_one(town):
    for least, holes in ((0.0, 2), (3.0, 2), (5.0, 1), (40.0, 0)):
        filled = town.without_small_holes(np.full(4, least)).rings.to_polygons()
        assert [len(polygon.interiors) for polygon in filled] == [0, 0, 0, holes]
        assert shapely.area(filled)[:3].tolist() == shapely.area(town.rings.to_polygons())[:3].tolist()


def test_each_building_has_a_least_hole_of_its_own(town):
    filled = town.without_small_holes(np.array([1000.0, 1000.0, 1000.0, 5.0]))
    assert [len(polygon.interiors) for polygon in filled.rings.to_polygons()] == [0, 0, 0, 1]


def test_small_buildings_go_with_all_that_is_known_of_them(town):
    marked = Outlines(town.rings, town.patch, np.arange(4.0)[:, None], np.array([True, False, True, False]))
    left = marked.without_small_ones(np.array([0.0, 500.0, 20.0, 100.0]))
    assert left.rings.owners.tolist() == [0, 1, 1, 1]
    assert left.patch.tolist() == [0, 2]
    assert left.features[:, 0].tolist() == [0, 3]
    assert left.touches_edge.tolist() == [True, False]
    polygons = town.rings.to_polygons()[[0, 3]]
    assert shapely.equals_identical(left.rings.to_polygons(), polygons).all()


def test_what_holes_take_away_counts(town):
    area = town.rings.polygon_areas(4)[3]
    assert area < 720
    assert len(town.without_small_ones(np.array([0.0, 0.0, 0.0, area + 1])).patch) == 3
    assert len(town.without_small_ones(np.array([0.0, 0.0, 0.0, area - 1])).patch) == 4


def test_nothing():
    nothing = outlines_of(np.zeros((9, 9), np.uint8))
    assert nothing.features.shape == (0, len(RASTER_FEATURES))
    assert nothing.rings.to_polygons().shape == nothing.patch.shape == (0,)
    assert len(nothing.without_small_holes(np.empty(0)).without_small_ones(np.empty(0)).patch) == 0
