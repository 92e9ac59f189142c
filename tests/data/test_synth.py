from itertools import pairwise

import cv2
import numpy as np
import pytest
import shapely

from geoconvnext.data.synth import STYLES, make_scene
from geoconvnext.errors import ConfigError

SIZE = {"height": 224, "width": 288, "gsd_m": 0.5}


@pytest.fixture(scope="module", params=list(STYLES))
def scene(request):
    return make_scene(11, style=request.param, **SIZE)


def burn(polygons, height, width):
    """Pixels whose centre lies in a polygon, by even-odd filling on an 8-fold grid."""
    fine = np.zeros((height * 8, width * 8), np.uint8)
    for polygon in polygons:
        rings = [np.asarray(ring.coords) for ring in (polygon.exterior, *polygon.interiors)]
        cv2.fillPoly(fine, [np.round(ring * 8 - 0.5).astype(np.int32) for ring in rings], 255)
    return fine.reshape(height, 8, width, 8).mean((1, 3)) > 127


def test_image_is_bytes_of_the_size_asked(scene):
    assert scene.image.shape == (3, 224, 288)
    assert scene.image.dtype == np.uint8
    assert scene.image.flags.c_contiguous
    assert scene.image.std() > 8


def test_footprints_are_a_valid_coverage_within_the_image(scene):
    footprints = np.array(scene.footprints, dtype=object)
    assert len(footprints) > 0
    assert shapely.is_valid(footprints).all()
    assert shapely.coverage_is_valid(footprints)
    left, top, right, bottom = shapely.total_bounds(footprints)
    assert left >= 0
    assert top >= 0
    assert right <= 288
    assert bottom <= 224


def test_sizes_are_those_of_buildings(scene):
    areas = shapely.area(np.array(scene.footprints, dtype=object)) * 0.25
    assert areas.max() < 15000
    assert 8 < np.median(areas) < 5000


def test_same_seed_gives_the_same_bytes():
    first, second = (make_scene(5, **SIZE) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert [p.wkb for p in first.footprints] == [p.wkb for p in second.footprints]
    assert (first.style, first.seed) == (second.style, 5)
    assert make_scene(6, **SIZE).image.tobytes() != first.image.tobytes()


@pytest.mark.parametrize("style", ["rows", "informal", "villas"])
def test_the_same_ground_at_another_resolution(style):
    fine = make_scene(3, height=320, width=320, gsd_m=0.25, style=style)
    coarse = make_scene(3, height=80, width=80, gsd_m=1.0, style=style)
    areas = shapely.union_all(np.array(coarse.footprints, dtype=object))
    shrunk = shapely.union_all(shapely.transform(np.array(fine.footprints, dtype=object), lambda xy: xy / 4))
    assert shapely.area(areas.symmetric_difference(shrunk)) < 0.03 * areas.area


def test_terraces_share_walls_node_for_node():
    footprints = np.array(make_scene(2, style="rows", **SIZE).footprints, dtype=object)
    shared = 0.0
    edges = set()
    for polygon in footprints:
        for edge in pairwise(polygon.exterior.coords):
            if edge[::-1] in edges:
                shared += shapely.LineString(edge).length
            edges.add(edge)
    assert shared > 100


def test_closed_blocks_have_courtyards():
    scenes = (make_scene(seed, style="perimeter", **SIZE) for seed in range(4))
    assert any(polygon.interiors for scene in scenes for polygon in scene.footprints)


def test_a_border_shows_where_a_footprint_says():
    """Roofs differ from the ground next to them: walls of footprints carry more contrast than moved ones."""
    on_wall, beside = [], []
    for seed in range(6):
        scene = make_scene(seed, style="villas", **SIZE)
        grey = scene.image.mean(0)
        slope = np.hypot(*np.gradient(cv2.GaussianBlur(grey, (0, 0), 0.8)))
        mask = burn(scene.footprints, 224, 288).astype(np.uint8)
        edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        inside = cv2.erode(mask, np.ones((7, 7), np.uint8)) > 0
        on_wall.append(slope[edge].mean())
        beside.append(slope[inside].mean())
    assert np.mean(on_wall) > 1.5 * np.mean(beside)


def test_many_scenes_differ():
    scenes = [make_scene(seed, height=64, width=64, gsd_m=0.5) for seed in range(24)]
    assert len({scene.style for scene in scenes}) >= 5
    assert np.std([scene.image.mean() for scene in scenes]) > 8


@pytest.mark.parametrize(
    "wrong", [{"height": 4}, {"width": 0}, {"gsd_m": 0.0}, {"gsd_m": 9.0}, {"style": "nowhere"}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="no s"):
        make_scene(0, **{**SIZE, **wrong})
