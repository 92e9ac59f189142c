"""What the report of a run shows, gathered from its log and its last validation."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from geoconvnext.data.dataset import TrainingSamples
from geoconvnext.training.pictures import Panel
from geoconvnext.training.report_data import Curve, ReportData, ValidationSet
from geoconvnext.training.validation import Tally

TITLES = {"iou": "IoU", "f1": "F1", "precision": "precision", "recall": "recall"}
DRAWN = ("iou", "f1")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings by dotted keys."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def describe_tile_sets(samples: TrainingSamples) -> dict[str, str]:
    """Size and licences of every tile set by its path."""
    licences: dict[str, list[str]] = defaultdict(list)
    for folder, record in samples.tiles:
        licences[str(folder.path)].append(record.licence or "not stated")
    return {path: f"{len(found)} tiles; {'; '.join(sorted(set(found)))}" for path, found in licences.items()}


def summarise(
    title: str,
    curves: Mapping[str, Curve],
    tally: Tally,
    *,
    settings: Mapping[str, str],
    training_data: Mapping[str, str],
    best: Sequence[Panel],
    worst: Sequence[Panel],
) -> ReportData:
    """Sort the curves of the log by what they show; `tally`: of the final weights."""
    validation: dict[str, dict[str, Curve]] = defaultdict(dict)
    for source in tally.sets:
        for measure in DRAWN:
            if curve := curves.get(f"val/{measure}_{source}"):
                validation[TITLES[measure]][source] = curve
    train = {
        name.removeprefix("train/"): curve for name, curve in curves.items() if name.startswith("train/")
    }
    return ReportData(
        title=title,
        settings=settings,
        training_data=training_data,
        loss={name: curve for name, curve in train.items() if name not in TITLES},
        learning_rate=curves.get("learning_rate"),
        validation=validation,
        sets=[
            ValidationSet(
                source,
                {TITLES[measure]: value for measure, value in scores.items()},
                building=tally.sets[source][1],
                background=tally.sets[source][0],
            )
            for source, scores in tally.scores().items()
        ],
        best=best,
        worst=worst,
    )
