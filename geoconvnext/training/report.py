"""The report of a training run: one HTML file that opens anywhere, without a network."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from geoconvnext import __version__
from geoconvnext.metrics.ratio import ratio
from geoconvnext.output import check_file, draft
from geoconvnext.training.pictures import Panel, score_text
from geoconvnext.training.report_data import ReportData, ValidationSet
from geoconvnext.training.report_page import (
    cards,
    grouped_settings,
    number_table,
    page,
    plot,
    plots,
    section,
    text_table,
    tile,
    tile_legend,
)
from geoconvnext.training.report_plots import (
    Style,
    line_styles,
    plot_loss,
    plot_loss_parts,
    plot_precision_recall,
    plot_reliability,
    plot_scores,
)

SCORES = (
    "The best weights of the run on the validation tiles, pixel by pixel; in the mean, every set counts the"
    " same. They were chosen on these tiles, so expect a little less elsewhere. A dash: the score is not"
    " defined, as there are no buildings."
)
LOSS = (
    "Faint as logged, bold smoothed, the learning rate beneath. It should fall fast, then ever more slowly;"
    " a jump upwards that stays asks for a lower learning rate."
)
LOSS_PARTS = (
    "Each with its weight, so that they add up to the loss; smoothed. Look for a part that does not fall: its"
    " labels may be wrong, or its weight too small."
)
VALIDATION = (
    "The dot marks the best of each set. Where a curve still climbs at the end, more steps help; where it"
    " falls while the loss falls too, the network learns the tiles by heart: add tiles or augmentation."
)
THRESHOLDS = "Counted over all known pixels, at every probability that occurs."
PRECISION_RECALL = (
    "The dot is the threshold in use, the diamond the one with the highest IoU of that set. To the right more"
    " of the buildings are found, upwards less of what is found is wrong; grey lines connect equal IoU."
)
RELIABILITY = (
    "On the diagonal, 70 of 100 pixels that are said to be building with 70% are; beneath it the network is"
    " too sure, above it too modest. ECE is the mean distance from it. Few pixels (lower plot) make it stray."
)
WORST_TILES = (
    "Look here first. Red and blue rims are shifted labels or imprecise walls, a blue roof that is real is a"
    " missing label; what is left are scenes that the training tiles lack."
)
BEST_TILES = "What the network does well; are these the kind of scenes that you will use it for?"
TRAINING_DATA = "Tile sets with their licences, which whoever passes on the weights has to respect."
CONFIGURATION = "All settings of this run."


def write_report(path: Path, data: ReportData) -> None:
    """Write a self-contained HTML file, whole or not at all. OutputError."""
    check_file(path, (".html", ".htm"))
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    foot = f"Written by geoconvnext {__version__}, {written}."
    content = page(data.title, "geoconvnext training report", _sections(data), foot)
    with draft(path) as part:
        part.write_text(content, encoding="utf-8")


def _sections(data: ReportData) -> Iterator[str]:
    """Yield the parts of the page for which there is something to show."""
    if data.sets:
        yield _scores(data.sets)
    styles = line_styles([*(item.name for item in data.sets), *chain(*data.validation.values())])
    if learning := list(_learning(data, styles)):
        yield section("How it learned", "Steps are updates of the weights.", plots(learning))
    if data.sets:
        yield _thresholds(data, styles)
    if data.worst:
        yield _tiles("Worst tiles", WORST_TILES, data.worst)
    if data.best:
        yield _tiles("Best tiles", BEST_TILES, data.best)
    if data.training_data:
        yield section("Training data", TRAINING_DATA, text_table(data.training_data))
    if data.settings:
        yield section("Configuration", CONFIGURATION, grouped_settings(data.settings))


def _scores(sets: Sequence[ValidationSet]) -> str:
    """Return the headline: the mean over the sets in large, and every set."""
    means = {measure: _mean([item.scores[measure] for item in sets]) for measure in sets[0].scores}
    head = ["validation set", *means, "building", "million pixels"]
    rows = {
        item.name: [
            *map(score_text, item.scores.values()),
            score_text(item.building_share, ".1%"),
            f"{item.pixels / 1e6:.2f}",
        ]
        for item in sets
    }
    total = ["mean of the sets", *map(score_text, means.values()), "", ""]
    return section(
        "How good it is",
        SCORES,
        cards({f"mean {measure}": score_text(mean) for measure, mean in means.items()}),
        number_table(head, rows, total if len(sets) > 1 else ()),
    )


def _learning(data: ReportData, styles: Mapping[str, Style]) -> Iterator[str]:
    parts = {name: curve for name, curve in data.loss.items() if name != "loss"}
    if "loss" in data.loss:
        yield plot("Training loss", plot_loss(data.loss["loss"], data.learning_rate), LOSS)
    if parts:
        yield plot("Parts of the loss", plot_loss_parts(parts), LOSS_PARTS)
    for measure, scores in data.validation.items():
        yield plot(f"Validation {measure}", plot_scores(scores, measure, styles), VALIDATION)


def _thresholds(data: ReportData, styles: Mapping[str, Style]) -> str:
    head = ["validation set", f"IoU at {data.threshold:.2f}", "best threshold", "IoU there"]
    head += ["average precision", "ECE", "Brier score"]
    rows = {item.name: _judge_probabilities(item, data.threshold) for item in data.sets}
    curves = plot_precision_recall(data.sets, data.threshold, styles)
    figures = [
        plot("Precision and recall", curves, PRECISION_RECALL),
        plot("Reliability of the probabilities", plot_reliability(data.sets, styles), RELIABILITY),
    ]
    return section("Thresholds and probabilities", THRESHOLDS, plots(figures), number_table(head, rows))


def _judge_probabilities(item: ValidationSet, threshold: float) -> list[str]:
    """Return IoU at the threshold, the best one, IoU there, average precision, ECE and Brier score."""
    curve, reliability = item.calibration.curve, item.calibration.reliability
    iou = curve.f1 / (2 - curve.f1)
    chosen, best = item.position(threshold), curve.best
    return [
        score_text(math.nan if chosen is None else float(iou[chosen])),
        score_text(math.nan if best is None else float(curve.threshold[best]), ".2f"),
        score_text(math.nan if best is None else float(iou[best])),
        score_text(curve.average_precision),
        score_text(reliability.ece),
        score_text(item.calibration.brier),
    ]


def _tiles(title: str, explanation: str, panels: Sequence[Panel]) -> str:
    return section(title, explanation, tile_legend(), *map(tile, panels))


def _mean(values: Sequence[float]) -> float:
    """Mean of what is defined."""
    known = [value for value in values if not math.isnan(value)]
    return float(ratio(sum(known), len(known)))
