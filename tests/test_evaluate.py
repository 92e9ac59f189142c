import math

import cv2
import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geoconvnext.errors import ConfigError, LabelError, SceneError
from geoconvnext.evaluate import evaluate
from geoconvnext.metrics.scores import pool
from geoconvnext.vector.files import write_footprints

EAST, NORTH = 500_000, 5_500_000
TRUTH = [(0, 0), (20, 0), (40, 0)]
FOUND = [(0, 0), (22, 0), (80, 0)]  # right, 8 m of 10 right, wrong; the third is missed


@pytest.fixture
def squares(tmp_path):
    """Write squares of 10 m at (x, y) metres from a place in UTM, in any CRS; without CRS in pixels."""

    def write(name, corners, crs="EPSG:32633"):
        east, north = (EAST, NORTH) if crs else (0, 0)
        boxes = [shapely.box(east + x, north + y, east + x + 10, north + y + 10) for x, y in corners]
        table = gpd.GeoDataFrame({"id": range(len(boxes))}, geometry=boxes, crs="EPSG:32633" if crs else None)
        path = tmp_path / name
        write_footprints(table.to_crs(crs) if crs else table, path, provenance={})
        return path

    return write


def check_counts(evaluation, tp, fp, fn):
    objects = evaluation.scores.objects
    assert (objects.tp, objects.fp, objects.fn) == (tp, fp, fn)


def pixel_iou(evaluation):
    return float(evaluation.scores.area.iou)


@pytest.mark.parametrize("ours", ["EPSG:32633", "EPSG:4326", "EPSG:3857", None])
@pytest.mark.parametrize("theirs", ["EPSG:32633", "EPSG:4326", "EPSG:32632", None])
def test_known_squares(squares, ours, theirs):
    found, truth = squares("found.gpkg", FOUND, ours), squares("truth.gpkg", TRUTH, theirs)
    if (ours is None) != (theirs is None):
        with pytest.raises(LabelError, match="has no CRS"):
            evaluate(found, truth)
        return
    evaluation = evaluate(found, truth)
    check_counts(evaluation, 2, 1, 1)
    assert pixel_iou(evaluation) == pytest.approx(180 / 420, abs=1e-3)
    assert evaluation.scores.to_dict()["matched_iou"] == pytest.approx((1 + 80 / 120) / 2, abs=1e-3)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_clipped_to_the_scene(squares, write_scene, crs):
    scene = write_scene(np.zeros((3, 20, 50), np.uint8), transform=Affine(0.5, 0, EAST, 0, -0.5, NORTH + 10))
    evaluation = evaluate(squares("found.gpkg", FOUND, crs), squares("truth.gpkg", TRUTH), scene=str(scene))
    check_counts(evaluation, 2, 0, 0)  # of the second one 3 of 5 m
    assert pixel_iou(evaluation) == pytest.approx(130 / 150, abs=1e-4)


def test_a_wide_scene_has_curved_borders_elsewhere(squares, write_scene):
    """A parallel of 60 km bends by 70 m in UTM; the scene's border follows it."""
    transform = Affine(0.001, 0, 14.6, 0, -0.001, 49.7)
    scene = write_scene(np.zeros((3, 100, 800), np.uint8), crs="EPSG:4326", transform=transform)
    corners = gpd.GeoSeries(gpd.points_from_xy([15.0], [49.7]), crs=4326).to_crs(32633).iloc[0]
    inside = squares("a.gpkg", [(corners.x - EAST, corners.y - NORTH - 20)])
    outside = squares("b.gpkg", [(corners.x - EAST, corners.y - NORTH + 10)])
    check_counts(evaluate(inside, inside, scene=str(scene)), 1, 0, 0)
    check_counts(evaluate(outside, outside, scene=str(scene)), 0, 0, 0)


def test_sets_without_buildings(squares):
    empty, some = squares("empty.gpkg", []), squares("some.gpkg", TRUTH)
    check_counts(evaluate(empty, some), 0, 0, 3)
    check_counts(evaluate(some, empty), 0, 3, 0)
    nothing = evaluate(empty, empty)
    check_counts(nothing, 0, 0, 0)
    assert math.isnan(pixel_iou(nothing))
    assert pixel_iou(evaluate(empty, some)) == 0


def test_geometries_that_are_no_clean_polygons(squares, tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    shapes = [bow_tie, None, shapely.Polygon(), shapely.LineString([(0, 0), (9, 9)])]
    gpd.GeoDataFrame(geometry=shapes, crs=32633).to_file(tmp_path / "odd.gpkg")
    check_counts(evaluate(tmp_path / "odd.gpkg", tmp_path / "odd.gpkg"), 1, 0, 0)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LabelError, match="geometries"):
        evaluate(tmp_path / "table.csv", tmp_path / "table.csv")


def test_scores_add_up(squares):
    ours, theirs = squares("found.gpkg", FOUND), squares("truth.gpkg", TRUTH)
    both = pool([evaluate(ours, theirs).scores, evaluate(theirs, theirs).scores]).to_dict()
    assert (both["tp"], both["fp"], both["fn"]) == (5, 1, 1)
    assert both["pixel_iou"] == pytest.approx((180 + 300) / (420 + 300))
    assert both["f1"] == pytest.approx(10 / 12)


def test_metres_are_metres_in_web_mercator(squares):
    """At 50 degrees north the gap of 2.5 m measures 3.9 m there, and neighbours would be isolated."""
    apart = squares("a.gpkg", [(0, 0), (12.5, 0)], "EPSG:3857")
    assert evaluate(apart, apart).scores.groups()["near"]["buildings"] == 2


@pytest.mark.parametrize(("gsd_m", "size"), [(0.5, "small"), (2.0, "medium"), (3.0, "large")])
def test_metres_of_files_without_a_crs(squares, gsd_m, size):
    plain = squares("a.gpkg", TRUTH, None)
    groups = evaluate(plain, plain, gsd_m=gsd_m).scores.groups()
    assert groups[size]["buildings"] == 3
    with pytest.raises(ConfigError, match="above 0"):
        evaluate(plain, plain, gsd_m=0)


def test_confidence_follows_its_footprint(tmp_path, squares):
    """The surest footprint is the right one; what is left out before it does not shift the others."""
    boxes = [shapely.box(EAST + x, NORTH, EAST + x + 10, NORTH + 10) for x in (60, 0, 80)]
    shapes = [shapely.Point(EAST, NORTH), None, *boxes]
    table = gpd.GeoDataFrame({"confidence": [1.0, 1.0, 0.2, 0.9, 0.3]}, geometry=shapes, crs=32633)
    table.to_file(tmp_path / "sure.gpkg")
    truth = squares("truth.gpkg", [(0, 0)])
    assert evaluate(tmp_path / "sure.gpkg", truth).scores.to_dict()["ap50"] == 1
    assert not evaluate(truth, truth).scores.is_ranked


@pytest.fixture
def mask(tmp_path):
    """A PNG of 40 x 60 pixels with one building near its upper right corner."""
    pixels = np.zeros((40, 60), np.uint8)
    pixels[2:12, 45:55] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), pixels)
    return tmp_path / "mask.png"


def test_mask_in_pixel_coordinates(squares, mask):
    """Rows count downwards from the upper border."""
    assert pixel_iou(evaluate(squares("a.gpkg", [(45, 2)], None), mask)) == 1
    assert pixel_iou(evaluate(squares("b.gpkg", [(45, 28)], None), mask)) == 0


def test_mask_takes_its_place_from_the_scene(squares, mask, write_scene):
    scene = write_scene(np.zeros((3, 40, 60), np.uint8), transform=Affine(1, 0, EAST, 0, -1, NORTH))
    found = squares("a.gpkg", [(45, -12)])
    assert pixel_iou(evaluate(found, mask, scene=str(scene))) == 1
    with pytest.raises(LabelError, match="no CRS"):
        evaluate(found, mask)
    other = write_scene(np.zeros((3, 40, 50), np.uint8), "other.tif")
    with pytest.raises(LabelError, match="40 x 50 pixels; found 40 x 60"):
        evaluate(found, mask, scene=str(other))


def test_mask_with_a_georeference(squares, write_scene):
    pixels = np.zeros((1, 40, 60), np.uint8)
    pixels[:, 2:12, 45:55] = 1
    path = write_scene(pixels, "mask.tif", transform=Affine(1, 0, EAST, 0, -1, NORTH))
    assert pixel_iou(evaluate(squares("a.gpkg", [(45, -12)]), path)) == 1


def test_reference_in_a_folder(squares, tmp_path):
    ours = squares("results/a.gpkg", TRUTH)
    squares("labels/a.geojson", TRUTH)
    check_counts(evaluate(ours, tmp_path / "labels"), 3, 0, 0)
    with pytest.raises(LabelError, match="labels"):
        evaluate(squares("results/b.gpkg", TRUTH), tmp_path / "labels")


def test_files_that_cannot_be_read(squares, tmp_path):
    ours = squares("a.gpkg", TRUTH)
    (tmp_path / "text.png").write_text("no mask")
    with pytest.raises(LabelError, match=r"text\.png"):
        evaluate(ours, tmp_path / "text.png")
    with pytest.raises(SceneError, match=r"text\.png"):
        evaluate(ours, ours, scene=str(tmp_path / "text.png"))


def test_coordinates_outside_their_crs(tmp_path, squares):
    far = gpd.GeoDataFrame({"id": [1]}, geometry=[shapely.box(0, 100, 10, 110)], crs=4326)
    write_footprints(far, tmp_path / "far.gpkg", provenance={})
    with pytest.raises(LabelError, match=r"far\.gpkg"):
        evaluate(squares("a.gpkg", TRUTH), tmp_path / "far.gpkg")
