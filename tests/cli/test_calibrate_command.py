from pathlib import Path

import pytest

from geoconvnext.calibrate import CalibrationReport, ViewCalibration
from geoconvnext.cli.calibrate import calibrate
from geoconvnext.errors import LabelError
from geoconvnext.vector.confidence import Confidence, OperatingPoint
from geoconvnext.vector.features import FEATURES
from geoconvnext.vector.rules import FootprintRules


@pytest.fixture
def answer(monkeypatch):
    """Let the verb answer with a view of this calibration; returns the arguments that it got."""

    def prepare(confidence):
        got = {}

        def run(weights, tile_sets, **options):
            got.update(options, weights=weights, tile_sets=tile_sets)
            view = ViewCalibration(2, 90, 54, 60, 0.7, confidence)
            return CalibrationReport(Path("w"), FootprintRules(), options["tune"], (view,), ("t3: damaged",))

        monkeypatch.setattr("geoconvnext.calibrate.calibrate", run)
        return got

    return prepare


def test_the_table_is_printed(answer, capsys):
    zeros, ones = (0.0,) * len(FEATURES), (1.0,) * len(FEATURES)
    got = answer(Confidence(FEATURES, zeros, ones, zeros, 0.0, (OperatingPoint(0.5, 0.6, 0.9, 90),)))
    calibrate(Path("w"), [Path("a"), Path("b")], tune=True, device="cpu", dtype="fp32")
    assert (got["weights"], got["tile_sets"]) == (Path("w"), [Path("a"), Path("b")])
    assert (got["tune"], got["output"], got["placement"].device.type) == (True, None, "cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "skipped: t3: damaged"
    assert lines[1] == "scale 2: 54 of 90 footprints are right, of 60 buildings; F1 0.700"
    assert lines[3].split() == ["0.50", "0.600", "0.900", "90"]
    assert lines[-2].startswith("tuned: body_threshold 0.5, ")
    assert lines[-1] == "calibrated: w"


def test_too_few_footprints_are_an_error(answer, capsys):
    answer(None)
    with pytest.raises(LabelError, match="stay uncalibrated"):
        calibrate(Path("w"), [Path("a")], device="cpu", dtype="fp32")
    assert "not calibrated: that takes 30 footprints" in capsys.readouterr().out
