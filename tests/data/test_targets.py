import math

import cv2
import numpy as np
import pytest

from geoconvnext.data.targets import IGNORE, ORIENTATION_STRIDE, UNLABELLED, make_targets

TOUCHING = [(8, 6, 12, 10), (8, 16, 12, 9), (30, 30, 8, 9)]


def instances(height, width, rectangles):
    numbers = np.zeros((height, width), np.uint16)
    for number, (row, col, rows, cols) in enumerate(rectangles, 1):
        numbers[row : row + rows, col : col + cols] = number
    return numbers


def near(numbers, radius):
    """For each pixel the values within a disk of `radius` pixels, itself included."""
    height, width = numbers.shape
    for row in range(height):
        for col in range(width):
            around = []
            for down in range(-radius, radius + 1):
                reach = round(math.sqrt(radius**2 - down**2))
                if 0 <= row + down < height:
                    around += list(numbers[row + down, max(0, col - reach) : col + reach + 1])
            yield row, col, around


def edge_oracle(numbers, radius):
    change = np.zeros(numbers.shape, bool)
    for row, col in np.ndindex(numbers.shape):
        above, left = numbers[max(row - 1, 0), col], numbers[row, max(col - 1, 0)]
        change[row, col] = numbers[row, col] != above or numbers[row, col] != left
    edge = np.zeros(numbers.shape, np.uint8)
    for row, col, around in near(change, radius):
        edge[row, col] = any(around)
    return edge


def contact_oracle(numbers, radius):
    contact = np.zeros(numbers.shape, np.uint8)
    for row, col, around in near(numbers, radius):
        contact[row, col] = len({int(number) for number in around} - {0}) > 1
    return contact


@pytest.mark.parametrize(("gsd_m", "edge_px", "contact_px"), [(0.5, 1, 2), (0.2, 2, 6)])
def test_drawn_rectangles_match_naive_oracles(gsd_m, edge_px, contact_px):
    numbers = instances(44, 48, TOUCHING)
    targets = make_targets(numbers, gsd_m=gsd_m)
    np.testing.assert_array_equal(targets.body, numbers > 0)
    np.testing.assert_array_equal(targets.edge, edge_oracle(numbers, edge_px))
    np.testing.assert_array_equal(targets.contact, contact_oracle(numbers, contact_px))
    assert targets.contact.any()


@pytest.mark.parametrize("gsd_m", [0.1, 0.2, 0.4])
def test_widths_are_in_metres(gsd_m):
    left, right = (0, 0, 200, 100), (0, 100, 200, 60)
    targets = make_targets(instances(200, 200, [left, right]), gsd_m=gsd_m, edge_m=0.5, contact_m=1.2)
    shared_wall, outer_wall = targets.edge[100, :130], targets.edge[100, 130:]
    assert shared_wall.sum() * gsd_m == pytest.approx(1.0, abs=2 * gsd_m)
    assert outer_wall.sum() * gsd_m == pytest.approx(1.0, abs=2 * gsd_m)
    assert targets.contact[100].sum() * gsd_m == pytest.approx(2.4, abs=2 * gsd_m)


def test_every_target_has_a_width_of_a_pixel_or_more():
    targets = make_targets(instances(16, 16, [(0, 0, 16, 8)]), gsd_m=5.0)
    assert targets.edge[8].sum() == 3


def test_lone_buildings_have_no_contact():
    assert not make_targets(instances(44, 48, [(8, 8, 12, 10)]), gsd_m=0.3).contact.any()


def test_unlabelled_pixels_are_ignored():
    numbers = instances(44, 48, TOUCHING)
    numbers[:10] = UNLABELLED
    targets = make_targets(numbers, gsd_m=0.3)
    for target in (targets.body, targets.edge, targets.contact):
        assert target.dtype == np.uint8
        assert (target[:10] == IGNORE).all()
        assert (target[10:] != IGNORE).all()


def test_unlabelled_is_no_building_that_others_touch():
    numbers = instances(44, 48, [(0, 0, 44, 20)])
    numbers[:, 20:] = UNLABELLED
    assert not (make_targets(numbers, gsd_m=0.3).contact == 1).any()


def test_where_touching_buildings_share_a_number_nothing_is_said_of_contacts():
    targets = make_targets(instances(44, 48, TOUCHING), gsd_m=0.3, separate=False)
    assert (targets.contact == IGNORE).all()
    assert (targets.body != IGNORE).all()


@pytest.mark.parametrize("degrees", [0, 15, 30, 45, 70, 90, 160])
def test_orientation_is_the_angle_of_a_rotated_rectangle(degrees):
    corners = cv2.boxPoints(((128, 128), (150, 90), degrees))
    body = cv2.fillPoly(np.zeros((256, 256), np.uint8), [np.rint(corners * 16).astype(int)], 1, shift=4)
    orientation = make_targets(body.astype(np.uint16), gsd_m=0.3).orientation
    assert orientation.dtype == np.float32
    assert orientation.shape == (2, 256 // ORIENTATION_STRIDE, 256 // ORIENTATION_STRIDE)
    certainty = np.hypot(*orientation)
    assert certainty.max() <= 1 + 1e-5
    sure = orientation[:, certainty > 0.7]
    assert sure.shape[1] > 30
    truth = math.radians(4 * degrees)
    cosine, sine = np.median(sure, axis=1)
    off = math.atan2(sine, cosine) - truth
    assert abs(math.remainder(off, 2 * math.pi)) / 4 < math.radians(2)


def test_orientation_is_zero_without_walls():
    assert not make_targets(np.zeros((64, 64), np.uint16), gsd_m=0.3).orientation.any()
    assert not make_targets(np.ones((64, 64), np.uint16), gsd_m=0.3).orientation.any()
