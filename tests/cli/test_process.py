"""The real command in a process of its own, with real weights."""

import signal
import subprocess
import sys
import time

import numpy as np

from geoconvnext.vector.files import read_footprints

COMMAND = [sys.executable, "-m", "geoconvnext"]


def test_one_scene_of_several_is_broken(write_scene, draw, weights, tmp_path, listing):
    for name in ("a", "c"):
        write_scene(draw(150, 200, (40, 40, 60, 80)), f"in/{name}.tif")
    (tmp_path / "in" / "b.tif").write_text("no raster")
    arguments = ["predict", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights, "--device", "cpu"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert listing(tmp_path / "out") == ["a.gpkg", "c.gpkg"]
    assert read_footprints(tmp_path / "out" / "a.gpkg").crs.to_epsg() == 32633
    assert "Traceback" not in done.stderr
    assert "b.tif: not a raster" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: 1 of 3 scenes failed, the others are done: ")
    assert done.stderr.splitlines()[-1].endswith("b.tif")


def heed_interrupts():
    """A test run in the background ignores interrupts, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupting_leaves_nothing_behind(write_scene, weights, tmp_path, listing):
    scene = write_scene(np.random.default_rng(0).integers(0, 255, (3, 4000, 4000), np.uint8))
    out = tmp_path / "new"
    arguments = ["predict", scene, "-o", out / "b.gpkg", "--weights", weights, "--device", "cpu"]
    for stop, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509  # no threads here
        )
        while process.poll() is None and not (out.exists() and listing(out)):
            time.sleep(0.02)
        process.send_signal(stop)
        _, error = process.communicate()
        assert process.returncode == code, error
        assert "Traceback" not in error
        assert not out.exists()
