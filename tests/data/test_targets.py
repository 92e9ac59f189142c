import math

import numpy as np
import pytest
import shapely
from shapely import affinity, box

from geoconvnext.data.rings import Rings
from geoconvnext.data.targets import (
    CONTACT_M,
    EDGE_M,
    IGNORE,
    ORIENTATION_STRIDE,
    WHOLE,
    make_targets,
    margin_px,
)

HEIGHT, WIDTH = 44, 48
TOUCHING = [box(6, 8, 16, 20), box(16, 8, 25, 20), box(30, 30, 39, 38)]


def targets(polygons, *, gsd_m=0.3, shape=(HEIGHT, WIDTH), unknown=None, **options):
    """Targets of polygons; `unknown`: slices of the grid with its margin of which nothing is known."""
    known = np.ones([size + 2 * margin_px(gsd_m) for size in shape], bool)
    if unknown is not None:
        known[unknown] = False
    return make_targets(Rings.from_polygons(polygons), known, gsd_m=gsd_m, **options)


def points(count, gsd_m):
    """Centres of pixels in metres."""
    along = (np.arange(count) + 0.5) * gsd_m
    return shapely.points(*np.meshgrid(along, along))


def test_body_is_the_covered_share():
    body = targets([box(2, 2, 6.5, 4.25), box(6.5, 2, 8, 4)]).body
    assert body.dtype == np.uint8
    assert body[3, :10].tolist() == [0, 0, *[WHOLE] * 6, 0, 0]
    assert body[4, 2:7].tolist() == [64, 64, 64, 64, 32]
    assert np.count_nonzero(body) == 6 * 2 + 5


@pytest.mark.parametrize("gsd_m", [0.2, 0.25, 0.5])
def test_widths_are_in_metres(gsd_m):
    ground = [box(5, 5, 12, 14), box(12, 5, 18, 14), box(19.5, 5, 22, 9)]
    polygons = [affinity.scale(polygon, 1 / gsd_m, 1 / gsd_m, origin=(0, 0)) for polygon in ground]
    count = round(24 / gsd_m)
    result = targets(polygons, gsd_m=gsd_m, shape=(count, count))
    metres = points(count, gsd_m)
    walls = shapely.distance(metres, shapely.union_all([p.boundary for p in ground]))
    each = np.sort([shapely.distance(metres, p) for p in ground], axis=0)
    clear = (np.abs(walls - EDGE_M) > 1e-6) & (np.abs(each[1] - CONTACT_M) > 1e-6)
    np.testing.assert_array_equal(result.edge[clear], (walls <= EDGE_M)[clear])
    np.testing.assert_array_equal(result.contact[clear], (each[1] <= CONTACT_M)[clear])
    assert result.contact.any()


def test_lines_are_two_pixels_wide_or_more():
    result = targets([box(4, 4, 20, 30), box(20, 4, 36, 30)], gsd_m=5.0)
    assert result.edge[20, 10:30].sum() == 2
    assert result.contact[20, 10:30].sum() == 2


def test_lone_buildings_have_no_contact():
    assert not targets(TOUCHING[2:]).contact.any()


def test_where_touching_buildings_are_one_polygon_nothing_is_said_of_contacts():
    result = targets(TOUCHING, separate=False)
    assert (result.contact == IGNORE).all()
    assert (result.body != IGNORE).all()
    assert (result.edge != IGNORE).all()


def test_nothing_is_said_of_unknown_ground_nor_of_lines_near_it():
    margin = margin_px(0.3)
    all_known, some = targets(TOUCHING), targets(TOUCHING, unknown=np.s_[: margin + 12])
    for name, width_m in (("body", 0), ("edge", EDGE_M), ("contact", CONTACT_M)):
        found, full = getattr(some, name), getattr(all_known, name)
        last = 11 + math.floor(width_m / 0.3 + math.sqrt(0.5))
        assert (found[: last + 1] == IGNORE).all(), name
        np.testing.assert_array_equal(found[last + 1 :], full[last + 1 :], name)


def test_unknown_ground_beyond_the_sample_counts_too():
    result = targets([box(0, 10, 20, 30)], unknown=np.s_[:, : margin_px(0.3)])
    assert (result.body != IGNORE).all()
    assert (result.edge[:, :2] == IGNORE).all()
    assert (result.edge[:, 2:] != IGNORE).all()
    assert (result.contact[:, :4] == IGNORE).all()


@pytest.mark.parametrize("cut_off", [True, False])
def test_a_building_that_meets_unknown_ground_has_neither_edge_nor_orientation_there(cut_off):
    """Whether its polygon ends there or goes on."""
    margin = margin_px(0.3)
    building = box(24 if cut_off else -100, -100, 200, 200)
    result = targets([building], unknown=np.s_[:, : margin + 24])
    assert not (result.edge == 1).any()
    assert not result.orientation.any()
    assert (result.body[:, 24:] == WHOLE).all()


@pytest.mark.parametrize("degrees", [0, 15, 30, 45, 70, 90, 160])
def test_orientation_is_the_angle_of_a_rotated_rectangle(degrees):
    building = affinity.rotate(box(53, 83, 203, 173), degrees)
    orientation = targets([building], shape=(256, 256)).orientation
    assert orientation.dtype == np.float32
    assert orientation.shape == (2, 256 // ORIENTATION_STRIDE, 256 // ORIENTATION_STRIDE)
    certainty = np.hypot(*orientation)
    assert certainty.max() <= 1 + 1e-5
    sure = orientation[:, certainty > 0.7]
    assert sure.shape[1] > 30
    cosine, sine = np.median(sure, axis=1)
    off = math.atan2(sine, cosine) - math.radians(4 * degrees)
    assert abs(math.remainder(off, math.tau)) / 4 < math.radians(0.7)


def test_orientation_is_zero_without_walls():
    assert not targets([]).orientation.any()
    assert not targets([box(-100, -100, 200, 200)]).orientation.any()
