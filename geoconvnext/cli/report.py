"""What several verbs show at the end: tables and JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from geoconvnext.errors import OutputError


def print_scores(scores: Mapping[str, Mapping[str, float]]) -> None:
    """A table with a row per area and a column per measure; undefined measures show as a dash."""
    table = Table(box=None)
    table.add_column("")
    columns = list(dict.fromkeys(name for row in scores.values() for name in row))
    for name in columns:
        table.add_column(name, justify="right")
    for area, row in scores.items():
        table.add_row(area, *(_format(row.get(name, math.nan)) for name in columns))
    Console().print(table)


def _format(value: float) -> str:
    if math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def write_json(path: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Write scores; undefined measures become null. OutputError where it cannot."""
    plain = {
        area: {name: None if math.isnan(value) else value for name, value in row.items()}
        for area, row in scores.items()
    }
    try:
        path.write_text(json.dumps(plain, indent=2) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}") from error
