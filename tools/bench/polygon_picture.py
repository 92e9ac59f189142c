"""The picture of polygons.py: one place as it is, as it was found, and as geoconvnext draws it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from polygon_cases import Case, Polygons, Result
from polygon_methods import Run
from polygon_scores import Floats

SIDE_M = 60.0
FILLS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#eeca3b", "#9d755d")
TRUTH = "#222222"


def paint(path: Path, cases: Sequence[Case], runs: Sequence[Run]) -> None:
    """Draw truth, raw outline and ours where most walls are shared in the last case of the first scene."""
    number = sum(case.truth is cases[0].truth for case in cases) - 1
    case, center = cases[number], busiest(cases[number])
    panels = {"truth": case.truth}
    for run in runs:
        result = run.results[number]
        if run.method in ("outline", "ours") and isinstance(result, Result):
            panels[run.method] = result.polygons
    figure = Figure(figsize=(5 * len(panels), 5.3), layout="constrained")
    for axes, (title, polygons) in zip(
        np.ravel(figure.subplots(1, len(panels))), panels.items(), strict=True
    ):
        panel(axes, title, polygons, center)
        if title != "truth":
            for polygon in near(case.truth, center):
                axes.add_patch(PathPatch(trail(polygon), fill=False, lw=0.6, ls=":", ec=TRUTH))
    figure.savefig(path, dpi=150)


def busiest(case: Case) -> Floats:
    """Return the centre (2,) of the building around which most walls are shared."""
    places = shapely.get_coordinates(shapely.point_on_surface(case.outlines))
    walls = places[case.walls[:, 0]] if len(case.walls) else places
    reach = np.abs(places[:, None] - walls[None]).max(axis=2) < SIDE_M / 2
    center: Floats = places[np.argmax(reach.sum(axis=1))]
    return center


def panel(axes: Axes, title: str, polygons: Polygons, center: Floats) -> None:
    """Draw polygons, with their vertices, in a square around a place."""
    for number, polygon in enumerate(near(polygons, center)):
        fill = FILLS[number % len(FILLS)]
        axes.add_patch(PathPatch(trail(polygon), fc=fill, alpha=0.35, lw=0))
        axes.add_patch(PathPatch(trail(polygon), fill=False, ec=fill, lw=1.0))
        axes.plot(*shapely.get_coordinates(polygon).T, ".", color=fill, ms=2.5)
    left, bottom = center - SIDE_M / 2
    axes.set(xlim=(left, left + SIDE_M), ylim=(bottom, bottom + SIDE_M), xticks=[], yticks=[], title=title)
    axes.set_aspect("equal")


def near(polygons: Polygons, center: Floats) -> Polygons:
    """Return the polygons in the square, from west to east."""
    box = shapely.box(*(center - SIDE_M / 2), *(center + SIDE_M / 2))
    inside = polygons[shapely.intersects(polygons, box)]
    ordered: Polygons = inside[np.argsort(shapely.bounds(inside)[:, 0])]
    return ordered


def trail(polygon: shapely.Geometry) -> Outline:
    """Return all rings of a polygon as a path."""
    rings = shapely.get_rings(shapely.get_parts(polygon))
    return Outline.make_compound_path(*(Outline(shapely.get_coordinates(r), closed=True) for r in rings))
