import geopandas as gpd
import numpy as np
import pytest
import typer
from affine import Affine
from shapely import box
from typer.testing import CliRunner

from geoconvnext.check import check_tiles
from geoconvnext.cli import check as verb
from geoconvnext.data.tiles import MANIFEST
from geoconvnext.errors import LabelError
from geoconvnext.tile import TileOptions, tile_scene

WEST, NORTH, GSD = 500_000, 5_500_000, 0.5


@pytest.fixture
def tile_set(write_scene, draw, tmp_path):
    """Cut a scene of two windows, `east` metres from the others, with a building of 10 x 20 px in each."""

    def make(folder, east=0, licence="CC0", bands=None):
        transform = Affine(GSD, 0, WEST + east, 0, -GSD, NORTH)
        scene = write_scene(draw(100, 200), f"{folder}.tif", transform=transform)
        left = WEST + east
        houses = [box(left + x, NORTH - 20, left + x + 5, NORTH - 10) for x in (10, 70)]
        gpd.GeoDataFrame(geometry=houses, crs="EPSG:32633").to_file(tmp_path / f"{folder}.gpkg")
        options = TileOptions(size=100, licence=licence, bands=bands)
        tile_scene(scene, tmp_path / f"{folder}.gpkg", tmp_path / folder, options)
        return tmp_path / folder

    return make


def test_summary(tile_set):
    summary = check_tiles(tile_set("train"))
    assert (summary.tiles, summary.buildings, summary.bands) == (2, 2, (3,))
    assert summary.building_share == pytest.approx(200 / 10_000)
    assert summary.gsd_range_m == pytest.approx((GSD, GSD), rel=2e-3)
    assert summary.licences == ("CC0",)
    assert summary.damaged == ()


def test_damaged_tiles_are_named(tile_set):
    folder = tile_set("train", licence="")
    image = folder / "train_r0_c0.tif"
    image.write_bytes(image.read_bytes()[:-500])
    (folder / "train_r0_c100.fgb").write_bytes((folder / "train_r0_c0.fgb").read_bytes())
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text().replace(",1\n", ",2\n"))
    summary = check_tiles(folder)
    assert summary.licences == ("not stated",)
    assert [problem.split()[1] for problem in summary.damaged] == ["train_r0_c0", "train_r0_c100"]
    assert "cannot be read" in summary.damaged[0]
    assert "has 1 buildings, its manifest says 2" in summary.damaged[1]


def test_no_tile_set(tmp_path):
    with pytest.raises(LabelError, match="no tile set"):
        check_tiles(tmp_path)


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verb.check)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command(tile_set, command):
    train, other, val = (tile_set(name, 500 * i) for i, name in enumerate(("train", "other", "val")))
    result = command(train, other, "--against", val)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == f"{train}: 2 tiles, 2 buildings, 2.0% built-up, 0.50 m, 3 bands"
    assert lines[1] == "  licence: CC0"
    assert lines[-1] == "no damaged tiles, no leaks"
    assert command(train).output.splitlines()[-1] == "no damaged tiles"


def test_command_finds_leaks(tile_set, command):
    train, val = tile_set("train"), tile_set("val", 20)
    result = command(train, "--against", val)
    assert isinstance(result.exception, LabelError)
    assert "0 damaged tiles, 3 leaks" in str(result.exception)
    assert f"leak: {train}/train_r0_c0 and {val}/val_r0_c0 (same ground)" in result.output
    assert result.output.count("leak: ") == 3


def test_command_shows_some_of_many_leaks(tile_set, command, monkeypatch):
    monkeypatch.setattr(verb, "SHOWN_LEAKS", 1)
    result = command(tile_set("train"), "--against", tile_set("val", 20))
    assert result.output.count("leak: ") == 2
    assert "leak: and 2 more" in result.output


def test_command_finds_damaged_tiles(tile_set, command):
    train, val = tile_set("train"), tile_set("val", 500)
    (val / "val_r0_c0.tif").unlink()
    result = command(train, "--against", val)
    assert isinstance(result.exception, LabelError)
    assert "1 damaged tiles, 0 leaks" in str(result.exception)
    assert "  damaged: tile val_r0_c0 of " in result.output


def test_bands_that_differ_are_seen(tile_set, tmp_path, command):
    one, other = tile_set("one"), tile_set("two", 500, bands=(1, 2))
    for path in other.iterdir():
        if path.name != MANIFEST:
            path.rename(one / path.name)
    rows = (other / MANIFEST).read_text().splitlines(keepends=True)[1:]
    (one / MANIFEST).write_text((one / MANIFEST).read_text() + "".join(rows))
    assert check_tiles(one).bands == (2, 3)
    assert "2 or 3 bands" in command(one).output
    assert np.isclose(check_tiles(one).building_share, 0.02)
