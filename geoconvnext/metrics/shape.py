"""How alike the outlines of two buildings are, vectorised over pairs of polygons."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvnext.kernel import kernel
from geoconvnext.metrics.overlap import Floats, Indices, Polygons
from geoconvnext.metrics.ratio import ratio

SAMPLING_M = 0.5
MAX_STRETCH = 2.0
MIN_DIRECTEDNESS = 0.1
"""Length of the mean fourfold direction, 0 of a circle to 1 of a rectangle, from which there is one."""


@dataclass(frozen=True)
class Edges:
    """All edges of n polygons, ring after ring.

    start, end: (e, 2); first: (n + 1,), the edges of polygon i are first[i] to first[i + 1]; rings: (n,)
    number of its rings. The starts are the vertices, without the repeated closing ones.
    """

    start: Floats
    end: Floats
    first: Indices
    rings: Indices

    @property
    def owner(self) -> Indices:
        """(e,) polygon of each edge."""
        return np.repeat(np.arange(len(self.rings)), np.diff(self.first))


def edges_of(polygons: Polygons, *, holes: bool = True) -> Edges:
    """Take polygons, single or multiple, apart; without `holes` only their exteriors."""
    parts, owner = shapely.get_parts(np.asarray(polygons, dtype=object), return_index=True)
    if holes:
        rings, part = shapely.get_rings(parts, return_index=True)
        owner = owner[part]
    else:
        rings = shapely.get_exterior_ring(parts)
    coords, ring = shapely.get_coordinates(rings, return_index=True)
    inside = ring[1:] == ring[:-1]
    count = len(polygons)
    edges = np.bincount(owner[ring[1:][inside]], minlength=count)
    return Edges(
        start=coords[:-1][inside],
        end=coords[1:][inside],
        first=np.concatenate([[0], np.cumsum(edges)]),
        rings=np.bincount(owner, minlength=count),
    )


def vertex_count(polygons: Polygons) -> Indices:
    """(n,) vertices of polygons, holes included, without the closing ones."""
    return np.diff(edges_of(polygons).first)


def polis(predicted: Polygons, reference: Polygons) -> Floats:
    """(n,) PoLiS of n pairs: mean distance of vertices to the other boundary, mean of both ways.

    Avbelj, Mueller, Bamler 2015, doi:10.1109/LGRS.2014.2330695, equation 1; holes belong to the boundary.
    """
    ours, theirs = edges_of(predicted), edges_of(reference)
    ways = ((ours, theirs), (theirs, ours))
    return _mean([ratio(_distances(a, b), np.diff(a.first)) for a, b in ways])


def polis_compat(predicted: Polygons, reference: Polygons) -> Floats:
    """(n,) PoLiS as the code that circulates has it: exteriors, divided by the vertices and the closing one.

    For comparison with published numbers: a share 1 / (vertices + 1) too low, 20% for a rectangle.
    """
    ours, theirs = (edges_of(polygons, holes=False) for polygons in (predicted, reference))
    ways = ((ours, theirs), (theirs, ours))
    return _mean([ratio(_distances(a, b), np.diff(a.first) + a.rings) for a, b in ways])


def _mean(sides: list[Floats]) -> Floats:
    """(n,) mean of the two ways of measuring."""
    mean: Floats = (sides[0] + sides[1]) / 2
    return mean


def _distances(a: Edges, b: Edges) -> Floats:
    """(n,) sum over the vertices of each polygon of a of the distance to the boundary of its partner in b."""
    nearest = _nearest(a.start, a.owner, b.start, b.end, b.first)
    distance = np.hypot(*(a.start - nearest).T)
    return np.bincount(a.owner, distance, minlength=len(a.rings)).astype(np.float64)


def max_tangent_angle(predicted: Polygons, reference: Polygons, *, spacing: float = SAMPLING_M) -> Floats:
    """(n,) largest angle in degrees, 0..90, between the outline of a prediction and that of its reference.

    The predicted outline is cut into pieces of at most `spacing`, whose ends are projected to the reference;
    pieces that become more than MAX_STRETCH times longer or shorter say nothing (Girard et al. 2021,
    arXiv 2004.14875). NaN where no piece is left.
    """
    ours, theirs = (
        edges_of(shapely.segmentize(np.asarray(predicted, dtype=object), spacing)),
        edges_of(reference),
    )
    ends = (
        _nearest(points, ours.owner, theirs.start, theirs.end, theirs.first)
        for points in (ours.end, ours.start)
    )
    piece, projected = ours.end - ours.start, np.subtract(*ends)
    length, other = np.hypot(*piece.T), np.hypot(*projected.T)
    stretch = ratio(other, length)
    kept = (stretch > 1 / MAX_STRETCH) & (stretch < MAX_STRETCH)
    cosine = ratio(np.abs((piece * projected).sum(axis=1)), length * other)
    angle = np.degrees(np.arccos(np.minimum(cosine, 1.0)))
    largest = np.full(len(predicted), -1.0)
    np.maximum.at(largest, ours.owner[kept], angle[kept])
    return np.where(largest < 0, np.nan, largest)


def direction_error(predicted: Polygons, reference: Polygons) -> Floats:
    """(n,) angle in degrees, 0..45, between the dominant directions of two buildings.

    A dominant direction is the length-weighted mean of the edges' directions modulo 90 degrees. NaN where
    either building, a round one, has none.
    """
    difference = np.abs(_direction(predicted) - _direction(reference))
    smaller: Floats = np.minimum(difference, 90.0 - difference)
    return smaller


def _direction(polygons: Polygons) -> Floats:
    """(n,) dominant direction in degrees, 0 to 90."""
    edges = edges_of(polygons)
    steps = edges.end - edges.start
    length, angle = np.hypot(*steps.T), np.arctan2(steps[:, 1], steps[:, 0])
    count = len(edges.rings)
    parts = [np.bincount(edges.owner, length * wave(4 * angle), minlength=count) for wave in (np.cos, np.sin)]
    directed = np.hypot(*parts) >= MIN_DIRECTEDNESS * np.bincount(edges.owner, length, minlength=count)
    degrees = np.degrees(np.arctan2(parts[1], parts[0])) / 4
    return np.where(directed, degrees % 90.0, np.nan)


def complexity_iou(iou: Floats, predicted: Polygons, reference: Polygons) -> Floats:
    """(n,) C-IoU: IoU times 1 - |N - M| / (N + M), with N and M vertices (PolyWorld, arXiv 2111.15491)."""
    ours, theirs = vertex_count(predicted), vertex_count(reference)
    unlike = ratio(np.abs(ours - theirs), ours + theirs)
    return iou * (1.0 - unlike)


@kernel
def _nearest(
    points: Floats, owner: Indices, start: Floats, end: Floats, first: Indices
) -> NDArray[np.float64]:
    """(n, 2) place nearest to each point on the edges first[owner] to first[owner + 1]."""
    nearest = np.empty_like(points)
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        closest = np.inf
        for edge in range(first[owner[i]], first[owner[i] + 1]):
            left, top = start[edge, 0], start[edge, 1]
            across, down = end[edge, 0] - left, end[edge, 1] - top
            square = across * across + down * down
            share = 0.0
            if square > 0.0:
                share = min(max(((x - left) * across + (y - top) * down) / square, 0.0), 1.0)
            to_x, to_y = left + share * across, top + share * down
            distance = (x - to_x) ** 2 + (y - to_y) ** 2
            if distance < closest:
                closest = distance
                nearest[i, 0], nearest[i, 1] = to_x, to_y
    return nearest
