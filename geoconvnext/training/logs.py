"""Logs of a run: a CSV file and TensorBoard, both of which go on where a run is resumed."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from geoconvnext.training.report_data import Curve

FOLDER, NAME = "logs", "metrics.csv"


def metrics_path(output: Path) -> Path:
    """Tell where a run writes its metrics."""
    return output / FOLDER / NAME


def open_loggers(output: Path, *, first_step: int) -> list[Logger]:
    """Loggers of a run that has done `first_step` steps; what was logged after these is forgotten."""
    table = CSVLogger(output, name=FOLDER, version="", flush_logs_every_n_steps=1)
    _keep_rows(table, metrics_path(output), first_step)
    board = TensorBoardLogger(
        output, name=FOLDER, version="", default_hp_metric=False, purge_step=first_step + 1
    )
    return [table, board]


def read_curves(output: Path) -> dict[str, Curve]:
    """Curves of all metrics of a run by name."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in _rows(metrics_path(output)):
        for name, cell in row.items():
            if cell and name != "step":
                points[name].append((int(row["step"]), float(cell)))
    return {name: Curve(*map(list, zip(*found, strict=True))) for name, found in points.items()}


@rank_zero_only
def _keep_rows(table: CSVLogger, path: Path, first_step: int) -> None:
    """Log the rows of a file again that the logger is going to delete."""
    for row in _rows(path):
        step = int(row.pop("step"))
        if step <= first_step:
            table.log_metrics({name: cell for name, cell in row.items() if cell}, step)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole rows of the file, none where there is no file; a kill may have cut the last one."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
