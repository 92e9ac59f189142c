"""How good the polygons of several methods are, all given the same buildings of the same noisy raster.

References are drawn, real, or both. Each is rasterised by area, blurred as by a network, and disturbed by
correlated noise of some strengths; from the buildings found in the raster every method makes polygons, which
are compared with the references. Methods that have a tolerance are run with several, and the one with the
best C-IoU counts. Footprint files of one folder are one set, sets of one name are one table.

    python tools/bench/peers/install.py environments buildingregulariser geoai
    python tools/bench/polygons.py --synthetic 9 --environments environments --json drawn.json
    python tools/bench/polygons.py --references labels/*.geojson --noise 0.1 --methods outline simplified ours

Methods: `outline`, `simplified` and `predict` are what `geoconvnext predict` draws without tolerances, with
that of simplification alone, and by default; `ours` is `geoconvnext.regularize`, given the outlines. The
others get the same buildings along the sides of their pixels, `orthogonalize` as labels.

Columns: means over the references that the raw outlines match, of IoU, C-IoU (0 where a method lost the
building), PoLiS, largest angle between the outlines, angle between the main directions, vertices per vertex
of the truth, share of vertices with 88 to 92 degrees; then shares of invalid polygons, pairs of polygons that
overlap, shares of walls between neighbours that have a gap or an overlap now and of those kept as one line;
F1 at IoU 0.5 of all; matched buildings lost; buildings per second, of the first three methods from the raster
on, of the others from what they get; shares of buildings left plain or in part.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from peers.rounds import machine
from polygon_cases import Case, Result, Scene, draw_scenes, make_case, read_scenes
from polygon_methods import METHODS, Run, run_method
from polygon_picture import paint
from polygon_scores import describe, measure, pool

COLUMNS = {
    "iou": ".3f",
    "c_iou": ".3f",
    "polis_m": ".3f",
    "tangent_deg": ".1f",
    "direction_deg": ".2f",
    "n_ratio": ".2f",
    "right_angles": ".1%",
    "invalid": ".1%",
    "overlaps": ",.0f",
    "walls_broken": ".1%",
    "walls_kept": ".1%",
    "f1": ".3f",
    "lost": ".0f",
    "polygons_per_s": ",.0f",
    "plain": ".1%",
    "partly": ".1%",
}
Row = dict[str, str | float | bool]


def main() -> None:
    """Make the cases, run the methods, print."""
    options = parse()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name).resolve()
        cases = list(make_cases(options, folder))
        runs = [
            run
            for method in options.methods
            for run in run_method(method, cases, options.environments, folder)
        ]
        tables = [tabulate(cases, runs, name, noise) for name, noise in keys(cases)]
    for table in tables:
        print(show(table), end="\n\n", flush=True)
    if options.picture:
        paint(options.picture, cases, runs)
    if options.json:
        write(options.json, tables, gsd_m=options.gsd, synthetic=options.synthetic)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--references", type=Path, nargs="+", default=[], help="files of real footprints")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="drawn scenes")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1, 0.2], help="(share)")
    parser.add_argument("--gsd", type=float, default=0.3, help="of the rasters (m)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--environments", type=Path, help="where peers/install.py put them")
    parser.add_argument("--folder", type=Path, help="for what peers read and write (default: temporary)")
    parser.add_argument("--picture", type=Path, help="draw truth, outline and ours of one place to this file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    if not options.references and not options.synthetic:
        parser.error("nothing to compare with: give --references, --synthetic or both")
    return options


def make_cases(options: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """Yield every scene of every set with every noise."""
    count = 0
    for name, scenes in sets(options.references, options.synthetic):
        for seed, scene in enumerate(scenes):
            for noise in options.noise:
                labels = folder / f"case{count}.tif"
                yield make_case(name, scene, labels, noise=noise, gsd_m=options.gsd, seed=seed)
                count += 1


def sets(references: Sequence[Path], synthetic: int) -> Iterator[tuple[str, Iterator[Scene]]]:
    """Yield the sets of scenes: a folder of files each, named after its file if there is only one."""
    if synthetic:
        yield "synthetic", draw_scenes(synthetic)
    for folder, group in groupby(sorted(references), key=lambda path: path.parent):
        paths = list(group)
        name = folder.parent.name if folder.name == "labels" else folder.name
        yield paths[0].stem if len(paths) == 1 else name, read_scenes(paths)


def keys(cases: Sequence[Case]) -> list[tuple[str, float]]:
    """Return the sets and noises there are, in order."""
    return list(dict.fromkeys((case.name, case.noise) for case in cases))


def tabulate(cases: Sequence[Case], runs: Sequence[Run], name: str, noise: float) -> list[Row]:
    """Return what a table is about, and a row per method and setting; the best of each method are marked."""
    chosen = [i for i, case in enumerate(cases) if (case.name, case.noise) == (name, noise)]
    rows: list[Row] = [{"set": name, "noise": noise, **describe([cases[i] for i in chosen])}]
    for run in runs:
        row: Row = {"set": name, "noise": noise, "method": run.method, "setting": run.setting}
        results = [(cases[i], run.results[i]) for i in chosen]
        reasons = [result for _, result in results if isinstance(result, str)]
        known = [(case, result) for case, result in results if isinstance(result, Result)]
        row.update({"failed": reasons[0]} if reasons else pool([measure(*pair) for pair in known]))
        rows.append(row)
    best = {row["method"]: row for row in sorted(rows[1:], key=quality)}
    return rows[:1] + [row | {"best": row is best[row["method"]]} for row in rows[1:]]


def quality(row: Row) -> float:
    """Return by what settings are chosen."""
    return float(row.get("c_iou", -1.0))


def show(rows: Sequence[Row]) -> str:
    """Return a Markdown table of the best settings."""
    about = dict(rows[0])
    lines = [f"### {about.pop('set')}, noise {about.pop('noise'):g}", ""]
    lines += [", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in about.items()), ""]
    lines += [f"| method | {' | '.join(COLUMNS)} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for row in rows[1:]:
        if row["best"]:
            title = f"{row['method']} {row['setting']}".strip()
            lines.append(f"| {title} | {row['failed'] if 'failed' in row else ' | '.join(cells(row))} |")
    return "\n".join(lines)


def cells(row: Row) -> Iterator[str]:
    """Yield the cells of a row, empty where nothing is known."""
    for name, style in COLUMNS.items():
        value = float(row[name])
        yield "" if math.isnan(value) else format(value, style)


def write(path: Path, tables: Sequence[Sequence[Row]], **about: object) -> None:
    """Write all rows, with what they were measured on, as JSON without NaN."""
    plain = [
        [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in table]
        for table in tables
    ]
    everything = {
        "machine": machine(),
        **about,
        "sets": [table[0] for table in plain],
        "rows": [row for table in plain for row in table[1:]],
    }
    path.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
