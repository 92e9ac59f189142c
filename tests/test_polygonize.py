import subprocess
import sys
import warnings
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from geoconvnext.area import Area
from geoconvnext.errors import ConfigError, SceneError
from geoconvnext.polygonize import choose_recipe, polygonize
from geoconvnext.predict import predict
from geoconvnext.raster.probability import ProbabilityRaster
from geoconvnext.scenes import PredictOptions, open_scene
from geoconvnext.vector.confidence import Confidence, OperatingPoint
from geoconvnext.vector.features import FEATURES
from geoconvnext.vector.files import read_footprints

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

HEIGHT, WIDTH = 260, 330
RECTANGLES = [(40, 30, 60, 80), (20, 150, 45, 100), (150, 40, 70, 70), (120, 200, 110, 40)]
PLACES = {
    "UTM": {},
    "geographic": {"crs": "EPSG:4326", "transform": Affine(7e-6, 0, 14.0, 0, -4.5e-6, 50.0)},
    "rotated": {"transform": Affine.translation(5e5, 5.5e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)},
    "no CRS": {"crs": None, "transform": Affine.identity()},
}
EXACT = {"min_area_m2": 0, "min_hole_m2": 0, "min_seed_m2": 0, "tolerance_m": 0, "simplify_m": 0}
"""Rules that leave the smallest buildings as they are."""


@pytest.fixture
def run(tmp_path):
    """Polygonize a file with rules of one's own; returns the Drawing."""

    def run(path, rules=(), *, precision=None, gsd_m=None, aoi=None, output="again.gpkg", **options):
        with ProbabilityRaster.open(path, **options) as raster:
            recipe, _ = choose_recipe(raster, dict(rules), precision=precision, gsd_m=gsd_m)
            area = Area.read(aoi, raster) if aoi else None
            return polygonize(raster, tmp_path / output, recipe, area=area)

    return run


@pytest.fixture
def network(brightness):
    """Make a Model whose body, edge and contact are the bands of the scene; its confidence is calibrated."""

    def make(scale, **rules):
        model = brightness(scale, **rules)
        numbers = tuple(0.5 + 0.1 * place for place in range(len(FEATURES)))
        table = (OperatingPoint(0.0, 0.6, 0.9, 90), OperatingPoint(0.3, 0.8, 0.7, 60))
        calibration = Confidence(FEATURES, numbers, numbers, numbers, 0.1, table).to_dict()
        return replace(
            model,
            runners={scale: lambda pixels: np.minimum(pixels, 254).repeat(scale, 2).repeat(scale, 3)},
            info=replace(model.info, confidence={str(scale): calibration}),
        )

    return make


@pytest.fixture
def blobs(write_scene):
    """Write a scene of many blobs, with a hole without data."""

    def make(**place):
        coarse = np.random.default_rng(1).integers(1, 255, (3, HEIGHT // 10, WIDTH // 10), np.uint8)
        pixels = coarse.repeat(10, 1).repeat(10, 2)
        pixels[:, 100:150, 50:120] = 0
        return write_scene(pixels, nodata=0, **place)

    return make


@pytest.fixture
def predicted(blobs, tmp_path):
    """Predict the blobs, or another scene; returns the footprints, the probabilities lie in p.tif."""

    def run(model, place="UTM", **options):
        chosen = PredictOptions(**options)
        with open_scene(str(blobs(**PLACES[place])), model.info, chosen) as scene:
            result = predict(scene, tmp_path / "first.gpkg", model, chosen, probabilities=tmp_path / "p.tif")
        return read_footprints(result.output)

    return run


def footprints_of(result):
    return read_footprints(result.output)


def metadata_of(result):
    return pyogrio.read_info(result.output, layer="buildings")["layer_metadata"]


def check_same(found, expected):
    assert found.crs == expected.crs
    assert found.equals(expected)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_the_probabilities_of_predict_give_its_footprints(predicted, network, run, tmp_path, place, scale):
    expected = predicted(network(scale, min_area_m2=10, body_threshold=0.45, min_confidence=0.1), place)
    assert len(expected) > 20
    assert expected["confidence"].nunique() > 20
    result = run(tmp_path / "p.tif")
    check_same(footprints_of(result), expected)
    assert result.footprints == len(expected)
    assert result.area_m2 == pytest.approx(expected["area_m2"].sum())


def test_a_stated_ground_sampling_distance_is_remembered(predicted, network, run, tmp_path):
    expected = predicted(network(2), "no CRS", gsd_m=0.4)
    assert expected["area_m2"].max() < 0.16 * HEIGHT * WIDTH
    check_same(footprints_of(run(tmp_path / "p.tif")), expected)


def test_other_rules_give_what_predict_gives_with_them(predicted, network, run, tmp_path):
    predicted(network(1))
    asked = {"body_threshold": 0.6, "min_area_m2": 3, "min_confidence": 0.2}
    asked |= {"tolerance_m": 0.7, "simplify_m": 0.5}
    ours = footprints_of(run(tmp_path / "p.tif", asked))
    expected = predicted(network(1, min_hole_m2=3, **asked))
    check_same(ours, expected)


@pytest.fixture
def write_area(tmp_path):
    """Write a box of (column, row) as the vector file of an area, in the CRS of a raster or another one."""

    def write(raster, *box, crs=None):
        with rasterio.open(raster) as file:
            corners = shapely.get_coordinates(shapely.box(*box))
            shape = shapely.Polygon([file.transform @ tuple(corner) for corner in corners])
            table = gpd.GeoDataFrame(geometry=[shape], crs=file.crs and file.crs.to_wkt())
        table = table.to_crs(crs) if crs else table
        table.to_file(tmp_path / "area.gpkg")
        return tmp_path / "area.gpkg"

    return write


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_only_buildings_that_touch_an_area(
    predicted, network, run, write_area, blobs, tmp_path, place, scale
):
    """Those that predict keeps of its own probabilities, and no others."""
    other = None if place == "no CRS" else "EPSG:3857"
    aoi = write_area(blobs(**PLACES[place]), 120, 60, 240, 190, crs=other)
    expected = predicted(network(scale), place, aoi=aoi)
    result = run(tmp_path / "p.tif", aoi=aoi)
    check_same(footprints_of(result), expected)
    assert result.footprints == len(expected) > 5
    assert run(tmp_path / "p.tif").footprints > len(expected)


def test_an_area_elsewhere_is_refused(write_scene, run, write_area, tmp_path, listing):
    path = write_scene(mask_of().astype(np.uint8), "mask.tif")
    aoi = write_area(path, WIDTH + 1, 0, WIDTH + 50, 50)
    before = listing(tmp_path)
    with pytest.raises(ConfigError, match=r"area\.gpkg does not touch .*mask\.tif"):
        run(path, aoi=aoi, output="new/out.gpkg")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(("min_area_m2", "holes"), [(None, 0), (100, 0), (2, 1)])
def test_holes_are_no_larger_than_the_smallest_building(write_scene, run, min_area_m2, holes):
    mask = mask_of([(10, 10, 40, 50)]).astype(np.uint8)
    mask[0, 20:23, 20:23] = 0  # 2.25 m2
    asked = {"tolerance_m": 0, "simplify_m": 0} | ({"min_area_m2": min_area_m2} if min_area_m2 else {})
    (building,) = footprints_of(run(write_scene(mask), asked)).geometry
    assert len(building.interiors) == holes


def test_precision(predicted, network, run, tmp_path):
    expected = predicted(replace(network(1), precision=0.7))
    all_of_them = predicted(network(1))
    check_same(footprints_of(run(tmp_path / "p.tif", precision=0.7)), expected)
    check_same(footprints_of(run(tmp_path / "p.tif", precision=0.6)), all_of_them)
    assert len(expected) < len(all_of_them)
    with pytest.raises(ConfigError, match=r"best is 0\.800"):
        run(tmp_path / "p.tif", precision=0.9)
    with pytest.raises(ConfigError, match="give one"):
        run(tmp_path / "p.tif", {"min_confidence": 0.5}, precision=0.7)


def test_precision_without_calibration(write_scene, run):
    path = write_scene(np.ones((1, 9, 9), np.uint8))
    with pytest.raises(ConfigError, match="no calibration"):
        run(path, precision=0.9)


def test_the_file_says_where_it_comes_from(predicted, network, run, tmp_path):
    predicted(network(2))
    ours = metadata_of(run(tmp_path / "p.tif", {"body_threshold": 0.3}))
    assert (ours["scene"], ours["model"], ours["scale"]) == ("scene.tif", "stub", "2")
    assert ours["probabilities"] == "p.tif"
    assert ours["bands"] == "body 1, edge 2, contact 3 (uint8, 254 means 1)"
    assert "body_threshold 0.3," in ours["rules"]
    assert ours["confidence"] == "probability of being right, calibrated"
    assert ours["version"].startswith("geoconvnext ")
    assert ours["date"].startswith("20")


def mask_of(rectangles=RECTANGLES, size=(HEIGHT, WIDTH)):
    mask = np.zeros((1, *size), bool)
    for row, col, height, width in rectangles:
        mask[0, row : row + height, col : col + width] = True
    return mask


@pytest.mark.parametrize(
    ("dtype", "full", "options"),
    [
        ("uint8", 1, {}),
        ("uint8", 255, {}),
        ("uint8", 100, {"max_value": 100}),
        ("uint16", 1, {}),
        ("uint16", 10_000, {"max_value": 10_000}),
        ("float32", 1, {}),
        ("float64", 1, {}),
    ],
)
def test_masks_of_other_tools(write_scene, run, dtype, full, options):
    path = write_scene((mask_of() * full).astype(dtype), "mask.tif")
    result = run(path, **options)
    table = footprints_of(result)
    check_rectangles(table, path)
    assert (table["confidence"] == 1).all()
    assert not table["touches_edge"].any()
    assert (result.highest, result.valid_pixels) == (1, HEIGHT * WIDTH)
    assert "not calibrated" in metadata_of(result)["confidence"]
    assert "scene" not in metadata_of(result)


def check_rectangles(table, path, rectangles=RECTANGLES):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            transform = file.transform
    expected = [
        shapely.Polygon([transform @ at for at in ((c, r), (c + w, r), (c + w, r + h), (c, r + h))])
        for r, c, h, w in rectangles
    ]
    ious = [max(shapely.area(a & b) / shapely.area(a | b) for a in table.geometry) for b in expected]
    assert len(table) == len(expected)
    assert min(ious) > 0.97, ious


@pytest.mark.parametrize("place", PLACES)
def test_any_georeference(write_scene, run, place):
    path = write_scene(mask_of().astype(np.uint8), "mask.tif", **PLACES[place])
    check_rectangles(footprints_of(run(path)), path)


def test_areas_are_in_square_metres(write_scene, run):
    mask = mask_of([(40, 30, 60, 80)]).astype(np.uint8)
    sides = {"geographic": (7e-6 * 71_700, 4.5e-6 * 111_230), "UTM": (0.5, 0.5), "no CRS": (1, 1)}
    for place, (across, down) in sides.items():
        table = footprints_of(run(write_scene(mask, f"{place}.tif", **PLACES[place])))
        assert table["area_m2"].tolist() == pytest.approx([60 * 80 * across * down], rel=0.02)
    table = footprints_of(run(write_scene(mask, **PLACES["no CRS"]), gsd_m=0.3))
    assert table["area_m2"].tolist() == pytest.approx([60 * 80 * 0.09], rel=0.02)


def test_soft_probabilities_have_smooth_outlines(write_scene, run):
    rows, cols = np.mgrid[:80, :90]
    disk = 1 / (1 + np.exp((np.hypot(rows - 40, cols - 45) - 25) / 2))
    table = footprints_of(run(write_scene(disk[None].astype(np.float32)), EXACT))
    assert table["area_m2"].tolist() == pytest.approx([np.pi * 25**2 / 4], rel=0.01)
    assert table["perimeter_m"].tolist() == pytest.approx([np.pi * 25], rel=0.01)


def test_touching_corners_are_two_buildings(write_scene, run):
    path = write_scene(mask_of([(10, 10, 30, 30), (40, 40, 30, 30)]).astype(np.uint8))
    table = footprints_of(run(path))
    assert len(table) == 2
    assert shapely.area(shapely.intersection(*table.geometry)) == 0


@pytest.mark.parametrize("block", [(256, 256), (512, 1024), (4096, 4096), (1, None), (700, None)])
def test_blocks_of_the_file_do_not_matter(write_scene, run, block):
    coarse = np.random.default_rng(3).integers(0, 255, (3, 70, 60), np.uint8)
    pixels = coarse.repeat(10, 1).repeat(10, 2)
    height, width = block
    layout = {"tiled": True, "blockxsize": width} if width else {}
    expected = footprints_of(run(write_scene(pixels, name="plain.tif")))
    found = footprints_of(run(write_scene(pixels, blockysize=height, **layout), output="found.gpkg"))
    assert len(found) > 100
    check_same(found, expected)


def test_buildings_of_one_pixel(write_scene, run):
    mask = np.zeros((1, 9, 12), np.uint8)
    mask[0, 1:8:2, 1:11:2] = 1
    path = write_scene(mask)
    result = run(path, EXACT)
    assert result.footprints == 20
    assert footprints_of(result).geometry.is_valid.all()
    assert run(path).footprints == 0  # too small by default


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (600, 40)])
def test_nothing_but_building(write_scene, run, size):
    table = footprints_of(run(write_scene(np.full((1, *size), 255, np.uint8)), EXACT))
    assert table["area_m2"].tolist() == pytest.approx([0.25 * size[0] * size[1]], rel=0.01)
    assert table["touches_edge"].all()


def test_nan_holds_no_building(write_scene, run):
    values = mask_of([(0, 40, 60, 60), (100, 40, 60, 110), (200, 300, 20, 20)]).astype(np.float32)
    values[0, 80:200, 150:300] = np.nan
    path = write_scene(values, nodata=np.nan)
    values[0, 100:160, 110:150] = np.nan
    result = run(write_scene(values))
    check_rectangles(footprints_of(result), path, [(0, 40, 60, 60), (100, 40, 60, 70), (200, 300, 20, 20)])
    assert footprints_of(result)["touches_edge"].tolist() == [True, True, False]
    assert result.valid_pixels == HEIGHT * WIDTH - 120 * 150 - 60 * 40


@pytest.mark.parametrize(("value", "valid"), [(255, 0), (0, 20_000), (20, 20_000)])
def test_nothing_to_draw_makes_an_empty_layer(write_scene, run, value, valid):
    result = run(write_scene(np.full((1, 100, 200), value, np.uint8), nodata=255))
    table = footprints_of(result)
    assert table.empty
    assert table.crs.to_epsg() == 32633
    assert (result.valid_pixels, result.footprints) == (valid, 0)
    assert result.highest == pytest.approx(value / 255 if valid else 0, abs=0.003)


def test_contacts_divide(write_scene, run):
    """Bands of other tools count like those of predict."""
    values = np.zeros((3, 100, 140), np.float32)
    values[0, 20:80, 20:120] = 0.9
    values[1:, 20:80, 68:71] = 1
    path = write_scene(values)
    assert run(path).footprints == 1
    assert run(path, bands=(1, 2, 3)).footprints == 2


def test_what_is_no_probability_leaves_nothing_behind(write_scene, run, tmp_path, listing):
    values = mask_of().astype(np.float32)
    values[0, -1, -1] = 12
    path = write_scene(values)
    before = listing(tmp_path)
    with pytest.raises(SceneError, match="12"):
        run(path, output="new/out.gpkg")
    assert listing(tmp_path) == before


def test_a_damaged_raster_leaves_nothing_behind(write_scene, run, tmp_path, listing):
    path = write_scene(np.random.default_rng(0).integers(2, 255, (1, 900, 900), np.uint8))
    path.write_bytes(path.read_bytes()[:400_000])
    before = listing(tmp_path)
    with pytest.raises(SceneError, match="truncated"):
        run(path, output="new/out.gpkg")
    assert listing(tmp_path) == before


def test_notes(write_scene, predicted, network, tmp_path):
    """Only what a user cannot know is said."""

    def notes(path, **options):
        with ProbabilityRaster.open(path) as raster:
            return choose_recipe(raster, {}, **options)[1]

    predicted(network(1))
    assert notes(tmp_path / "p.tif") == ()
    path = write_scene(np.ones((2, 9, 9), np.uint8), **PLACES["no CRS"])
    assert [note.split(":")[0].split(" of ")[0] for note in notes(path)] == [
        "band 1",
        "not written by geoconvnext predict",
        "no CRS",
        "ground sampling distance unknown",
    ]
    assert len(notes(path, gsd_m=0.5)) == 3


@pytest.mark.parametrize("gsd_m", [0, -1, float("nan"), float("inf")])
def test_impossible_ground_sampling_distances(write_scene, run, gsd_m):
    with pytest.raises(ConfigError, match="above 0"):
        run(write_scene(np.ones((1, 9, 9), np.uint8)), gsd_m=gsd_m)


def test_progress_comes_to_its_end(write_scene, tmp_path):
    calls = []
    with ProbabilityRaster.open(write_scene(np.zeros((1, 1200, 20), np.uint8))) as raster:
        recipe, _ = choose_recipe(raster, {})
        polygonize(raster, tmp_path / "b.gpkg", recipe, progress=lambda *call: calls.append(call))
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert calls[-1] == ("drawing footprints", 24_000, 24_000)
    assert len(calls) > 1


def test_no_network_is_loaded():
    code = "import sys, geoconvnext.polygonize, geoconvnext.preview; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
