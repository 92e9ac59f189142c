"""Plots of a report, as SVG."""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from geoconvnext.training.report_data import Curve, ValidationSet

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a67c00", "#56b4e9", "#7a3fb0", "#5c6670")
"""Told apart by colour-blind readers too (Okabe and Ito; yellow and black darkened and lightened)."""
DASHES = ("-", "--", ":")
WIDTH_IN, HEIGHT_IN = 5.4, 4.0
GRID, SPINE, INK = "#e3e7ec", "#b6bec8", "#48535f"
LEGEND_CHARACTERS = 60

Style = dict[str, Any]
Floats = NDArray[np.float64]


def line_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return colour and dashes of each name, different for up to 24."""
    looks = [{"color": colour, "linestyle": dash} for dash in DASHES for colour in COLOURS]
    return dict(zip(dict.fromkeys(names), cycle(looks), strict=False))


def plot_loss(loss: Curve, learning_rate: Curve | None) -> str:
    """Draw the loss, as logged and smoothed; the learning rate beneath it."""
    figure, upper, lower = _stacked("loss", "step", "learning rate")
    steps, values = loss.defined()
    upper.plot(steps, values, color=COLOURS[0], alpha=0.3, linewidth=0.8)
    upper.plot(steps, _smooth(values), color=COLOURS[0], linewidth=2)
    _logarithmic_over_decades(upper, values)
    if learning_rate:
        lower.plot(*learning_rate.defined(), color=COLOURS[7], linewidth=1.8)
    lower.set_ylim(bottom=0)
    lower.ticklabel_format(axis="y", scilimits=(-2, 3))
    _count_steps(lower)
    return _svg(figure, {})


def plot_loss_parts(parts: Mapping[str, Curve]) -> str:
    """Draw the parts of the loss, smoothed."""
    figure, axes = _single("step", "part of the loss")
    curves = {name: curve.defined() for name, curve in parts.items()}
    lines = {
        name: axes.plot(curves[name][0], _smooth(curves[name][1]), linewidth=1.8, **style)[0]
        for name, style in line_styles(parts).items()
    }
    _logarithmic_over_decades(axes, np.concatenate([values for _, values in curves.values()]))
    _count_steps(axes)
    return _svg(figure, lines)


def plot_scores(scores: Mapping[str, Curve], measure: str, styles: Mapping[str, Style]) -> str:
    """Draw a measure of each validation set, a dot where it was best."""
    figure, axes = _single("step", measure)
    lines = {}
    for name, curve in scores.items():
        steps, values = curve.defined()
        if len(values):
            (lines[name],) = axes.plot(steps, values, linewidth=1.8, **styles[name])
            axes.plot(steps[values.argmax()], values.max(), "o", color=styles[name]["color"], markersize=5)
    _count_steps(axes)
    return _svg(figure, lines)


def plot_precision_recall(
    sets: Sequence[ValidationSet], threshold: float, styles: Mapping[str, Style]
) -> str:
    """Draw precision over recall of the pixels; a dot at the chosen threshold, a diamond at the best one."""
    figure, axes = _single("recall", "precision")
    _draw_iou_lines(axes)
    lines = {}
    for item in sets:
        curve, style = item.calibration.curve, styles[item.name]
        if curve.best is None:
            continue
        (lines[item.name],) = axes.plot(curve.recall, curve.precision, linewidth=1.8, **style)
        marker: Style = {"color": style["color"], "markersize": 6.5, "zorder": 3}
        axes.plot(
            curve.recall[curve.best], curve.precision[curve.best], "D", markerfacecolor="white", **marker
        )
        if (chosen := item.position(threshold)) is not None:
            axes.plot(curve.recall[chosen], curve.precision[chosen], "o", **marker)
    _fill_unit_square(axes)
    return _svg(figure, lines)


def plot_reliability(sets: Sequence[ValidationSet], styles: Mapping[str, Style]) -> str:
    """Draw the share of building over the stated probability, above the share of the pixels that state it."""
    figure, upper, lower = _stacked("share that is building", "stated probability", "pixels")
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    lower.set_yscale("log")
    lower.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    lines = {}
    for item in sets:
        bins, style = item.calibration.reliability, styles[item.name]
        used = bins.weight > 0
        if used.any():
            stated, right, share = bins.stated[used], bins.right[used], bins.weight[used] / bins.weight.sum()
            (lines[item.name],) = upper.plot(
                stated, right, marker="o", markersize=3.5, linewidth=1.6, **style
            )
            lower.plot(stated, share, linewidth=1.4, **style)
    _fill_unit_square(upper)
    return _svg(figure, lines)


def _single(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    axes = figure.subplots()
    _dress(axes, x_label, y_label)
    return figure, axes


def _stacked(upper_label: str, x_label: str, lower_label: str) -> tuple[Figure, Axes, Axes]:
    """Return a large plot above a small one that shares its x axis."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
    _dress(upper, "", upper_label)
    _dress(lower, x_label, lower_label)
    return figure, upper, lower


def _dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK, parse_math=False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, length=0, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SPINE)


def _count_steps(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}".replace(",", "\u2009")))


def _fill_unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.01)


def _draw_iou_lines(axes: Axes) -> None:
    """Draw where the IoU is equal: 1 / IoU = 1 / precision + 1 / recall - 1."""
    for iou in (0.2, 0.4, 0.6, 0.8):
        recall = np.linspace(iou, 1, 100)
        axes.plot(recall, 1 / (1 / iou + 1 - 1 / recall), color="#c3cad2", linewidth=0.8, linestyle="--")
        axes.text(1.02, iou, f"IoU {iou:.1f}", va="center", fontsize=8, color=INK)


def _smooth(values: Floats) -> Floats:
    """Mean over a fortieth of the run around each value, over less towards its ends."""
    reach = len(values) // 80
    sums = np.concatenate([[0.0], np.cumsum(values)])
    middle = np.arange(len(values))
    width = np.minimum(reach, np.minimum(middle, len(values) - 1 - middle))
    return np.asarray((sums[middle + width + 1] - sums[middle - width]) / (2 * width + 1), np.float64)


def _logarithmic_over_decades(axes: Axes, values: Floats) -> None:
    if len(values) and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _svg(figure: Figure, lines: Mapping[str, Line2D]) -> str:
    """Return the document, with a legend above the plot; texts stay texts, in the reader's fonts."""
    if lines:
        columns = max(1, LEGEND_CHARACTERS // (max(map(len, lines)) + 6))
        legend = figure.legend(
            list(lines.values()),
            list(lines),
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            fontsize=9,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    FigureCanvasSVG(figure)
    content = io.StringIO()
    with rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # measured in a font that lacks a name's script
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
