"""`geoconvnext evaluate` from the command line: tables, JSON, picture."""

import json

import cv2
import geopandas as gpd
import numpy as np
import pytest
import shapely

from geoconvnext.vector.files import write_footprints

MAIN = ["pixel_iou", "boundary_iou", "precision", "recall", "f1", "ap50", "matched_iou", "tp", "fp", "fn"]


@pytest.fixture
def squares(tmp_path):
    """Write squares of 10 m at (x, y) in UTM, the first one the surest."""

    def write(name, *corners, crs="EPSG:32633", **columns):
        east, north = (500_000, 5_500_000) if crs else (0, 0)
        boxes = [shapely.box(east + x, north + y, east + x + 10, north + y + 10) for x, y in corners]
        path = tmp_path / name
        table = gpd.GeoDataFrame({"id": range(len(boxes)), **columns}, geometry=boxes, crs=crs)
        write_footprints(table, path, provenance={})
        return path

    return write


def tables(output):
    """Split printed tables into cells, by empty lines; the first line of each is its header."""
    return [[line.split() for line in part.splitlines()] for part in output.split("\n\n")]


def test_several_files(command, squares, tmp_path):
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
    main, groups, details = tables(output)
    assert main[0] == MAIN
    assert [line[0] for line in main[1:]] == ["a", "b", "all", "95%"]
    assert main[3][1:] == ["0.500", "0.500", "0.667", "0.667", "0.667", "-", "1.000", "2", "1", "1"]
    low, high = scores["all"]["intervals"]["f1"]
    assert main[4][5] == f"{low:.2f}-{high:.2f}"
    assert low < 2 / 3 < high
    assert ["isolated", "3", "-", "0.667", "-", "-"] in groups
    assert details[1][0] == "all"
    assert "needs numbers in a column `confidence`" in output


def test_columns_are_aligned(command, squares):
    ours = squares("a_long_name.gpkg", (0, 0), (50, 0), confidence=[0.9, 0.1])
    code, output, _ = command("evaluate", ours, "-r", squares("t.gpkg", (0, 0)))
    assert code == 0
    for part in output.split("\n\n"):
        assert len({len(line) for line in part.splitlines() if line}) == 1
    assert tables(output)[0][1][6] == "1.000"  # average precision
    assert "column `confidence`" not in output


def test_files_of_one_name(command, squares):
    ours = squares("x/a.gpkg", (0, 0)), squares("y/a.gpkg", (90, 0))
    code, output, _ = command("evaluate", *ours, "-r", squares("truth.gpkg", (0, 0)))
    assert code == 0
    assert [line[0] for line in tables(output)[0][1:4]] == [*map(str, ours), "all"]


def test_folders_of_scenes(command, squares, write_scene, draw, tmp_path):
    """Scene, labels and results of one name, as `geoconvnext synth` makes them, are told apart."""
    write_scene(draw(20, 40), "demo/a.tif")  # 20 x 10 m, below the origin of the squares
    squares("demo/a.gpkg", (0, -10), (90, 0))
    ours = squares("results/a.gpkg", (0, -10), (50, 50))
    arguments = ["-r", tmp_path / "demo", "--scenes", tmp_path / "demo", "--json", tmp_path / "s.json"]
    assert command("evaluate", ours, *arguments, "--picture", tmp_path / "s.png")[0] == 0
    row = json.loads((tmp_path / "s.json").read_text())["a"]
    assert (row["tp"], row["fp"], row["fn"], row["pixel_iou"]) == (1, 0, 0, pytest.approx(1))
    assert cv2.imread(str(tmp_path / "s.png")).shape[2] == 3


def test_undefined_measures(command, squares, tmp_path):
    empty = squares("a.gpkg"), squares("b.gpkg")
    code, output, _ = command("evaluate", empty[0], "-r", empty[1], "--json", tmp_path / "s.json")
    assert code == 0
    main = tables(output)[0]
    assert main[1] == ["a", *("-" * 7), "0", "0", "0"]
    assert set(main[2][1:]) == {"-"}
    row = json.loads((tmp_path / "s.json").read_text())["a"]
    assert row["precision"] is None
    assert row["intervals"]["f1"] == [None, None]
    assert row["groups"]["small"] == {"buildings": 0, **dict.fromkeys(("precision", "recall", "f1", "ap50"))}


def test_mask_reference_and_pixels_of_half_a_metre(command, squares, tmp_path):
    mask = np.zeros((100, 100), np.uint8)
    mask[10:20, 30:40] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    ours = squares("ours.gpkg", (30, 10), crs=None)
    arguments = ["-r", tmp_path / "mask.png", "--gsd", 0.5, "--json", tmp_path / "s.json"]
    code, output, error = command("evaluate", ours, *arguments)
    assert (code, error) == (0, "")
    assert tables(output)[0][1][:2] == ["ours", "1.000"]
    assert json.loads((tmp_path / "s.json").read_text())["ours"]["groups"]["small"]["buildings"] == 1


def test_what_cannot_be_written_is_refused_before_any_work(command, tmp_path):
    missing = tmp_path / "missing.gpkg"
    for option, name in (("--json", "s.csv"), ("--picture", "p.jpg")):
        code, _, error = command("evaluate", missing, "-r", missing, option, tmp_path / name)
        assert code == 2
        assert name in error
