"""What several verbs show at the end: tables and JSON files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from geoconvnext.output import check_file, draft

Scores = Mapping[str, Mapping[str, float]]
"""Measures by area and name; NaN where undefined."""


def print_scores(scores: Scores) -> None:
    """Print a table with a row per area and a column per measure; undefined measures show as a dash."""
    columns = list(dict.fromkeys(name for row in scores.values() for name in row))
    rows = [["", *columns]]
    rows += [[area, *(_format(row.get(name, math.nan)) for name in columns)] for area, row in scores.items()]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    for area, *cells in rows:
        print(
            area.ljust(first),
            *(cell.rjust(width) for cell, width in zip(cells, others, strict=True)),
            sep="  ",
        )


def _format(value: float) -> str:
    if math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def check_json(path: Path) -> None:
    """Refuse a file of scores that could not be written, before any work; OutputError."""
    check_file(path, (".json",))


def write_json(path: Path, scores: Scores) -> None:
    """Write scores; undefined measures become null. OutputError where it cannot."""
    plain = {
        area: {name: None if math.isnan(value) else value for name, value in row.items()}
        for area, row in scores.items()
    }
    with draft(path) as part:
        part.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
