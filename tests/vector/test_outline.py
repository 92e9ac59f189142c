"""Outlines against exact geometry, and as a partition of the plane."""

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geoconvnext.vector.outline import NODATA, trace

THRESHOLD = 128


def polygons_of(body, labels):
    """Build the polygon of each label from its traced rings, by the slow and obvious way."""
    rings = trace(body, labels.astype(np.int32), threshold=THRESHOLD)
    parts = np.split(rings.coords, np.cumsum(rings.sizes))[:-1]
    found = {}
    for ring, label in zip(parts, rings.labels, strict=True):
        found.setdefault(int(label), []).append(ring)
    return {label: shapely.Polygon(own[0], own[1:]) for label, own in found.items()}


def sigmoid_body(distance_px):
    """Body probability of a building whose signed distance is given; the level 127.5 lies on its border."""
    return np.pad(np.round(np.clip(127.5 - 60.0 * distance_px, 0, 254)).astype(np.uint8), 1)


def test_a_disc_is_met_to_a_hundredth_of_a_pixel():
    rows, cols = np.mgrid[0:60, 0:60] + 0.5
    body = sigmoid_body(np.hypot(rows - 29.3, cols - 31.1) - 20.0)
    polygon = polygons_of(body, body >= THRESHOLD)[1]
    radius = np.hypot(*(shapely.get_coordinates(polygon) - (32.1, 30.3)).T)
    assert abs(radius - 20.0).max() < 0.03
    assert polygon.area == pytest.approx(np.pi * 400, rel=0.002)


def test_a_wall_lies_where_the_ramp_passes_the_threshold():
    body = np.zeros((7, 9), np.uint8)
    body[1:-1, 1:-1] = 254
    body[1:-1, 4] = [200] * 5
    body[1:-1, 5] = 50
    body[:, 6:] = 0
    polygon = polygons_of(body, np.pad(body[1:-1, 1:-1] >= THRESHOLD, 1))[1]
    assert polygon.bounds[2] == pytest.approx(4.5 + (200 - 127.5) / (200 - 50))


def test_the_scene_edge_is_exact():
    body = np.full((6, 8), NODATA, np.uint8)
    body[1:-1, 1:-1] = 200
    polygon = polygons_of(body, body == 200)[1]
    assert polygon.equals(shapely.box(1, 1, 7, 5))


def test_a_building_cut_by_the_scene_edge_ends_square():
    body = np.full((6, 8), NODATA, np.uint8)
    body[1:-1, 1:-1] = 0
    body[1:-1, 1:4] = 254
    polygon = polygons_of(body, body == 254)[1]
    right = 3.5 + (254 - 127.5) / 254
    assert polygon.symmetric_difference(shapely.box(1, 1, right, 5)).area < 1e-12


def test_nodata_inside_a_building_is_a_square_hole():
    body = np.zeros((9, 9), np.uint8)
    body[1:-1, 1:-1] = 254
    body[3:5, 3:6] = NODATA
    polygon = polygons_of(body, body == 254)[1]
    (hole,) = polygon.interiors
    assert shapely.Polygon(hole).equals(shapely.box(3, 3, 6, 5))


def test_a_courtyard_is_a_hole_and_a_single_pixel_a_diamond():
    body = np.zeros((9, 9), np.uint8)
    body[1:-1, 1:-1] = 254
    body[4, 4] = 0
    polygon = polygons_of(body, body == 254)[1]
    assert len(polygon.interiors) == 1
    body = np.zeros((3, 3), np.uint8)
    body[1, 1] = 254
    assert len(polygons_of(body, body == 254)[1].exterior.coords) == 5


def test_saddles_follow_the_connection_by_four_sides():
    body = np.zeros((6, 6), np.uint8)
    body[1:3, 1:3] = body[3:5, 3:5] = 254
    labels, count = ndimage.label(body == 254)
    assert count == 2
    both = polygons_of(body, labels)
    assert both[1].disjoint(both[2])


def test_a_party_wall_is_one_line_midway():
    body = np.zeros((8, 12), np.uint8)
    body[1:-1, 1:-1] = 254
    labels = np.zeros(body.shape, int)
    labels[1:-1, 1:6], labels[1:-1, 6:-1] = 1, 2
    both = polygons_of(body, labels)
    shared = both[1].intersection(both[2])
    assert shared.length == pytest.approx(both[1].bounds[3] - both[1].bounds[1], abs=1.0)
    assert shared.bounds[0] == shared.bounds[2] == 6.0
    assert shapely.coverage_is_valid([both[1], both[2]])


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 9),
    buildings=st.integers(1, 4),
    share=st.sampled_from([0.3, 0.6, 0.9, 1.0]),
)
def test_outlines_partition_any_raster(seed, size, buildings, share):
    """Random labels: valid polygons, no overlaps, and each holds the centres of exactly its own pixels."""
    rng = np.random.default_rng(seed)
    inside = rng.random((size, size)) < share
    body = np.where(inside, rng.integers(128, 255, inside.shape), rng.integers(0, 128, inside.shape))
    body = np.where(~inside & (rng.random(inside.shape) < 0.2), NODATA, body)
    body = np.pad(body.astype(np.uint8), 1, constant_values=NODATA)
    colors = np.pad(np.where(inside, rng.integers(1, buildings + 1, inside.shape), 0), 1)
    labels = np.zeros(body.shape, int)
    for color in range(1, buildings + 1):
        own, _ = ndimage.label(colors == color)
        labels = np.where(own > 0, own + labels.max(), labels)
    outlines = polygons_of(body, labels)
    assert sorted(outlines) == list(range(1, labels.max() + 1))
    assert all(polygon.is_valid for polygon in outlines.values())
    for first, second in itertools.combinations(outlines.values(), 2):
        assert first.intersection(second).area == 0.0
    rows, cols = np.mgrid[0 : body.shape[0], 0 : body.shape[1]] + 0.5
    for label, polygon in outlines.items():
        np.testing.assert_array_equal(shapely.contains_xy(polygon, cols, rows), labels == label)
    everything = shapely.union_all(list(outlines.values()))
    assert everything.within(shapely.box(1, 1, size + 1, size + 1)) or everything.is_empty


def test_no_gap_where_buildings_meet():
    """Inside a block of four buildings nothing is left over at their common corner."""
    body = np.full((8, 8), NODATA, np.uint8)
    body[1:-1, 1:-1] = 254
    labels = np.zeros(body.shape, int)
    labels[1:4, 1:5], labels[1:4, 5:7], labels[4:7, 1:3], labels[4:7, 3:7] = 1, 2, 3, 4
    outlines = list(polygons_of(body, labels).values())
    assert shapely.union_all(outlines).equals(shapely.box(1, 1, 7, 7))
    assert shapely.coverage_is_valid(outlines)
