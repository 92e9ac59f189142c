import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from safetensors import safe_open

from geoconvnext import calibrate as module
from geoconvnext.calibrate import calibrate
from geoconvnext.data.tiles import TileFolder, TileRecord
from geoconvnext.errors import LabelError, OutputError
from geoconvnext.inference import read_confidence
from geoconvnext.model.runtime import choose_placement
from geoconvnext.model.weights import read_info

CPU = choose_placement("cpu", "fp32")
SIZE = 160
TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 5_500_000)
PLACES = [(20, 20), (20, 90), (90, 20), (90, 90)]


@pytest.fixture
def write_tile(tmp_path):
    """Add a tile with roofs (row, col, height, width, grey) and buildings (row, col, height, width)."""

    def write(tiles, name, roofs, buildings, *, known=None, separate=True, crs="EPSG:32633", source=None):
        pixels = np.full((3, SIZE, SIZE), 20, np.uint8)
        for row, col, height, width, grey in roofs:
            pixels[:, row : row + height, col : col + width] = grey
        transform = TRANSFORM if crs else Affine.identity()
        polygons = [
            shapely.Polygon([transform @ (c, r) for r, c in [(y, x), (y, x + w), (y + h, x + w), (y + h, x)]])
            for y, x, h, w in buildings
        ]
        record = TileRecord(name, source or f"{name}.tif", 0.5, separate, 0.1, "CC0", len(polygons))
        known = np.ones((SIZE, SIZE), bool) if known is None else known
        folder = TileFolder(tmp_path / tiles)
        folder.write(record, pixels, polygons, known, transform=transform, crs=crs)
        return folder.path

    return write


@pytest.fixture
def make_set(write_tile):
    """Tiles whose bright roofs are buildings, and whose dim ones mostly are not."""

    def make(tiles="val", count=12, **options):
        rng = np.random.default_rng(0)
        for i in range(count):
            greys = [int(grey) for grey in rng.choice([150, 235], 4) + rng.integers(-15, 16, 4)]
            roofs = [(*place, 40, 50, grey) for place, grey in zip(PLACES, greys, strict=True)]
            true = [grey > 190 if rng.random() < 0.9 else grey < 190 for grey in greys]
            buildings = [roof[:4] for roof, is_true in zip(roofs, true, strict=True) if is_true]
            path = write_tile(tiles, f"t{i}", roofs, buildings, **options)
        return path

    return make


@pytest.fixture
def run(monkeypatch, brightness, weights, tmp_path):
    """Calibrate a copy of the small weights, as if its network saw brightness; the report."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.read_bytes())
    monkeypatch.setattr(module, "load_model", lambda _weights, _placement: brightness())

    def run(*tile_sets, **options):
        return calibrate(path, tile_sets, placement=CPU, **options)

    return run


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_calibrated_weights(run, make_set, weights, tmp_path):
    report = run(make_set())
    assert report.is_calibrated
    view = report.views[0]
    assert (view.footprints, report.path) == (48, tmp_path / "w.safetensors")
    assert view.right == view.buildings > 0
    before, after = read_info(weights), read_info(report.path)
    assert read_confidence(after, 1) == view.confidence
    assert replace(after, confidence=None) == before
    ours, theirs = tensors(report.path), tensors(weights)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].dtype == theirs[name].dtype for name in ours)
    assert all(ours[name].equal(theirs[name]) for name in ours)
    first, *_, last = view.confidence.table
    assert (first.threshold, first.footprints) == (0.0, 48)
    assert first.precision == pytest.approx(view.right / 48)
    assert (first.recall, last.precision > first.precision + 0.1) == (1.0, True)
    text = "\n".join(report.describe())
    assert f"{view.right} of 48 footprints are right" in text
    assert f"0.00      {first.precision:.3f}   1.000          48" in text


def test_another_file_may_take_the_result(run, make_set, weights, tmp_path):
    report = run(make_set(), output=tmp_path / "new" / "c.safetensors")
    assert read_info(tmp_path / "new" / "c.safetensors").confidence
    assert (tmp_path / "w.safetensors").read_bytes() == weights.read_bytes()
    assert str(tmp_path / "new" / "c.safetensors") in list(report.describe())[-1]
    with pytest.raises(OutputError, match="safetensors"):
        run(tmp_path / "val", output=tmp_path / "c.txt")


def test_what_cannot_be_judged_is_left_out(run, write_tile):
    inner, at_border, at_unknown, beyond = (
        (20, 20, 30, 30), (60, 0, 30, 30), (60, 90, 30, 30), (130, 60, 40, 30),
    )  # fmt: skip
    known = np.ones((SIZE, SIZE), bool)
    known[60:100, 100:] = False
    # Drawn short of the border: no edge is touched, but the building that it belongs to is cut.
    short = (130, 60, 28, 30)
    wrong = (20, 100, 30, 30)
    roofs = [(*place, 230) for place in (inner, at_border, at_unknown, short, wrong)]
    path = write_tile("val", "t", roofs, [inner, at_border, at_unknown, beyond], known=known)
    view = run(path).views[0]
    assert (view.footprints, view.right, view.buildings) == (2, 1, 1)


def test_merged_buildings_teach_nothing(run, make_set, weights, tmp_path):
    report = run(make_set("merged", separate=False))
    assert (report.views[0].footprints, report.is_calibrated) == (0, False)
    assert (tmp_path / "w.safetensors").read_bytes() == weights.read_bytes()
    assert run(make_set(), tmp_path / "merged").views[0].footprints == 48


def test_too_few_footprints_leave_the_weights_as_they_were(run, make_set, weights, tmp_path):
    report = run(make_set(count=7), output=tmp_path / "c.safetensors")
    assert not report.is_calibrated
    assert "not calibrated: that takes 30 footprints" in "\n".join(report.describe())
    assert not (tmp_path / "c.safetensors").exists()


def test_tiles_without_georeference_have_the_size_of_their_manifest(run, make_set, write_tile):
    path = make_set(crs=None)
    write_tile("val", "small", [(10, 10, 7, 7, 230)], [(10, 10, 7, 7)], crs=None)  # 12 m2: too small to count
    view = run(path).views[0]
    assert (view.footprints, view.buildings - view.right) == (48, 1)


def test_a_damaged_tile_is_named_and_skipped(run, make_set):
    path = make_set()
    for name, suffix in [("t3", ".tif"), ("t5", ".fgb")]:
        file = path / f"{name}{suffix}"
        file.write_bytes(file.read_bytes()[:200])
    report = run(path)
    assert report.is_calibrated
    assert report.views[0].footprints == 40
    assert [name in reason for name, reason in zip(("t3", "t5"), report.skipped, strict=True)] == [True] * 2
    assert sum(line.startswith("skipped: ") for line in report.describe()) == 2
    with pytest.raises(LabelError, match="no tile set"):
        run(path / "missing")


def test_tuned_rules(run, make_set, monkeypatch):
    """All dim roofs are wrong: a body threshold above them is best."""
    monkeypatch.setattr(module, "TUNED", {"body_threshold": (0.5, 0.7), "min_area_m2": (8.0, 9000.0)})
    report = run(make_set(count=20), tune=True)
    assert (report.rules.body_threshold, report.rules.min_area_m2) == (0.7, 8.0)
    info = read_info(report.path)
    assert (info.body_threshold, info.min_area_m2) == (0.7, 8.0)
    assert "tuned: body_threshold 0.7, min_area_m2 8" in list(report.describe())


def test_tile_sets_count_alike(run, make_set, write_tile):
    """A second set of wrong footprints only, a quarter as large: half of all that counts is wrong."""
    ours = make_set(count=32)
    dim = [(*place, 40, 50, 160) for place in PLACES]
    for i in range(8):
        other = write_tile("other", f"o{i}", dim, [])
    right = run(ours).views[0].confidence.table[0].precision
    both = run(ours, other).views[0]
    assert both.footprints == 160
    assert both.confidence.table[0].precision == pytest.approx(right / 2)
    assert both.confidence.table[0].recall == pytest.approx(1)


def test_every_view_has_a_calibration_of_its_own(run, make_set, monkeypatch, brightness):
    from geoconvnext.model.net import NetSpec, build_net
    from geoconvnext.model.weights import View, WeightsInfo, save_weights

    spec = NetSpec(encoder="convnext_atto", decoder_channels=16, scale=2)
    views = (View(scale=2, gsd_range_m=(0.4, 0.6)), View(scale=1, gsd_range_m=(0.9, 1.2)))
    info = WeightsInfo(spec=spec, views=views, tile=128, halo=32, confidence={"1": "of another version"})
    model = replace(brightness(), runners=brightness(2).runners | brightness(1).runners, info=info)
    monkeypatch.setattr(module, "load_model", lambda _weights, _placement: model)
    path = make_set()
    target = path.parent / "w.safetensors"
    save_weights(target, build_net(spec), info)
    report = run(path)
    assert [view.scale for view in report.views] == [2, 1]
    assert [view.footprints for view in report.views] == [48, 48]
    stored = read_info(target).confidence
    assert list(stored) == ["2", "1"]
    assert json.loads(json.dumps(stored)) == stored
