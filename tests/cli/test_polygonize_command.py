import cv2
import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geoconvnext.vector.files import read_footprints

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RECTANGLES = ((40, 40, 60, 80), (200, 100, 50, 50))


@pytest.fixture
def predicted(stub, command, write_scene, draw, tmp_path):
    """A scene, its footprints b.gpkg and its probabilities p.tif."""
    scene = write_scene(draw(300, 400, *RECTANGLES))
    arguments = ["-o", tmp_path / "b.gpkg", "--probabilities", tmp_path / "p.tif"]
    assert command("predict", scene, *arguments)[0] == 0
    return tmp_path


@pytest.fixture
def mask(write_scene):
    values = np.zeros((1, 300, 400), np.uint8)
    for row, col, rows, cols in RECTANGLES:
        values[0, row : row + rows, col : col + cols] = 255
    return write_scene(values, "mask.tif")


def test_probabilities_of_predict(command, predicted):
    out = predicted / "new" / "b.gpkg"
    code, output, error = command("polygonize", predicted / "p.tif", "-o", out)
    assert (code, error) == (0, "")
    assert "400 x 300 px at 0.50 m, body in band 1, edge in band 2, contact in band 3" in output
    assert "uint8, 254 means 1" in output
    assert "2 buildings, 1,8" in output
    assert output.splitlines()[-1].strip() == str(out)
    assert read_footprints(out).equals(read_footprints(predicted / "b.gpkg"))


def test_a_mask_of_another_tool(command, mask, tmp_path):
    code, output, error = command("polygonize", mask, "-o", tmp_path / "b.parquet")
    assert code == 0
    assert "uint8, 255 means 1" in output
    assert "note: not written by geoconvnext predict" in error
    assert len(read_footprints(tmp_path / "b.parquet")) == 2


def test_options_reach_the_verb(command, write_scene, tmp_path):
    values = np.zeros((2, 100, 200), np.uint8)
    values[1, 10:50, 10:50], values[1, 60:70, 100:110], values[1, 10:50, 100:140] = 90, 80, 30
    values[1, 90:, :] = 200
    path = write_scene(values, crs=None, transform=Affine.identity())
    base = ["--bands", "2", "--max-value", "100", "--nodata", "200", "--gsd", "0.5"]
    count = {}
    for name, options in {
        "plain": [],
        "large": ["--min-area", 30],
        "bold": ["--threshold", 0.2],
        "sure": ["--min-confidence", 0.85],
        "as drawn": ["--tolerance", 0, "--simplify", 0],
        "rough": ["--tolerance", 0, "--simplify", 30],
    }.items():
        output = tmp_path / f"{name}.gpkg"
        assert command("polygonize", path, "-o", output, "-q", *base, *options) == (0, "", "")
        count[name] = len(read_footprints(output))
    assert (count["plain"], count["large"], count["bold"], count["sure"]) == (2, 1, 3, 1)
    areas = read_footprints(tmp_path / "plain.gpkg")["area_m2"]
    assert sorted(areas) == pytest.approx([25, 400], rel=0.1)
    plain, as_drawn, rough = (
        shapely.get_num_coordinates(read_footprints(tmp_path / f"{name}.gpkg").geometry).sum()
        for name in ("plain", "as drawn", "rough")
    )
    assert rough <= plain < as_drawn


@pytest.mark.parametrize(
    ("value", "said"),
    [(255, "no valid pixels"), (51, "no buildings found"), (51, "the highest probability is 0.20")],
)
def test_says_why_a_layer_is_empty(command, write_scene, tmp_path, value, said):
    path = write_scene(np.full((1, 100, 100), value, np.uint8), nodata=255)
    code, output, _ = command("polygonize", path, "-o", tmp_path / "b.gpkg")
    assert code == 0
    assert said in output
    assert "layer is empty" in output
    assert read_footprints(tmp_path / "b.gpkg").empty


@pytest.mark.parametrize(
    ("columns", "found", "said"), [((0, 180), 1, "1 buildings"), ((180, 400), 0, "touch")]
)
def test_an_area(command, mask, tmp_path, columns, found, said):
    """Both buildings lie left of column 140, the upper one alone above row 150."""
    left, right = (500_000 + 0.5 * column for column in columns)
    shape = shapely.box(left, 5_500_000 - 0.5 * 150, right, 5_500_000)
    aoi = tmp_path / "area.geojson"
    gpd.GeoSeries([shape], crs=32633).to_crs(4326).to_file(aoi)
    code, output, _ = command("polygonize", mask, "-o", tmp_path / "b.gpkg", "--aoi", aoi)
    assert code == 0
    assert said in output
    assert len(read_footprints(tmp_path / "b.gpkg")) == found


def brightness_at(picture, row, col):
    return int(picture[row, col].mean())


@pytest.mark.parametrize("name", ["b.gpkg", "b.geojson"])
def test_preview(command, predicted, name):
    picture, over_scene = predicted / "p.png", predicted / "s.png"
    arguments = [predicted / "p.tif", "-o", predicted / name, "--preview"]
    code, output, _ = command("polygonize", *arguments, picture)
    assert code == 0
    assert output.splitlines()[-1].strip() == str(picture)
    assert command("polygonize", *arguments, over_scene, "--scene", predicted / "scene.tif")[0] == 0
    for path in (picture, over_scene):
        drawn = cv2.imread(str(path))
        assert drawn.shape == (300, 400, 3)
        assert np.ptp(drawn[40, 60].astype(int)) > 30  # the outline has a colour
        assert np.ptp(drawn[150, 300].astype(int)) == 0


def test_preview_over_a_scene_elsewhere_in_another_crs(command, mask, write_scene, draw, tmp_path):
    """The footprints are brought to the scene, which lies in degrees and is larger."""
    degrees = Affine(7e-6, 0, 14.9999, 0, -4.5e-6, 49.653)
    scene = write_scene(draw(600, 800), "scene.tif", crs="EPSG:4326", transform=degrees)
    picture = tmp_path / "p.png"
    arguments = ["--preview", picture, "--scene", scene]
    assert command("polygonize", mask, "-o", tmp_path / "b.gpkg", *arguments)[0] == 0
    drawn = cv2.imread(str(picture)).astype(int)
    coloured = (np.ptp(drawn, axis=2) > 5).sum()
    expected = shapely.area(read_footprints(tmp_path / "b.gpkg").to_crs(4326).geometry).sum()
    assert coloured == pytest.approx(expected / (7e-6 * 4.5e-6), rel=0.15)  # lines have a width


def test_preview_without_crs(command, write_scene, draw, mask, tmp_path):
    plain = {"crs": None, "transform": Affine.identity()}
    values = np.zeros((1, 50, 60), np.float32)
    values[0, 10:30, 10:30] = 0.8
    path = write_scene(values, "p.tif", **plain)
    arguments = ["polygonize", path, "-o", tmp_path / "b.geojson", "--preview", tmp_path / "p.png"]
    assert command(*arguments)[0] == 0
    assert command(*arguments, "--scene", write_scene(draw(50, 60), **plain))[0] == 0
    assert np.ptp(cv2.imread(str(tmp_path / "p.png"))[20, 20].astype(int)) > 5


def test_the_help_says_how_values_are_read(command):
    code, output, _ = command("polygonize", "--help")
    assert code == 0
    for words in ("--max-value", "masks of 0 and 1", "declared scale", "nodata", "polygonize p.tif"):
        assert words in " ".join(output.split())
