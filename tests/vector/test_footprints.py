"""From a probability raster to the table."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from pyproj import Geod
from scipy import ndimage

from geoconvnext.errors import ConfigError
from geoconvnext.vector import footprints as module
from geoconvnext.vector.confidence import Confidence
from geoconvnext.vector.features import FEATURES
from geoconvnext.vector.footprints import find_footprints, stream_footprints
from geoconvnext.vector.rules import FootprintRules
from geoconvnext.vector.sweep import all_wanted

UTM = Affine(0.5, 0, 420_000, 0, -0.5, 5_800_000)
RULES = FootprintRules()


def find(raster, *, take=find_footprints, rows=32, transform=UTM, crs="EPSG:32633", rules=RULES, **kwargs):
    """Find footprints by find_footprints or stream_footprints in bands of some rows."""
    return take(
        (raster[:, row : row + rows] for row in range(0, raster.shape[1], rows)),
        height=raster.shape[1],
        width=raster.shape[2],
        transform=transform,
        crs=crs,
        rules=rules,
        **kwargs,
    )


def draw(shape, *blocks, body=254):
    """Probabilities with blocks (row, col, height, width)."""
    raster = np.zeros((3, *shape), np.uint8)
    for row, col, height, width in blocks:
        raster[0, row : row + height, col : col + width] = body
    return raster


def test_known_rectangles_come_back_in_the_scene_crs():
    blocks = [(10, 20, 20, 30), (40, 60, 40, 24), (90, 5, 12, 60)]
    table = find(draw((120, 120), *blocks))
    assert list(table.columns) == [
        "id", "area_m2", "perimeter_m", "confidence", "touches_edge", "outline", "fidelity", "geometry",
    ]  # fmt: skip
    assert table.crs.to_epsg() == 32633
    assert table["id"].tolist() == [1, 2, 3]
    assert not table["touches_edge"].any()
    np.testing.assert_allclose(table["confidence"], 1.0)
    for geometry, (row, col, height, width) in zip(table.geometry, blocks, strict=True):
        x, y = UTM @ (col, row)
        true = shapely.box(x, y - height * 0.5, x + width * 0.5, y)
        assert geometry.intersection(true).area / geometry.union(true).area > 0.995
        assert geometry.exterior.is_ccw


def test_attributes_tell_of_edges_nodata_and_confidence():
    raster = draw((60, 60), (0, 10, 12, 12), (20, 10, 12, 12), (40, 10, 12, 12))
    raster[0, 20:32, 10:16] = 190
    raster[:, 40:52, 22:30] = 255
    table = find(raster)
    assert table["touches_edge"].tolist() == [True, False, True]
    np.testing.assert_allclose(table["confidence"], [1.0, (254 + 190) / 508, 1.0])


def by_body(slope=20.0, middle=0.9):
    """Return a calibration that looks at the mean body probability alone."""
    others = (0.0,) * (len(FEATURES) - 1)
    return Confidence(FEATURES, (middle, *others), (1.0,) * len(FEATURES), (slope, *others), 0.0)


def test_confidence_is_what_the_calibration_says():
    raster = draw((60, 60), (10, 10, 12, 12), (30, 10, 12, 12))
    raster[0, 30:42] = np.minimum(raster[0, 30:42], 200)
    plain, table = find(raster), find(raster, confidence=by_body())
    np.testing.assert_allclose(plain["confidence"], [1.0, 200 / 254])
    np.testing.assert_allclose(table["confidence"], 1 / (1 + np.exp(-20 * (plain["confidence"] - 0.9))))
    assert_geodataframe_equal(table.drop(columns="confidence"), plain.drop(columns="confidence"))


@pytest.mark.parametrize(
    ("minimum", "calibration", "left"), [(0.7, None, 2), (0.8, None, 1), (0.2, by_body(), 1)]
)
def test_uncertain_buildings_are_dropped(minimum, calibration, left):
    raster = draw((60, 60), (10, 10, 12, 12), (30, 10, 12, 12))
    raster[0, 10:22] = np.minimum(raster[0, 10:22], 200)
    table = find(raster, rules=replace(RULES, min_confidence=minimum), confidence=calibration)
    assert table["id"].tolist() == list(range(1, left + 1))
    assert (table["confidence"] >= minimum).all()


def test_features_come_when_asked_for():
    raster = draw((40, 60), (10, 10, 20, 40))
    raster[2, 10:30, 29:31] = 254
    table = find(raster, with_features=True)
    assert list(table.columns)[-len(FEATURES) :] == list(FEATURES)
    np.testing.assert_allclose(table["body"], table["confidence"])
    np.testing.assert_allclose(table["log_area"], np.log(table["area_m2"]))
    np.testing.assert_allclose(table["party_wall"], 1 / 4)
    assert find(np.zeros((3, 9, 9), np.uint8), with_features=True).dtypes.equals(table.dtypes)


def test_touching_houses_are_two_and_share_their_wall():
    raster = draw((40, 60), (10, 10, 20, 40))
    raster[2, 10:30, 29:31] = 254
    table = find(raster)
    assert len(table) == 2
    first, second = table.geometry
    assert first.intersection(second).area == 0.0
    assert first.intersection(second).length > 8.0


SQUARE = draw((80, 80), (20, 20, 40, 40))
ROTATED = Affine.translation(420_000, 5_800_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", UTM),
        ("EPSG:32633", ROTATED),
        ("EPSG:3857", Affine(0.5, 0, 1_500_000, 0, -0.5, 8_399_737)),
        ("EPSG:4326", Affine(9e-6, 0, 13.0, 0, -4.5e-6, 60.0)),
    ],
)
def test_metres_are_geodesic_in_any_crs(crs, transform):
    table = find(SQUARE, transform=transform, crs=crs)
    world = table.to_crs(4326).geometry.iloc[0]
    area, perimeter = Geod(ellps="WGS84").geometry_area_perimeter(world)
    assert table["area_m2"].iloc[0] == pytest.approx(abs(area), rel=0.001)
    assert table["perimeter_m"].iloc[0] == pytest.approx(perimeter, rel=0.001)


def test_rotated_scenes_keep_their_shape():
    square = find(SQUARE, transform=ROTATED).geometry.iloc[0]
    expected = shapely.Polygon([ROTATED @ corner for corner in [(20, 20), (60, 20), (60, 60), (20, 60)]])
    assert square.symmetric_difference(expected).area / expected.area < 0.005


def test_without_crs_pixels_times_gsd():
    plain = find(SQUARE, transform=Affine.identity(), crs=None)
    scaled = find(SQUARE, transform=Affine.identity(), crs=None, gsd_m=0.5)
    assert plain.crs is None
    assert plain["area_m2"].iloc[0] == pytest.approx(1600, rel=0.01)
    assert scaled["area_m2"].iloc[0] == pytest.approx(400, rel=0.01)
    assert scaled["perimeter_m"].iloc[0] == pytest.approx(80, rel=0.02)


def test_small_buildings_and_small_holes_go():
    raster = draw((60, 60), (5, 5, 5, 5), (20, 20, 30, 30))
    raster[0, 25:27, 25:27] = 0
    raster[0, 35:43, 35:43] = 0
    table = find(raster, rules=replace(RULES, min_area_m2=10, min_hole_m2=5))
    assert len(table) == 1
    assert len(table.geometry.iloc[0].interiors) == 1
    assert table["area_m2"].iloc[0] == pytest.approx(15 * 15 - 4 * 4, rel=0.02)
    everything = find(raster, rules=replace(RULES, min_area_m2=0, min_hole_m2=0))
    assert [len(g.interiors) for g in everything.geometry] == [0, 2]


@pytest.mark.parametrize("min_area_m2", [2, 8, 30])
@pytest.mark.parametrize("scale", [{}, {"transform": Affine.identity(), "crs": None, "gsd_m": 0.7}])
def test_specks_are_left_out_early_without_a_trace(monkeypatch, min_area_m2, scale):
    random = np.random.default_rng(5)
    raster = ndimage.gaussian_filter(random.random((3, 150, 150)), (0, 1.2, 1.2))
    raster = np.clip((raster - 0.35) * 700, 0, 254).astype(np.uint8)
    rules = replace(RULES, min_area_m2=min_area_m2, min_hole_m2=0)
    table = find(raster, rules=rules, **scale)
    monkeypatch.setattr(module, "_are_large", lambda boxes, *_: all_wanted(boxes))
    assert_geodataframe_equal(table, find(raster, rules=rules, **scale))
    assert len(table) > 1


@pytest.mark.parametrize("raster", [np.zeros((3, 20, 20), np.uint8), np.full((3, 20, 20), 255, np.uint8)])
def test_nothing_to_find_is_an_empty_table_with_all_columns(raster):
    table, full = find(raster), find(SQUARE)
    assert len(table) == 0
    assert table.crs == full.crs
    assert table.dtypes.to_dict() == full.dtypes.to_dict()


def town():
    rng = np.random.default_rng(3)
    blocks = [(r, c, *rng.integers(6, 22, 2)) for r in range(4, 180, 26) for c in range(4, 180, 26)]
    raster = draw((200, 200), *blocks)
    raster[1:] = rng.integers(0, 120, (2, 200, 200))
    return raster


@pytest.mark.parametrize("limit", [{"PATCHES_PER_BATCH": 3}, {"PIXELS_PER_BATCH": 1000}])
def test_the_table_does_not_depend_on_bands_or_batches(monkeypatch, limit):
    whole = find(town(), rows=1000)
    monkeypatch.setattr(module, *next(iter(limit.items())))
    frames = list(find(town(), take=stream_footprints, rows=7))
    assert len(whole) > 40
    assert len(frames) > 10
    assert_geodataframe_equal(whole, pd.concat(frames, ignore_index=True))
    assert_geodataframe_equal(whole, find(town(), rows=7))
    assert whole["id"].tolist() == list(range(1, len(whole) + 1))
    assert whole.geometry.is_valid.all()


def test_the_first_table_shows_the_columns():
    first, *others = find(SQUARE, take=stream_footprints)
    full = pd.concat(others)
    assert len(first) == 0 < len(full)
    assert first.crs == full.crs
    assert first.dtypes.to_dict() == full.dtypes.to_dict()


def test_what_makes_the_bands_starts_before_anything_is_drawn(monkeypatch):
    def bands():
        order.append("bands")
        yield np.zeros((3, 80, 80), np.uint8)

    def noted(*args, **options):
        order.append("draw")
        return draw(*args, **options)

    order, draw = [], module.draw
    monkeypatch.setattr(module, "draw", noted)
    size = {"height": 80, "width": 80}
    assert len(next(stream_footprints(bands(), **size, transform=UTM, crs="EPSG:32633", rules=RULES))) == 0
    assert order == ["bands", "draw"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"body_threshold": 1.5}, "body_threshold"),
        ({"seed_threshold": -0.1}, "seed_threshold"),
        ({"simplify_m": float("nan")}, "simplify_m"),
        ({"min_confidence": 1.1}, "min_confidence"),
        ({"min_area_m2": 1.0, "min_hole_m2": 2.0}, "min_hole_m2"),
    ],
)
def test_impossible_rules_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        FootprintRules(**wrong)
