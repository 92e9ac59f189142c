import itertools

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import typer
from rasterio.features import rasterize
from typer.testing import CliRunner

from geoconvnext.cli import synth as verb
from geoconvnext.data.synth import make_scene
from geoconvnext.errors import ConfigError, OutputError
from geoconvnext.synth import write_synthetic
from geoconvnext.vector.files import read_footprints

SIZE = {"height": 96, "width": 128, "gsd_m": 0.5}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synth") / "town.tif", seed=1, **SIZE)


def test_the_scene_is_written(made):
    truth = make_scene(1, **SIZE)
    with rasterio.open(made.scene) as file:
        np.testing.assert_array_equal(file.read(), truth.image)
        assert file.res == (0.5, 0.5)
        assert file.crs == "EPSG:32633"
    assert made.style == truth.style
    assert made.buildings == len(truth.footprints) > 0


def test_the_footprints_lie_on_the_scene(made):
    truth = make_scene(1, **SIZE)
    table = read_footprints(made.footprints)
    assert list(table["id"]) == list(range(1, made.buildings + 1))
    assert table.crs == "EPSG:32633"
    with rasterio.open(made.scene) as file:
        found = rasterize(table.geometry, file.shape, transform=file.transform)
    np.testing.assert_array_equal(found, rasterize(truth.footprints, (96, 128)))
    metadata = pyogrio.read_info(made.footprints, layer="buildings")["layer_metadata"]
    assert "seed 1" in metadata["source"]


def test_unknown_style(tmp_path, listing):
    with pytest.raises(ConfigError, match="no style 'gothic'"):
        write_synthetic(tmp_path / "a.tif", seed=1, style="gothic", **SIZE)
    assert not listing(tmp_path)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError):
        write_synthetic(tmp_path / "out" / "a.tif", seed=1, **SIZE)


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verb.synth)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command(tmp_path, command):
    result = command("-o", tmp_path, "--count", 3, "--seed", 5, "--size", 32, "--gsd", "0.3,0.6")
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 3
    resolutions = []
    for seed in (5, 6, 7):
        assert (tmp_path / f"synth_0000{seed}.gpkg").exists()
        with rasterio.open(tmp_path / f"synth_0000{seed}.tif") as file:
            resolutions.append(file.res[0])
    assert resolutions == [0.3, 0.6, 0.3]


@pytest.mark.parametrize("gsd", ["fine", "0.3,", "0", "-1"])
def test_command_with_a_gsd_that_is_none(tmp_path, command, gsd):
    result = command("-o", tmp_path, "--gsd", gsd)
    assert isinstance(result.exception, ConfigError)
    assert "--gsd" in str(result.exception)


def test_scenes_of_different_seeds_show_different_ground(tmp_path):
    paths = [write_synthetic(tmp_path / f"{seed}.tif", seed=seed, **SIZE).scene for seed in (1, 2, 201)]
    boxes = []
    for path in paths:
        with rasterio.open(path) as file:
            boxes.append(shapely.box(*file.bounds))
    assert not any(a.intersects(b) for a, b in itertools.combinations(boxes, 2))
