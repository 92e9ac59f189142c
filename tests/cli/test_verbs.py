import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine

from geoconvnext import __version__
from geoconvnext.model.net import NetSpec, build_net
from geoconvnext.model.weights import View, WeightsInfo, save_weights
from geoconvnext.vector.files import read_footprints


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


def test_predict_drops_uncertain_footprints(stub, command, write_scene, draw, tmp_path):
    pixels = draw(200, 200, (20, 20, 60, 60))
    pixels[:, 120:160, 120:160] = 140
    scene = write_scene(pixels)
    for minimum, left in [(0.5, 2), (0.6, 1), (0.9, 0)]:
        output = tmp_path / "b.gpkg"
        assert command("predict", scene, "-o", output, "--min-confidence", minimum)[0] == 0
        assert len(read_footprints(output)) == left


def test_predict_in_the_view_that_suits(command, write_scene, draw, tmp_path):
    """Weights of two views: the introduction names one that is not the first."""
    spec = NetSpec(encoder="convnext_atto", decoder_channels=16, scale=2)
    views = (View(scale=1, gsd_range_m=(0.3, 0.6)), View(scale=2, gsd_range_m=(0.8, 1.2)))
    weights = tmp_path / "w.safetensors"
    save_weights(weights, build_net(spec), WeightsInfo(spec=spec, views=views, tile=128, halo=32))
    fine = write_scene(draw(100, 100), "fine.tif")
    coarse = write_scene(draw(100, 100), "coarse.tif", transform=Affine(1, 0, 500_000, 0, -1, 5_500_000))
    arguments = ["--weights", weights, "-o", tmp_path / "b.gpkg"]
    other = "in the view for 0.8 to 1.2 m (mask 2 x as fine)"
    assert other not in command("predict", fine, *arguments)[1]
    assert other in command("predict", coarse, *arguments)[1]
    assert other in command("predict", fine, *arguments, "--scale", 2)[1]
    assert "at 0.60 m" in command("predict", coarse, *arguments, "--scale", 1)[1]


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


def test_probabilities_of_a_folder_are_georeferenced(stub, command, write_scene, draw, tmp_path):
    scene = write_scene(draw(100, 100, (20, 20, 60, 60)))
    assert command("predict", scene, "-o", tmp_path / "o", "--probabilities", tmp_path / "o")[0] == 0
    with rasterio.open(tmp_path / "o" / "scene.tif") as file, rasterio.open(scene) as source:
        assert (file.bounds, file.crs) == (source.bounds, source.crs)
