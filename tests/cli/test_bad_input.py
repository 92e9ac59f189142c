"""Whatever is wrong: one clear message, exit code 2, nothing left behind but what a run goes on from."""

import os

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from safetensors.torch import save_file

from geoconvnext.vector.files import read_footprints, write_footprints


@pytest.fixture
def fails(command, tmp_path, listing):
    """Run a command that must fail; returns its message."""

    def run(*arguments):
        before = listing(tmp_path)
        code, _, error = command(*arguments)
        assert code == 2, error
        assert error.count("Error: ") == 1, error
        assert "Traceback" not in error
        new = [path for path in tmp_path.rglob("*") if str(path.relative_to(tmp_path)) not in before]
        assert not [path for path in new if path.is_file() and ".partial" not in path.parent.suffix]
        return error.partition("Error: ")[2]

    return run


@pytest.fixture
def scene(write_scene, draw):
    return write_scene(draw(300, 400, (40, 40, 60, 80)))


@pytest.fixture
def damaged(tmp_path, write_scene):
    """Files that are no scenes, by name."""
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "empty.tif").touch()
    write_scene(np.full((1, 200, 200), 100, np.uint8), "one_band.tif")
    noise = np.random.default_rng(0).integers(0, 255, (3, 500, 500), np.uint8)
    cut = write_scene(noise, "cut.tif")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.tif", "missing.tif"),
        ("text.tif", "not a raster"),
        ("empty.tif", "not a raster"),
        ("one_band.tif", "band"),
        ("cut.tif", "truncated"),
    ],
)
def test_scenes(stub, fails, damaged, name, reason):
    message = fails(
        "predict", damaged / name, "-o", damaged / "new" / "out.gpkg", "--preview", damaged / "p" / "p.png"
    )
    assert reason in message


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "out.xyz"], ".gpkg"),
        (["-o", "scene.tif/out.gpkg"], "file"),
        (["-o", "out.gpkg", "--probabilities", "p.png"], ".tif"),
        (["-o", "out.gpkg", "--probabilities", "scene.tif/p.tif"], "takes no files"),
        (["-o", "out.gpkg", "--probabilities", "scene.tif"], "would replace"),
        (["-o", "town.geojson", "--aoi", "town.geojson"], "would replace"),
        (["-o", "out.gpkg", "--preview", "p.gif"], ".png"),
        (["-o", "out.gpkg", "--preview", "scene.tif/p.png"], "takes no files"),
        (["-o", "out.gpkg", "--bands", "red"], "5,3,2"),
        (["-o", "out.gpkg", "--bands", "1,2,9"], "9"),
        (["-o", "out.gpkg", "--tile-size", "100"], "multiples of 32"),
        (["-o", "out.gpkg", "--halo", "64"], "larger than two halos"),
        (["-o", "out.gpkg", "--gsd", "-1"], "above 0"),
        (["-o", "out.gpkg", "--threshold", "1.5"], "between 0 and 1"),
        (["-o", "out.gpkg", "--device", "tpu"], "tpu"),
        (["-o", "out.gpkg", "--dtype", "int8"], "int8"),
        (["-o", "out.gpkg", "--precision", "bf16"], "--precision"),
        (["-o", "out.gpkg", "--precision", "1.5"], "--precision"),
        (["-o", "out.gpkg", "--precision", "0.9"], "stub is not calibrated"),
        (["-o", "out.gpkg", "--min-confidence", "90"], "between 0 and 1"),
        (["-o", "out.gpkg", "--scale", "4"], "they have 1 (pixels of 0.1 to 1 m)"),
        (["-o", "out.gpkg", "--batch-size", "0"], "batch-size"),
        (["-o", "out.gpkg", "--colour", "red"], "--colour"),
        ([], "--output"),
    ],
)
def test_options(stub, fails, scene, monkeypatch, arguments, reason):
    monkeypatch.chdir(scene.parent)
    assert reason in fails("predict", "scene.tif", *arguments)


def test_two_thresholds(fails, scene, weights):
    options = ["-o", scene.parent / "out.gpkg", "--weights", weights]
    assert "give one" in fails("predict", scene, *options, "--min-confidence", 0.5, "--precision", 0.9)


@pytest.mark.parametrize("kind", ["missing", "text", "foreign"])
def test_weights(fails, scene, tmp_path, kind):
    path = tmp_path / "w.safetensors"
    if kind == "text":
        path.write_text("these are no weights")
    elif kind == "foreign":
        save_file({"layer": torch.zeros(3)}, path)
    assert "w.safetensors" in fails("predict", scene, "-o", tmp_path / "out.gpkg", "--weights", path)
    assert "w.safetensors" in fails("info", path)


def test_read_only_folder(stub, fails, scene, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o555)
    assert "takes no files" in fails("predict", scene, "-o", tmp_path / "locked" / "out.gpkg")


def test_names_of_several_scenes(stub, fails, write_scene, draw, tmp_path):
    ours, other = (write_scene(draw(200, 200), f"{folder}/scene.tif") for folder in "ab")
    third = write_scene(draw(200, 200), "third.tif")
    assert "several scenes are named scene" in fails("predict", ours, other, "-o", tmp_path / "out")
    assert "one file" in fails("predict", ours, third, "-o", tmp_path / "out.gpkg")
    assert "one file" in fails(
        "predict", ours, third, "-o", tmp_path / "out", "--preview", tmp_path / "p.png"
    )
    assert "would replace" in fails("predict", ours, third, "-o", tmp_path / "o", "--probabilities", tmp_path)
    assert "no scene" in fails("predict", tmp_path / "*.jp2", "-o", tmp_path / "out")


def test_full_disk_for_the_mosaic(stub, fails, write_scene, small_disk):
    noise = np.random.default_rng(0).integers(0, 100, (3, 1500, 1500), np.uint8)
    path = write_scene(noise)
    assert "make room" in fails("predict", path, "-o", small_disk("400k") / "out.gpkg")


def test_full_disk_for_the_footprints(stub, fails, scene, small_disk):
    assert "MB free" in fails("predict", scene, "-o", small_disk("80k") / "out.gpkg")


def test_full_disk_for_the_probabilities(stub, fails, write_scene, tmp_path, small_disk):
    path = write_scene(np.random.default_rng(0).integers(0, 100, (3, 1000, 1000), np.uint8))
    place = small_disk("200k") / "p.tif"
    assert "p.tif" in fails("predict", path, "-o", tmp_path / "out" / "b.gpkg", "--probabilities", place)


def test_full_disk_for_the_preview_keeps_the_footprints(
    stub, command, write_scene, small_disk, tmp_path, listing
):
    pixels = np.random.default_rng(0).integers(0, 100, (3, 400, 400), np.uint8)
    pixels[:, 100:200, 100:200] = 220
    scene = write_scene(pixels)
    folder = small_disk("40k")
    output = tmp_path / "out.gpkg"
    code, _, error = command("predict", scene, "-o", output, "--preview", folder / "p.png")
    assert (code, listing(folder)) == (2, [])
    assert error.splitlines()[-1].startswith("Error: cannot write")
    assert len(read_footprints(output)) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.tif", "-o", "out.gpkg"], "missing.tif"),
        (["text.tif", "-o", "out.gpkg"], "not a raster"),
        (["cut.tif", "-o", "new/out.gpkg"], "truncated"),
        (["complex.tif", "-o", "out.gpkg"], "complex"),
        (["logits.tif", "-o", "new/out.gpkg"], "holds -4 to 9"),
        (["logits.tif", "-o", "new/out.gpkg"], "sigmoid"),
        (["tags.tif", "-o", "out.gpkg"], "cannot be understood"),
        (["mask.tif", "-o", "out.xyz"], ".gpkg"),
        (["mask.tif", "-o", "mask.tif/out.gpkg"], "takes no files"),
        (["mask.gpkg", "-o", "mask.gpkg"], "would replace"),
        (["mask.png", "-o", "out.gpkg", "--preview", "mask.png"], "would replace"),
        (["mask.tif", "-o", "out.gpkg", "--preview", "s.png", "--scene", "s.png"], "would replace"),
        (["mask.tif", "-o", "area.geojson", "--aoi", "area.geojson"], "would replace"),
        (["mask.tif", "-o", "out.gpkg", "--aoi", "text.tif"], "text.tif"),
        (["mask.tif", "-o", "out.gpkg", "--preview", "p.gif"], ".png"),
        (["mask.tif", "-o", "out.gpkg", "--scene", "mask.tif"], "--preview"),
        (["mask.tif", "-o", "out.gpkg", "--preview", "p.png", "--scene", "text.tif"], "not a raster"),
        (["mask.tif", "-o", "out.gpkg", "--preview", "p.png", "--scene", "plain.tif"], "has no CRS"),
        (["mask.tif", "-o", "out.gpkg", "--bands", "2"], "bands 1 to 1"),
        (["mask.tif", "-o", "out.gpkg", "--bands", "body"], "5,3,2"),
        (["mask.tif", "-o", "out.gpkg", "--bands", "1,1,1,1"], "contact"),
        (["mask.tif", "-o", "out.gpkg", "--max-value", "0"], "above 0"),
        (["mask.tif", "-o", "out.gpkg", "--gsd", "-1"], "above 0"),
        (["mask.tif", "-o", "out.gpkg", "--threshold", "1.5"], "between 0 and 1"),
        (["mask.tif", "-o", "out.gpkg", "--min-area", "-1"], "0 or more"),
        (["mask.tif", "-o", "out.gpkg", "--precision", "0.9"], "no calibration"),
        (["mask.tif", "-o", "out.gpkg", "--precision", "7"], "--precision"),
        (["mask.tif"], "--output"),
    ],
)
def test_polygonize(fails, damaged, write_scene, monkeypatch, arguments, reason):
    monkeypatch.chdir(damaged)
    mask = np.zeros((1, 60, 60), np.uint8)
    write_scene(mask, "mask.tif")
    write_scene(mask, "mask.gpkg")
    write_scene(mask, "mask.png")
    write_scene(mask, "plain.tif", crs=None)
    write_scene(mask.astype(np.complex64), "complex.tif")
    write_scene(np.array([[[-4, 0.5, 9]]]), "logits.tif")
    with rasterio.open(write_scene(mask, "tags.tif"), "r+") as file:
        file.update_tags(GEOCONVNEXT_RULES="no JSON")
    assert reason in fails("polygonize", *arguments)


def test_full_disk_for_polygonize(fails, write_scene, small_disk):
    mask = write_scene(np.zeros((1, 60, 60), np.uint8))
    assert "MB free" in fails("polygonize", mask, "-o", small_disk("40k") / "out.gpkg")


@pytest.mark.parametrize("name", ["houses.gpkg", "link.gpkg", "new/../houses.gpkg"])
def test_regularize_does_not_replace_its_input(fails, tmp_path, name):
    houses = tmp_path / "houses.gpkg"
    write_footprints(gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 9, 9)], crs=32633), houses, provenance={})
    (tmp_path / "link.gpkg").symlink_to(houses)
    before = houses.read_bytes()
    assert "would replace what is read" in fails("regularize", houses, "-o", tmp_path / name)
    assert houses.read_bytes() == before


def test_evaluate(fails, tmp_path):
    (tmp_path / "text.gpkg").write_text("no footprints")
    assert "text.gpkg" in fails("evaluate", tmp_path / "text.gpkg", "-r", tmp_path / "text.gpkg")
    assert "missing.gpkg" in fails("evaluate", tmp_path / "text.gpkg", "-r", tmp_path / "missing.gpkg")
    assert ".json" in fails(
        "evaluate", tmp_path / "text.gpkg", "-r", tmp_path / "text.gpkg", "--json", tmp_path / "s.csv"
    )


def test_info_of_a_scene_that_does_not_fit(command, damaged, weights):
    code, output, error = command("info", damaged / "one_band.tif", "--weights", weights)
    assert code == 2
    assert "200 x 200 px" in output
    assert error.startswith("Error: ")


@pytest.mark.parametrize("verb", [[], ["predict"], ["polygonize"], ["info"], ["evaluate"]])
def test_help_without_arguments(command, verb):
    code, output, error = command(*verb)
    assert code == 2
    assert "Usage: " in output + error
