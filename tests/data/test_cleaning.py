import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from geoconvnext.data.cleaning import LabelCount, clean

PIXEL = 0.5
BOW_TIE = Polygon([(0, 0), (20, 20), (20, 0), (0, 20)])


def cleaned(*shapes):
    polygons, count = clean(np.array(shapes, object), pixel=PIXEL)
    assert count.used == len(polygons)
    return list(polygons), count


def overlap(polygons):
    """Largest area that two polygons share."""
    pairs = [(one, other) for number, one in enumerate(polygons) for other in polygons[:number]]
    return max((one.intersection(other).area for one, other in pairs), default=0.0)


def test_good_polygons_stay_as_they_are():
    court = Polygon(box(0, 0, 30, 30).exterior, [box(10, 10, 20, 20).exterior])
    shapes = [court, box(30, 0, 50, 30), box(12, 12, 18, 18)]
    polygons, count = cleaned(*shapes)
    assert polygons == shapes
    assert count == LabelCount(used=3)


def test_nothing():
    assert cleaned() == ([], LabelCount())


def test_parts_of_a_multi_polygon_are_buildings_of_their_own():
    one, other = box(0, 0, 10, 10), box(20, 0, 30, 10)
    assert cleaned(MultiPolygon([one, other])) == ([one, other], LabelCount(used=2))


def test_invalid_polygons_are_repaired():
    polygons, count = cleaned(BOW_TIE, box(50, 50, 60, 60))
    assert count == LabelCount(used=3, repaired=1)
    assert all(polygon.is_valid for polygon in polygons)
    assert sum(polygon.area for polygon in polygons) == pytest.approx(200 + 100)


def test_a_repair_that_makes_lines_and_polygons():
    spiked = Polygon(
        [(0, 0), (10, 0), (10, 10), (30, 10), (30, 20), (10, 20), (10, 10), (0, 10), (0, 5), (-8, 5)]
    )
    spiked = Polygon([*spiked.exterior.coords[:-1], (0, 5)])
    assert not spiked.is_valid
    polygons, count = cleaned(spiked)
    assert count.repaired == 1
    assert sum(polygon.area for polygon in polygons) == pytest.approx(300)


def test_only_polygons_count_and_heights_do_not():
    house = Polygon([(0, 0, 100), (10, 0, 100), (10, 10, 100)])
    polygons, count = cleaned(
        house, Point(1, 1), LineString([(0, 0), (9, 9)]), GeometryCollection([box(20, 0, 30, 9)])
    )
    assert [polygon.bounds for polygon in polygons] == [(0, 0, 10, 10), (20, 0, 30, 9)]
    assert not any(polygon.has_z for polygon in polygons)
    assert count == LabelCount(used=2)


def test_what_is_drawn_twice_is_kept_once():
    house = box(0, 0, 10, 10)
    turned = Polygon(np.roll(np.array(house.exterior.coords[:-1]), 1, axis=0))
    redrawn = box(0.1, 0.1, 10.1, 10.1)
    polygons, count = cleaned(house, box(20, 0, 30, 9), turned, redrawn)
    assert polygons == [house, box(20, 0, 30, 9)]
    assert count == LabelCount(used=2, duplicates=2)


def test_the_smaller_keeps_its_ground():
    block, house = box(0, 0, 40, 40), box(30, 30, 45, 45)
    polygons, count = cleaned(block, house)
    assert count == LabelCount(used=2, overlaps=1)
    assert polygons[1] == house
    assert polygons[0].equals(block.difference(house))


def test_a_house_inside_its_block_leaves_a_hole():
    polygons, _ = cleaned(box(10, 10, 20, 20), box(0, 0, 40, 40))
    assert polygons[0] == box(10, 10, 20, 20)
    assert polygons[1].area == 1500
    assert len(polygons[1].interiors) == 1


def test_a_sliver_that_is_left_over_is_no_building():
    left, right = box(0, 0, 10, 10), box(10.2, 0, 20, 10)
    polygons, count = cleaned(box(0, 0, 20, 10), left, right)
    assert polygons == [left, right]
    assert count == LabelCount(used=2, overlaps=1)


@pytest.mark.parametrize("angle", [0, 33, 71])
def test_a_common_wall_is_no_overlap(angle):
    # Of different length and rotated, so that the wall is not the same line to the last bit.
    walls = [
        shapely.affinity.rotate(shape, angle, origin=(-7, 3))
        for shape in (box(0, 0, 10, 10), box(10, 2, 20, 8))
    ]
    assert cleaned(*walls) == (walls, LabelCount(used=2))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(2, 15), st.integers(2, 15)), max_size=9
    )
)
def test_nothing_overlaps_and_no_ground_is_lost(corners):
    shapes = [box(x, y, x + width, y + height) for x, y, width, height in corners]
    polygons, count = cleaned(*shapes)
    assert overlap(polygons) < 1e-6
    assert all(polygon.is_valid and polygon.area > 0 for polygon in polygons)
    # Whole coordinates leave no slivers, and what is drawn twice covers the same but for 10%.
    covered, truth = shapely.union_all(polygons), shapely.union_all(shapes)
    assert covered.difference(truth).area < 1e-6
    assert (
        truth.difference(covered).area
        <= 0.1 * sum(shape.area for shape in shapes) * (count.duplicates > 0) + 1e-6
    )
