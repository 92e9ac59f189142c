"""Pictures of footprints against the reference: right, wrong and missed."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
from affine import Affine
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoconvnext.evaluate import Evaluation
from geoconvnext.metrics.scores import Scores
from geoconvnext.output import check_file, draft
from geoconvnext.preview import SUBPIXEL_BITS, fixed_point_rings
from geoconvnext.raster.overview import Overview, Picture, read_overview

PANEL_PX = 1000
MAX_PANELS = 24
PANEL_INCH = 4.0
FILL_ALPHA = 0.35
PLAIN = 245
COLORS = {"right": (40, 170, 70), "missed": (225, 40, 40), "wrong": (30, 90, 230)}
MEASURES = ("pixel_iou", "boundary_iou", "precision", "recall", "f1")


@dataclass(frozen=True)
class Panel:
    """A scene with its footprints drawn in COLORS, and its scores."""

    name: str
    picture: Picture
    scores: Scores


def check_picture(path: Path) -> None:
    """Refuse a picture that could not be written, before any work; OutputError."""
    check_file(path, (".png",))


def draw_panel(name: str, evaluation: Evaluation, scene: str | None) -> Panel:
    """Draw what is right, wrong and missed over a scene, or on a plain ground; SceneError."""
    ground = _plain(evaluation) if scene is None else read_overview(scene, PANEL_PX)
    canvas, scores = ground.picture, evaluation.scores
    right, found = scores.predictions.right, scores.references.found
    groups = {
        "missed": evaluation.reference[~found],
        "wrong": evaluation.predicted[~right],
        "right": evaluation.predicted[right],
    }
    filled = canvas.copy()
    rings = {kind: _rings(shapes, ground) for kind, shapes in groups.items()}
    for kind, lines in rings.items():
        cv2.fillPoly(filled, lines, COLORS[kind], cv2.LINE_AA, SUBPIXEL_BITS)
    drawn = np.asarray(cv2.addWeighted(filled, FILL_ALPHA, canvas, 1 - FILL_ALPHA, 0), np.uint8)
    for kind, lines in rings.items():
        cv2.polylines(drawn, lines, True, COLORS[kind], 2, cv2.LINE_AA, SUBPIXEL_BITS)
    return Panel(name, drawn, scores)


def draw_comparison(path: Path, panels: list[Panel], overall: Scores, *, scenes: int) -> None:
    """Write panels, and bars of the overall scores of all scenes with 95% intervals; OutputError."""
    columns = math.ceil(math.sqrt(len(panels) + 1))
    rows = math.ceil((len(panels) + 1) / columns)
    figure = Figure(figsize=(columns * PANEL_INCH, rows * PANEL_INCH), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(panels) + 1 :]:
        axis.axis("off")
    _draw_bars(axes[0], overall, f"{scenes} scenes" if scenes > 1 else panels[0].name)
    for axis, panel in zip(axes[1:], panels, strict=False):
        axis.imshow(panel.picture)
        axis.axis("off")
        iou, f1 = float(panel.scores.area.iou), float(panel.scores.objects.f1)
        axis.set_title(f"{panel.name}: pixel IoU {iou:.2f}, F1 {f1:.2f}", fontsize=8)
    handles = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*color), label=kind) for kind, color in COLORS.items()
    ]
    shown = f"{len(panels)} of {scenes} scenes" if len(panels) < scenes else None
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), title=shown)
    with draft(path) as part:
        figure.savefig(part, dpi=150, format="png")


def _draw_bars(axis: Axes, scores: Scores, title: str) -> None:
    values, intervals = scores.to_dict(), scores.intervals()
    heights = np.array([values[name] for name in MEASURES])
    reach = np.abs(np.array([intervals[name] for name in MEASURES]).T - heights)
    axis.bar(range(len(MEASURES)), heights, color="0.6", yerr=reach, capsize=4)
    axis.set_xticks(range(len(MEASURES)), [name.replace("_", "\n") for name in MEASURES], fontsize=8)
    axis.set_ylim(0, 1)
    axis.set_title(f"{title}, with 95% intervals", fontsize=8)


def _plain(evaluation: Evaluation) -> Overview:
    """Return a blank picture of the place where the buildings are; rows run down without a CRS, too."""
    boxes = np.array([[0, 0, 1, 1]])
    if len(evaluation.predicted) + len(evaluation.reference):
        boxes = np.concatenate([series.bounds for series in (evaluation.predicted, evaluation.reference)])
    (left, low), (right, high) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    unit = max(right - left, high - low) / PANEL_PX
    size = (math.ceil((high - low) / unit), math.ceil((right - left) / unit), 3)
    crs = evaluation.predicted.crs
    top, down = (high, -unit) if crs else (low, unit)
    blank = np.full(size, PLAIN, np.uint8)
    return Overview(blank, Affine(unit, 0, left, 0, down, top), CRS.from_wkt(crs.to_wkt()) if crs else None)


def _rings(shapes: gpd.GeoSeries, ground: Overview) -> list[NDArray[np.int32]]:
    placed = shapes.to_crs(ground.crs.to_wkt()) if ground.crs else shapes
    return fixed_point_rings(placed, ground.transform)
