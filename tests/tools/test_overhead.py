import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

BENCH = Path(__file__).parents[2] / "tools" / "bench"
LINE = (
    "floor scene.tif wall=2.40s cpu=4.15s rss_base=301MB peak=+350MB load=1.2 tiles 441"
    " {'shape': (100, 200), 'nodata': 255.0, 'wrong_frac': 2.5e-04, 'bytes': 12}"
)


@pytest.fixture
def tool(monkeypatch):
    pytest.importorskip("psutil")
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("overhead")


def test_the_plain_loop_and_geoconvnext_are_right_at_every_pixel(tool, tmp_path, monkeypatch, capsys):
    command = ["overhead.py", "--side", "896", "--rounds", "1", "--threads", "1", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(tmp_path / "out.json")])
    tool.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["failures"] == {}
    for name in ("geoconvnext", "reference"):
        (run,) = found["runs"][name]
        assert (run["wrong_px"], run["windows"]) == (0, 4)
        assert 0 < run["cpu_s"] < 60
        assert 0 < run["growth_gb"] < 1
    printed = capsys.readouterr().out
    assert f"| {found['medians']['reference']['wall_s']:.2f} |" in printed
    assert list(tmp_path.iterdir()) == [tmp_path / "out.json"]


def test_truth_is_what_the_network_says_of_the_scene(tool, tmp_path):
    scene, truth = tool.write_scene(tmp_path, 700)
    with rasterio.open(scene) as file, rasterio.open(truth) as mask:
        bright = file.read().mean(axis=0) > 127.5
        assert np.array_equal(mask.read(1), bright)
        assert file.block_shapes == 3 * [(512, 512)]
    assert 0.02 < bright.mean() < 0.2


def test_wrong_pixels_are_counted(tool, write_scene, draw):
    truth = write_scene(draw(600, 20, (500, 5, 50, 10))[:1] // 220, "truth.tif")
    found = np.zeros((1, 600, 20), np.uint8)
    assert tool.count_wrong(truth, write_scene(found)) == {"wrong_px": 500}
    found[:, 500:550, 5:15] = 126
    assert tool.count_wrong(truth, write_scene(found), building=127) == {"wrong_px": 500}
    found[:, 501:550, 5:15], found[:, 0] = 254, 255
    assert tool.count_wrong(truth, write_scene(found), building=127) == {"wrong_px": 10 + 20}
    with pytest.raises(ValueError, match="not on the scene's grid"):
        tool.count_wrong(truth, write_scene(found[:, :-1]))


def test_the_line_of_an_outside_script(tool):
    figures = {"wall_s": 2.4, "cpu_s": 4.15, "growth_gb": 0.35, "windows": 441, "wrong_px": 5}
    assert tool.read_line(LINE, pixels=20_000) == pytest.approx(figures)


def test_medians_and_ratios_in_turn_and_a_failure(tool, tmp_path, capsys):
    rounds = importlib.import_module("peers.rounds")
    say = "import sys, pathlib; p = pathlib.Path('log'); p.open('a').write('{0}'); n = p.stat().st_size"
    tools = [
        rounds.Tool(name, [sys.executable, "-c", f"{say.format(name)}; print('noise'); print({cpu})"])
        for name, cpu in (("a", """f'{{"cpu_s": {n}, "windows": null}}'"""), ("b", "1 / 0"), ("c", "'{}'"))
    ]
    tools[2] = rounds.Tool("c", tools[2].command, check=lambda: {"cpu_s": 6})
    results = rounds.interleave(tools, 2, tmp_path)
    assert (tmp_path / "log").read_text() == "abcacac"
    assert results.first == {"a": {"cpu_s": 1}, "c": {"cpu_s": 6}}
    assert results.medians() == {
        "a": {"cpu_s": 5, "cpu_s_least": 4},
        "c": {"cpu_s": 6, "cpu_s_least": 6},
    }
    lines = rounds.table(results, {"cpu_s": ".1f"}, ratio="cpu_s", reference="a").splitlines()
    assert lines[2:4] == ["| a | 5.0 | 1.00 |", "| c | 6.0 | 1.20 |"]
    assert lines[4].startswith("| b | failed: ")
    assert "ZeroDivisionError" in lines[4]
