import warnings
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from geoconvnext.errors import ConfigError, OutputError, SceneError
from geoconvnext.model.weights import View
from geoconvnext.predict import predict
from geoconvnext.scenes import PredictOptions, open_scene, window_size
from geoconvnext.vector.confidence import Confidence, OperatingPoint
from geoconvnext.vector.features import FEATURES
from geoconvnext.vector.files import read_footprints

HEIGHT, WIDTH = 420, 560
RECTANGLES = [
    (40, 30, 60, 80),
    (40, 150, 90, 60),
    (150, 40, 70, 70),
    (250, 20, 50, 520),  # across many windows
    (330, 100, 64, 64),
    (120, 400, 110, 40),
    (20, 300, 45, 200),
]
GEOREFERENCES = {
    "UTM": {},
    "geographic": {"crs": "EPSG:4326", "transform": Affine(7e-6, 0, 14.0, 0, -4.5e-6, 50.0)},
    "Web Mercator": {"crs": "EPSG:3857", "transform": Affine(0.6, 0, 1.5e6, 0, -0.6, 6.4e6)},
    "rotated": {"transform": Affine.translation(5e5, 5.5e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)},
    "no CRS": {"crs": None, "transform": Affine.identity()},
}


@pytest.fixture
def run(tmp_path):
    """Predict a file; returns the Prediction."""

    def run(path, model, *, output="out.gpkg", probabilities=None, **options):
        chosen = PredictOptions(**options)
        with open_scene(str(path), model.info, chosen) as scene:
            return predict(scene, tmp_path / output, model, chosen, probabilities=probabilities)

    return run


def outlines(path, rectangles):
    """Rectangles of pixels in the coordinates of a scene."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            transform = file.transform
    return [
        shapely.Polygon([transform @ (c, r) for c, r in ((x, y), (x + w, y), (x + w, y + h), (x, y + h))])
        for y, x, h, w in rectangles
    ]


def best_ious(found, expected):
    """IoU of each expected polygon with the one found that fits best."""
    pairs = [[shapely.area(a & b) / shapely.area(a | b) for a in found] for b in expected]
    return np.max(pairs, axis=1)


def footprints_of(result):
    return read_footprints(result.output)


def check_found(result, path, rectangles=RECTANGLES):
    assert result.footprints == len(rectangles)
    ious = best_ious(footprints_of(result).geometry, outlines(path, rectangles))
    assert ious.min() > 0.97, ious


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("place", GEOREFERENCES)
def test_rectangles_come_back(write_scene, draw, brightness, run, place, scale):
    path = write_scene(draw(HEIGHT, WIDTH, *RECTANGLES), **GEOREFERENCES[place])
    result = run(path, brightness(scale))
    check_found(result, path)
    assert not footprints_of(result)["touches_edge"].any()
    assert result.valid_pixels == result.pixels


@pytest.mark.parametrize("windows", [(64, 0), (96, 32), (256, 96), (512, 32)])
def test_windows_make_no_difference(write_scene, draw, brightness, run, windows):
    path = write_scene(draw(HEIGHT, WIDTH, *RECTANGLES))
    ours, other = (
        run(path, brightness(2), output=f"{tile}.gpkg", tile_px=tile, halo_px=halo, batch_size=batch)
        for tile, halo, batch in [(*windows, 3), (128, 32, 1)]
    )
    check_found(ours, path)
    assert footprints_of(ours).equals(footprints_of(other))
    assert ours.valid_pixels == other.valid_pixels == HEIGHT * WIDTH


def test_the_file_holds_the_table_and_where_it_comes_from(write_scene, draw, brightness, run):
    path = write_scene(draw(HEIGHT, WIDTH, *RECTANGLES))
    result = run(path, brightness(body_threshold=0.4), output="deep/er/out.gpkg")
    table = read_footprints(result.output)
    assert table.crs.to_epsg() == 32633
    areas = sorted(height * width * 0.25 for _, _, height, width in RECTANGLES)
    assert sorted(table["area_m2"]) == pytest.approx(areas, rel=0.03)
    metadata = pyogrio.read_info(result.output, layer="buildings")["layer_metadata"]
    assert (metadata["scene"], metadata["model"]) == ("scene.tif", "stub")
    assert "body_threshold 0.4" in metadata["rules"]
    assert metadata["version"].startswith("geoconvnext ")
    assert metadata["date"].startswith("20")


def test_nodata_holds_no_building(write_scene, draw, brightness, run):
    at_border, at_gap, free = (0, 40, 60, 60), (100, 40, 60, 110), (300, 300, 50, 50)
    pixels = draw(HEIGHT, WIDTH, at_border, at_gap, free)
    pixels[:, 80:200, 150:300] = 0
    path = write_scene(pixels, nodata=0)
    result = run(path, brightness(2))
    check_found(result, path, [at_border, at_gap, free])
    assert footprints_of(result)["touches_edge"].tolist() == [True, True, False]
    assert result.valid_pixels == HEIGHT * WIDTH - 120 * 150


def test_bright_nodata_is_no_building(write_scene, draw, brightness, run):
    path = write_scene(draw(HEIGHT, WIDTH, *RECTANGLES), nodata=None)
    assert footprints_of(run(path, brightness(), nodata=220)).empty


@pytest.mark.parametrize("value", [0, 40])
def test_scenes_without_buildings_make_empty_layers(write_scene, draw, brightness, run, value):
    path = write_scene(np.full((3, 200, 300), value, np.uint8), nodata=0)
    result = run(path, brightness())
    assert result.valid_pixels == (0 if value == 0 else 200 * 300)
    table = read_footprints(result.output)
    assert table.empty
    assert table.crs.to_epsg() == 32633
    assert {"id", "area_m2", "confidence", "touches_edge"} <= set(table.columns)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (33, 700), (128, 128)])
def test_any_size(write_scene, brightness, run, size):
    path = write_scene(np.full((3, *size), 220, np.uint8))
    result = run(path, brightness(2, min_area_m2=0, min_hole_m2=0, min_seed_m2=0, simplify_m=0))
    assert result.valid_pixels == size[0] * size[1]
    assert footprints_of(result)["area_m2"].sum() == pytest.approx(0.25 * size[0] * size[1], rel=0.01)


@pytest.mark.parametrize("scale", [1, 2])
def test_probabilities(write_scene, draw, brightness, run, tmp_path, scale):
    pixels = draw(HEIGHT, WIDTH, *RECTANGLES)
    pixels[:, :50, :90] = 0
    path = write_scene(pixels, nodata=0)
    run(path, brightness(scale), probabilities=tmp_path / "new" / "p.tif")
    expected = np.where(pixels[0] == 0, 255, np.minimum(pixels[0], 254)).repeat(scale, 0).repeat(scale, 1)
    with rasterio.open(tmp_path / "new" / "p.tif") as file, rasterio.open(path) as scene:
        assert file.descriptions == ("body", "edge", "contact")
        assert np.array_equal(file.read(1), expected)
        assert (file.bounds, file.crs, file.nodata) == (scene.bounds, scene.crs, 255)


def test_a_resampled_scene_keeps_its_place(write_scene, draw, brightness, run):
    path = write_scene(draw(4 * HEIGHT, 4 * WIDTH, (160, 120, 240, 320)), transform=UTM_5_CM)
    check_found(run(path, brightness()), path, [(160, 120, 240, 320)])


UTM_5_CM = Affine(0.05, 0, 500_000, 0, -0.05, 5_500_000)


def test_a_damaged_scene_leaves_no_results(write_scene, brightness, run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (3, 600, 600), np.uint8)
    path = write_scene(noise)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SceneError, match="truncated"):
        run(path, brightness(), output="new/out.gpkg", probabilities=tmp_path / "other" / "p.tif")
    assert not (tmp_path / "new" / "out.gpkg").exists()
    assert not (tmp_path / "other").exists()


def test_failing_footprints_leave_no_probabilities(write_scene, draw, brightness, run, tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise OutputError("full")

    monkeypatch.setattr("geoconvnext.predict.write_footprints", fail)
    path = write_scene(draw(HEIGHT, WIDTH, *RECTANGLES))
    (tmp_path / "p.tif").write_text("of an earlier run")
    with pytest.raises(OutputError):
        run(path, brightness(), output="new/out.gpkg", probabilities=tmp_path / "p.tif")
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "p.tif").read_text() == "of an earlier run"


@pytest.mark.parametrize(("tile", "halo"), [(100, 32), (128, 20), (128, 64), (0, 0), (-32, 0), (64, -32)])
def test_impossible_windows(brightness, tile, halo):
    with pytest.raises(ConfigError, match=r"128 and 32") as error:
        window_size(brightness().info, PredictOptions(tile_px=tile, halo_px=halo))
    assert f"{tile} px" in str(error.value)


@pytest.mark.parametrize("options", [{"gsd_m": 0}, {"gsd_m": -1}, {"gsd_m": float("nan")}, {"batch_size": 0}])
def test_impossible_options(options):
    with pytest.raises(ConfigError, match="must be"):
        PredictOptions(**options)


@pytest.fixture
def two_views(brightness):
    """The brightness network, made for pixels of 0.4 to 0.6 m at scale 1 and of 0.9 to 1.2 m at scale 4."""
    views = (View(scale=1, gsd_range_m=(0.4, 0.6)), View(scale=4, gsd_range_m=(0.9, 1.2)))
    fine, coarse = brightness(1), brightness(4)
    return replace(fine, runners=fine.runners | coarse.runners, info=replace(coarse.info, views=views))


def metadata_of(result):
    return pyogrio.read_info(result.output, layer="buildings")["layer_metadata"]


@pytest.mark.parametrize(
    ("pixel_m", "options", "scale", "gsd_m"),
    [
        (0.5, {}, 1, 0.5),
        (0.7, {}, 1, 0.6),
        (0.8, {}, 4, 0.9),
        (1.0, {}, 4, 1.0),
        (3.0, {}, 4, 1.2),
        (0.5, {"scale": 4}, 4, 0.9),
        (1.0, {"scale": 1}, 1, 0.6),
        (0.5, {"gsd_m": 1.1}, 4, 1.1),
    ],
)
def test_the_view_suits_the_scene(write_scene, draw, two_views, run, pixel_m, options, scale, gsd_m):
    transform = Affine(pixel_m, 0, 500_000, 0, -pixel_m, 5_500_000)
    path = write_scene(draw(200, 240, (40, 60, 80, 100)), transform=transform)
    with open_scene(str(path), two_views.info, PredictOptions(**options)) as scene:
        assert scene.gsd_m == pytest.approx(gsd_m, rel=0.02)
    result = run(path, two_views, **options)
    check_found(result, path, [(40, 60, 80, 100)])
    assert metadata_of(result)["scale"] == str(scale)


def test_probabilities_have_the_scale_of_the_view(write_scene, draw, two_views, run, tmp_path):
    path = write_scene(draw(100, 120), transform=Affine(1, 0, 500_000, 0, -1, 5_500_000))
    run(path, two_views, probabilities=tmp_path / "p.tif")
    with rasterio.open(tmp_path / "p.tif") as file:
        assert file.shape == (400, 480)


@pytest.fixture
def two_kinds(write_scene):
    """A scene with a bright and a dim building, and a calibration that tells them apart."""
    pixels = np.full((3, 200, 200), 40, np.uint8)
    pixels[:, 20:60, 20:60], pixels[:, 120:160, 120:160] = 250, 140
    others = (0.0,) * (len(FEATURES) - 1)
    ones = (1.0,) * len(FEATURES)
    table = (OperatingPoint(0.0, 0.6, 0.9, 90), OperatingPoint(0.5, 0.8, 0.7, 60))
    return write_scene(pixels), Confidence(FEATURES, (0.8, *others), ones, (20.0, *others), 0.0, table)


def calibrated(model, confidence, scale=1):
    return replace(model, info=replace(model.info, confidence={str(scale): confidence.to_dict()}))


def test_calibrated_confidence(brightness, run, two_kinds):
    path, confidence = two_kinds
    plain, ours = run(path, brightness()), run(path, calibrated(brightness(), confidence), output="c.gpkg")
    assert footprints_of(plain)["confidence"].tolist() == pytest.approx([250 / 254, 140 / 254])
    assert "not calibrated" in metadata_of(plain)["confidence"]
    assert footprints_of(ours)["confidence"].tolist() == pytest.approx(
        [1 / (1 + np.exp(-20 * (value / 254 - 0.8))) for value in (250, 140)]
    )
    assert metadata_of(ours)["confidence"] == "probability of being right, calibrated"


@pytest.mark.parametrize(("precision", "left", "threshold"), [(0.6, 2, 0.0), (0.61, 1, 0.5), (0.8, 1, 0.5)])
def test_precision(brightness, run, two_kinds, precision, left, threshold):
    path, confidence = two_kinds
    result = run(path, replace(calibrated(brightness(), confidence), precision=precision))
    assert result.footprints == left
    assert f"min_confidence {threshold}" in metadata_of(result)["rules"]


def test_precision_that_cannot_be_promised(brightness, run, two_kinds, tmp_path, listing):
    path, confidence = two_kinds
    before = listing(tmp_path)
    for model, reason in [
        (brightness(), "stub is not calibrated at scale 1"),
        (calibrated(brightness(), confidence, scale=2), "not calibrated at scale 1"),
        (calibrated(brightness(), confidence), r"best is 0\.800"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            run(path, replace(model, precision=0.9))
    assert listing(tmp_path) == before


@pytest.mark.parametrize("windows", [(128, 32), (256, 96), (96, 0)])
def test_footprints_do_not_depend_on_keeping_the_probabilities(
    write_scene, brightness, run, tmp_path, windows
):
    """Without them, strips forget the ground: no outline, confidence or edge may change by that."""
    pixels = np.random.default_rng(3).integers(0, 255, (3, HEIGHT, WIDTH), np.uint8)
    pixels[:, 100:200, 90:400] += np.uint8(60)
    pixels[:, 300:, :70] = 0
    path = write_scene(pixels, nodata=0)
    sizes = {"tile_px": windows[0], "halo_px": windows[1]}
    model = brightness(2, min_area_m2=1, min_hole_m2=0)
    kept = run(path, model, output="kept.gpkg", probabilities=tmp_path / "p.tif", **sizes)
    forgotten = run(path, model, output="forgotten.gpkg", **sizes)
    assert kept.footprints > 100
    assert footprints_of(kept).equals(footprints_of(forgotten))
    assert kept.valid_pixels == forgotten.valid_pixels
