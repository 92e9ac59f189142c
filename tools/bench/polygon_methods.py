"""Methods of polygons.py: from the buildings of a case to polygons, here and in the environments of peers."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from peers.install import interpreter
from peers.rounds import HERE, QUIET
from polygon_cases import DRAWINGS, Case, Polygons, Result, clock, result_of

from geoconvnext.regularize import regularize

TIMEOUT_S = 6 * 3600


@dataclass(frozen=True)
class Method:
    """A method, and what it is tried with: its best setting counts.

    option: name of its tolerance, in metres. pixels: tolerances in pixels to try; None is its own default.
    environment: of the peer that it runs in, or None.
    """

    option: str = ""
    pixels: tuple[float | None, ...] = (None,)
    environment: str | None = None


METHODS = {
    **dict.fromkeys(DRAWINGS, Method()),
    "ours": Method(),
    "shapes+dp": Method("tolerance", (1.0, 2.0, 3.0, 4.0, 5.0)),
    "coverage": Method("tolerance", (2.0, 4.0, 6.0, 8.0, 10.0)),
    "buildingregulariser": Method("simplify_tolerance", (None, 2.0, 3.0, 4.0, 5.0), "buildingregulariser"),
    "orthogonalize": Method("epsilon", (None, 2.0, 4.0), "geoai"),
    "hybrid": Method(environment="geoai"),
    "adaptive": Method("simplify_tolerance", (None, 2.0, 3.0, 4.0, 5.0), "geoai"),
}
BY_TOLERANCE: dict[str, Callable[[Polygons, float], Polygons]] = {
    "shapes+dp": shapely.simplify,  # Douglas and Peucker
    "coverage": shapely.coverage_simplify,  # Visvalingam and Whyatt; the tolerance is the root of an area
}


@dataclass(frozen=True)
class Run:
    """A method with a setting, and what came of it: a result per case, or why there is none."""

    method: str
    setting: str
    results: tuple[Result | str, ...]


def run_method(name: str, cases: Sequence[Case], environments: Path | None, folder: Path) -> list[Run]:
    """Run a method over all cases, once per setting; `folder` is for what is handed to a peer."""
    environment = METHODS[name].environment
    if environment is None:
        return [
            Run(name, label(pixels), tuple(run_here(name, case, pixels) for case in cases))
            for pixels in METHODS[name].pixels
        ]
    if environments is None or not interpreter(environments, environment).exists():
        reason = f"not installed: peers/install.py ENVIRONMENTS {environment}"
        return [Run(name, "", (reason,) * len(cases))]
    return run_there(name, cases, interpreter(environments, environment), folder)


def label(pixels: float | None) -> str:
    """Name a setting."""
    return "" if pixels is None else f"{pixels:g} px"


def run_here(name: str, case: Case, pixels: float | None) -> Result:
    """Run one of our own methods, or of those that shapely has, on a case."""
    if name in case.drawn:
        return case.drawn[name]
    if name == "ours":
        given = gpd.GeoSeries(case.outlines, crs=case.crs)
        return result_of(*clock(lambda: regularize(given)))
    assert pixels is not None
    way, tolerance_m = BY_TOLERANCE[name], pixels * case.gsd_m
    polygons, seconds = clock(lambda: way(case.pixels, tolerance_m))
    return Result(np.arange(len(polygons)), polygons, seconds)


def run_there(name: str, cases: Sequence[Case], python: Path, folder: Path) -> list[Run]:
    """Run a peer's method over all cases and settings in one process of its environment."""
    jobs: list[dict[str, object]] = [
        {
            "method": name,
            "pixels": str(write_pixels(case, folder)),
            "labels": str(case.labels),
            "output": str(folder / f"{name}-{label(pixels)}-{case.labels.stem}.gpkg"),
            "settings": {} if pixels is None else {METHODS[name].option: pixels * case.gsd_m},
        }
        for pixels in METHODS[name].pixels
        for case in cases
    ]
    asked, told = folder / f"{name}-jobs.json", folder / f"{name}-done.jsonl"
    asked.write_text(json.dumps(jobs))
    told.unlink(missing_ok=True)
    reason = call(python, HERE / f"regularize_{METHODS[name].environment}.py", asked, told)
    lines = told.read_text().splitlines() if told.exists() else []
    results = [read_result(json.loads(line), job) for line, job in zip(lines, jobs, strict=False)]
    results += [reason] * (len(jobs) - len(results))
    return [
        Run(name, label(pixels), tuple(results[i * len(cases) : (i + 1) * len(cases)]))
        for i, pixels in enumerate(METHODS[name].pixels)
    ]


def write_pixels(case: Case, folder: Path) -> Path:
    """Write the polygons along the pixel sides, with the number of each building, once."""
    path = folder / f"{case.labels.stem}.gpkg"
    if not path.exists():
        ids = {"building": np.arange(len(case.pixels))}
        gpd.GeoDataFrame(ids, geometry=case.pixels, crs=case.crs).to_file(path)
    return path


def call(python: Path, script: Path, asked: Path, told: Path) -> str:
    """Run a script of a peer; return the end of what it said, in case it did not do everything."""
    command = [str(python), str(script), str(asked), str(told)]
    environment = {**os.environ, **QUIET}
    try:
        done = subprocess.run(
            command, cwd=asked.parent, env=environment, capture_output=True, text=True, check=False,
            timeout=TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"took over {TIMEOUT_S} s"
    return " ".join(done.stderr.strip().splitlines()[-3:]) or f"exit {done.returncode}"


def read_result(told: dict[str, float | str], job: dict[str, object]) -> Result | str:
    """Read what a peer wrote, or why it did not."""
    if "error" in told:
        return str(told["error"])
    table = gpd.read_file(str(job["output"]))
    return Result(table["building"].to_numpy(), table.geometry.to_numpy(), float(told["seconds"]))
