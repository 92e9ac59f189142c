import json

import cv2
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from geoconvnext import __version__
from geoconvnext.vector.files import read_footprints, write_footprints


def test_version(command):
    assert command("--version") == (0, f"geoconvnext {__version__}\n", "")


def test_predict_one_scene(stub, command, write_scene, draw, tmp_path, listing):
    scene = write_scene(draw(300, 400, (40, 40, 60, 80), (200, 100, 50, 50)))
    out = tmp_path / "new"
    arguments = ["--preview", out / "pictures" / "p.jpg", "--probabilities", out / "p.tif"]
    code, output, _ = command("predict", scene, "-o", out / "b.geojson", *arguments)
    assert code == 0
    assert "400 x 300 px at 0.50 m, bands 1,2,3" in output
    assert "2 buildings, 1,8" in output
    assert listing(out) == ["b.geojson", "b.qml", "p.tif", "pictures", "pictures/p.jpg"]
    assert cv2.imread(str(out / "pictures" / "p.jpg")).shape == (300, 400, 3)


def test_predict_quietly(stub, command, write_scene, draw, tmp_path):
    scene = write_scene(draw(100, 100, (20, 20, 60, 60)), crs=None)
    assert command("predict", scene, "-o", tmp_path / "b.gpkg", "-q") == (0, "", "")


@pytest.mark.parametrize(("value", "said"), [(0, "no valid pixels"), (40, "no buildings found")])
def test_predict_says_why_a_layer_is_empty(stub, command, write_scene, tmp_path, value, said):
    scene = write_scene(np.full((3, 100, 100), value, np.uint8), nodata=0)
    code, output, _ = command("predict", scene, "-o", tmp_path / "b.gpkg")
    assert code == 0
    assert said in output
    assert "layer is empty" in output
    assert read_footprints(tmp_path / "b.gpkg").empty


@pytest.mark.parametrize("how", ["folder", "glob", "files"])
def test_predict_several_scenes(stub, command, write_scene, draw, tmp_path, listing, how):
    for name, count in (("a", 1), ("b", 2), ("c", 0)):
        write_scene(draw(200, 200, *[(100 * i + 20, 20, 50, 50) for i in range(count)]), f"in/{name}.tif")
    scenes = {
        "folder": [tmp_path / "in"],
        "glob": [tmp_path / "in" / "[ab].tif", tmp_path / "in" / "c.tif"],
        "files": sorted((tmp_path / "in").iterdir()),
    }
    out = tmp_path / "out"
    code, _, _ = command("predict", *scenes[how], "-o", out, "--preview", out, "--probabilities", out / "p")
    assert code == 0
    files = ["a.gpkg", "a.png", "b.gpkg", "b.png", "c.gpkg", "c.png"]
    assert listing(out) == [*files, "p", "p/a.tif", "p/b.tif", "p/c.tif"]
    assert [len(read_footprints(out / f"{name}.gpkg")) for name in "abc"] == [1, 2, 0]


def test_predict_one_scene_into_a_folder(stub, command, write_scene, draw, tmp_path):
    scene = write_scene(draw(100, 100, (20, 20, 60, 60)))
    code, _, _ = command("predict", scene, "-o", tmp_path / "out", "--preview", tmp_path / "p.png")
    assert code == 0
    assert (tmp_path / "out" / "scene.gpkg").is_file()
    assert (tmp_path / "p.png").is_file()


def test_options_reach_the_verb(stub, command, write_scene, draw, tmp_path):
    pixels = draw(200, 200, (20, 20, 60, 60), (120, 120, 8, 8))  # 900 and 16 m2
    pixels[[0, 2]] = 0
    scene = write_scene(pixels)
    count = {}
    for name, options in {"plain": [], "large": ["--min-area", 20], "bright": ["--threshold", 0.95]}.items():
        output = tmp_path / f"{name}.gpkg"
        assert command("predict", scene, "-o", output, "--bands", "2,1,3", *options)[0] == 0
        count[name] = len(read_footprints(output))
    assert count == {"plain": 2, "large": 1, "bright": 0}


@pytest.fixture
def squares(tmp_path):
    """Write squares of 10 m at (x, y) in UTM."""

    def write(name, *corners, crs="EPSG:32633"):
        east, north = (500_000, 5_500_000) if crs else (0, 0)
        boxes = [shapely.box(east + x, north + y, east + x + 10, north + y + 10) for x, y in corners]
        path = tmp_path / name
        write_footprints(
            gpd.GeoDataFrame({"id": range(len(boxes))}, geometry=boxes, crs=crs), path, provenance={}
        )
        return path

    return write


def test_evaluate_several_files(command, squares, tmp_path):
    ours = squares("results/a.gpkg", (0, 0), (50, 0)), squares("results/b.gpkg", (0, 0))
    squares("labels/a.gpkg", (0, 0))
    squares("labels/b.gpkg", (0, 0), (20, 0))
    places = ["-r", tmp_path / "labels", "--json", tmp_path / "new" / "scores.json"]
    code, output, _ = command("evaluate", *ours, *places)
    assert code == 0
    scores = json.loads((tmp_path / "new" / "scores.json").read_text())
    assert list(scores) == ["a", "b", "all"]
    assert [scores[name]["precision"] for name in scores] == pytest.approx([1 / 2, 1, 2 / 3])
    assert [scores[name]["recall"] for name in scores] == pytest.approx([1, 1 / 2, 2 / 3])
    assert (scores["all"]["tp"], scores["all"]["fp"], scores["all"]["fn"]) == (2, 1, 1)
    assert scores["all"]["pixel_iou"] == pytest.approx(2 / 4)
    header, *lines = output.splitlines()
    assert header.split()[:2] == ["pixel_iou", "precision"]
    assert [line.split()[0] for line in lines] == ["a", "b", "all"]
    assert lines[2].split()[1:] == ["0.500", "0.667", "0.667", "0.667", "1.000", "2", "1", "1"]


def test_evaluate_files_of_one_name(command, squares, tmp_path):
    ours = squares("x/a.gpkg", (0, 0)), squares("y/a.gpkg", (90, 0))
    code, output, _ = command("evaluate", *ours, "-r", squares("truth.gpkg", (0, 0)))
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()[1:]] == [*map(str, ours), "all"]


def test_evaluate_in_folders_of_scenes(command, squares, write_scene, draw, tmp_path):
    """Scene, labels and results of one name, as `geoconvnext synth` makes them, are told apart."""
    write_scene(draw(20, 40), "demo/a.tif")  # 20 x 10 m, below the origin of the squares
    squares("demo/a.gpkg", (0, -10), (90, 0))
    ours = squares("results/a.gpkg", (0, -10), (50, 50))
    arguments = ["-r", tmp_path / "demo", "--scenes", tmp_path / "demo", "--json", tmp_path / "s.json"]
    assert command("evaluate", ours, *arguments)[0] == 0
    row = json.loads((tmp_path / "s.json").read_text())["a"]
    assert (row["tp"], row["fp"], row["fn"], row["pixel_iou"]) == (1, 0, 0, pytest.approx(1))


def test_evaluate_undefined_measures(command, squares, tmp_path):
    empty = squares("a.gpkg"), squares("b.gpkg")
    code, output, _ = command("evaluate", empty[0], "-r", empty[1], "--json", tmp_path / "s.json")
    assert code == 0
    assert output.splitlines()[1].split() == ["a", "-", "-", "-", "-", "-", "0", "0", "0"]
    assert json.loads((tmp_path / "s.json").read_text())["a"]["precision"] is None


def test_info(command, write_scene, weights):
    scene = write_scene(np.zeros((4, 100, 200), np.uint8))
    code, output, _ = command("info", scene, "--weights", weights)
    assert code == 0
    assert "200 x 100 px" in output
    assert "small.safetensors, made for pixels of 0.1 to 1.0 m" in output
    code, output, _ = command("info", weights)
    assert code == 0
    assert "convnext_atto, fpn of 16 channels" in output


def test_progress_without_a_terminal(capsys, monkeypatch):
    from geoconvnext.cli.progress import PixelProgress

    monkeypatch.setattr("geoconvnext.cli.progress.SECONDS_BETWEEN_LINES", 0)
    for quiet in (True, False):
        with PixelProgress(quiet=quiet) as progress:
            progress("reading buildings", 0, 4_000_000)
            progress("reading buildings", 1_000_000, 4_000_000)
        output, error = capsys.readouterr()
        assert output == ""
        assert (error == "") == quiet
    assert "reading buildings: 25%," in error


def test_mask_reference(command, squares, tmp_path):
    mask = np.zeros((100, 100), np.uint8)
    mask[10:20, 30:40] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    ours = squares("ours.gpkg", (30, 10), crs=None)
    code, output, error = command("evaluate", ours, "-r", tmp_path / "mask.png")
    assert (code, error) == (0, "")
    assert output.splitlines()[1].split()[:2] == ["ours", "1.000"]


def test_probabilities_of_a_folder_are_georeferenced(stub, command, write_scene, draw, tmp_path):
    scene = write_scene(draw(100, 100, (20, 20, 60, 60)))
    assert command("predict", scene, "-o", tmp_path / "o", "--probabilities", tmp_path / "o")[0] == 0
    with rasterio.open(tmp_path / "o" / "scene.tif") as file, rasterio.open(scene) as source:
        assert (file.bounds, file.crs) == (source.bounds, source.crs)
