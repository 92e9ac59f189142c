"""What several verbs show at the end: tables and JSON files."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geoconvnext.output import check_file, draft

Cell = float | tuple[float, float]
Rows = Mapping[str, Mapping[str, Cell]]
"""Measures, or their intervals, by row and column; NaN where undefined."""


def print_scores(rows: Rows) -> None:
    """Print a table, aligned; undefined measures show as a dash."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [["", *columns]]
    lines += [
        [name, *(_format(row.get(column, math.nan)) for column in columns)] for name, row in rows.items()
    ]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    for name, *cells in lines:
        print(
            name.ljust(first),
            *(cell.rjust(width) for cell, width in zip(cells, others, strict=True)),
            sep="  ",
        )


def _format(value: Cell) -> str:
    if isinstance(value, tuple):
        low, high = value
        return "-" if math.isnan(low) else f"{low:.2f}-{high:.2f}"
    if math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def check_json(path: Path) -> None:
    """Refuse a file of scores that could not be written, before any work; OutputError."""
    check_file(path, (".json",))


def write_json(path: Path, scores: Mapping[str, Any]) -> None:
    """Write scores, nested as they may be; undefined measures become null. OutputError where it cannot."""
    with draft(path) as part:
        part.write_text(json.dumps(_plain(scores), indent=2) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Replace NaN, which JSON does not know."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
