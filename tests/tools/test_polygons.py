import importlib
import json
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely.affinity import rotate

BENCH = Path(__file__).parents[2] / "tools" / "bench"
HOUSE = shapely.box(0, 0, 12, 8)


@pytest.fixture
def load(monkeypatch):
    pytest.importorskip("psutil")
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module


@pytest.fixture
def cases(load):
    return load("polygon_cases")


@pytest.fixture
def scores(load):
    return load("polygon_scores")


def place(*polygons, turn=20.0, corner=(500_000, 5_500_000)):
    whole = rotate(shapely.GeometryCollection(polygons), turn, origin=(0, 0))
    return np.array(list(shapely.transform(whole, lambda xy: xy + corner).geoms), object)


@pytest.fixture
def case(cases, tmp_path):
    """Two houses that share a wall, one apart, all turned, and no noise."""
    row = place(HOUSE, shapely.box(12, 0, 20, 8), shapely.box(30, 0, 40, 10))
    scene = cases.Scene(row, cases.SYNTH_CRS)
    return cases.make_case("row", scene, tmp_path / "labels.tif", noise=0.0, gsd_m=0.3, seed=0)


def test_a_case_has_the_buildings_of_its_scene_in_one_order(case):
    assert list(case.drawn) == ["outline", "simplified", "predict"]
    assert len(case.matches.iou) == 3
    assert case.matches.iou.min() > 0.93
    for other in (case.drawn["simplified"].polygons, case.drawn["predict"].polygons, case.pixels):
        both = shapely.area(shapely.intersection(case.outlines, other))
        assert (both / shapely.area(shapely.union(case.outlines, other)) > 0.9).all()
    assert len(case.walls) == 1
    assert case.wall_m == pytest.approx(8, abs=1.5)


def test_noise_is_what_was_asked_and_does_not_change_with_the_strength(cases):
    scene = cases.Scene(place(HOUSE), cases.SYNTH_CRS)
    bare, weak, strong = (
        cases.perceive(scene, noise=noise, gsd_m=0.3, seed=1)[0][0] / 254 for noise in (0, 0.1, 0.2)
    )
    between = (strong > 0) & (strong < 1) & (weak > 0) & (weak < 1)
    assert np.allclose((strong - bare)[between], 2 * (weak - bare)[between], atol=0.02)
    field = cases.correlated(np.random.default_rng(0), (200, 300))
    assert field.std() == pytest.approx(1)
    assert (field[1:] * field[:-1]).mean() > 0.7


def test_pinholes_of_one_building_are_filled(cases):
    labels = np.zeros((12, 12), np.int32)
    labels[1:11, 1:6], labels[1:11, 6:11] = 1, 2
    labels[3, 3] = labels[5:8, 5:8] = labels[8:10, 2:4] = 0
    filled = cases.fill_pinholes(labels, max_px=4)
    assert filled[3, 3] == 1
    assert (filled[8:10, 2:4] == 0).all()
    assert (filled[5:8, 5:8] == 0).all()


def test_references_are_single_valid_polygons_of_some_size(cases, tmp_path):
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    shed = shapely.box(50, 50, 53, 53)
    polygons = place(shapely.MultiPolygon([HOUSE, shed]), bow)
    path = tmp_path / "town.geojson"
    gpd.GeoDataFrame(geometry=polygons, crs="EPSG:32633").to_crs(4326).to_file(path)
    (scene,) = cases.read_scenes([path])
    assert scene.crs.to_epsg() == 32633
    assert shapely.area(scene.truth) == pytest.approx([96, 25, 25], abs=0.1)


def test_the_truth_is_perfect_and_a_lost_building_is_not(case, cases, scores):
    order = np.argsort(case.matches.predicted)
    result = cases.Result(np.arange(3), case.truth[case.matches.reference[order]], seconds=0.5, plain=1)
    best = scores.pool([scores.measure(case, result)])
    perfect = {
        "iou": 1, "c_iou": 1, "polis_m": 0, "direction_deg": 0, "n_ratio": 1, "right_angles": 1, "f1": 1,
        "invalid": 0, "overlaps": 0, "lost": 0, "polygons_per_s": 6, "plain": 1 / 3,
    }  # fmt: skip
    assert {name: best[name] for name in perfect} == pytest.approx(perfect, abs=1e-6)
    assert np.isnan(best["partly"])
    kept = result.building != case.matches.predicted[case.matches.reference == 0]
    few = cases.Result(result.building[kept], result.polygons[kept], 0.5)
    worse = scores.pool([scores.measure(case, few)])
    assert (worse["lost"], worse["walls_broken"]) == (1, 1)
    assert worse["iou"] == pytest.approx(2 / 3)
    assert worse["f1"] == pytest.approx(4 / 5)
    assert worse["polis_m"] == pytest.approx(0, abs=1e-6)


def test_gaps_and_overlaps_break_walls(case, cases, scores):
    def share(moved_m):
        polygons = case.outlines.copy()
        polygons[case.walls[0, 0]] = shapely.transform(polygons[case.walls[0, 0]], lambda xy: xy + moved_m)
        pooled = scores.pool([scores.measure(case, cases.Result(np.arange(3), polygons, 1.0))])
        return pooled["walls_broken"], pooled["walls_kept"], pooled["overlaps"]

    apart = np.sign(np.subtract(*(case.outlines[i].centroid.coords[0] for i in case.walls[0])))
    assert share(0 * apart) == (0, 1, 0)
    assert share(0.5 * apart)[:2] == (1, 0)
    assert share(-0.5 * apart) == (1, 0, 1)


def test_right_angles_are_counted_in_all_rings(scores):
    yard = shapely.box(0, 0, 20, 20).difference(shapely.box(5, 5, 10, 10))
    bent = shapely.Polygon([(0, 0), (10, 0), (10, 10), (0, 10), (-1, 5)])
    right, corners = scores.count_right_angles(np.array([yard, bent, shapely.MultiPolygon([yard])], object))
    assert right.tolist() == [8, 2, 8]
    assert corners.tolist() == [8, 5, 8]


def test_the_command(load, tmp_path, monkeypatch, capsys):
    command = ["polygons.py", "--synthetic", "1", "--noise", "0.1", "--folder", str(tmp_path)]
    command += ["--methods", "outline", "simplified", "predict", "ours", "shapes+dp", "coverage", "hybrid"]
    command += ["--json", str(tmp_path / "out.json"), "--picture", str(tmp_path / "out.png")]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(load("polygon_cases"), "SIDE_M", 80)
    load("polygons").main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["sets"][0]["matched"] > 5
    best = {row["method"]: row for row in found["rows"] if row["best"]}
    assert best["hybrid"]["failed"].startswith("not installed")
    for name in ("outline", "simplified", "predict", "ours", "shapes+dp", "coverage"):
        assert best[name]["iou"] > 0.85
        assert best[name]["lost"] == 0
    assert best["outline"]["n_ratio"] > best["coverage"]["n_ratio"]
    assert best["ours"]["plain"] is not None
    printed = capsys.readouterr().out
    assert "### synthetic, noise 0.1" in printed
    assert f"| {best['ours']['iou']:.3f} |" in printed
    assert (tmp_path / "out.png").stat().st_size > 10_000


def test_a_peer_is_run_in_its_own_process(load, case, tmp_path, monkeypatch):
    methods = load("polygon_methods")
    script = tmp_path / "regularize_peer.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(BENCH / 'peers')!r})\n"
        "from regularize import serve\n"
        "def work(table, job):\n"
        "    if 'size' in job['settings']: 1 / 0\n"
        "    return table[::-1].assign(geometry=table.geometry[::-1].envelope)\n"
        "serve(work)\n"
    )
    monkeypatch.setattr(methods, "HERE", tmp_path)
    monkeypatch.setitem(methods.METHODS, "peer", methods.Method("size", (None, 2.0), "peer"))
    good, bad = methods.run_there("peer", [case], Path(sys.executable), tmp_path)
    assert (good.setting, bad.setting) == ("", "2 px")
    assert good.results[0].building.tolist() == [2, 1, 0]
    assert shapely.equals(good.results[0].polygons, shapely.envelope(case.pixels)[::-1]).all()
    assert bad.results[0].startswith("ZeroDivisionError")
    (tmp_path / "regularize_peer.py").write_text("raise SystemExit('no such tool')")
    (again, _) = methods.run_there("peer", [case], Path(sys.executable), tmp_path)
    assert again.results == ("no such tool",)
