"""Scores of polygons.py: how right and how clean the polygons of a method are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from polygon_cases import Case, Indices, Polygons, Result

from geoconvnext.metrics.objects import match_objects
from geoconvnext.metrics.ratio import ratio
from geoconvnext.metrics.shape import complexity_iou, direction_error, max_tangent_angle, polis, vertex_count

Floats = NDArray[np.float64]

RIGHT_DEG = 2.0
"""A corner so near to 90 degrees is a right angle."""
TOUCHING_M, TOUCHING_M2 = 1e-6, 1e-6
KEPT_SHARE = 0.5


@dataclass(frozen=True)
class Tally:
    """What is known of a result: figures of each matched reference (NaN where there is none), and counts."""

    buildings: dict[str, Floats]
    counts: dict[str, float]


def measure(case: Case, result: Result) -> Tally:
    """Compare a result with the truth; the references are those that the raw outlines match."""
    is_area = (shapely.get_dimensions(result.polygons) == 2) & (shapely.area(result.polygons) > 0)
    polygons, building = result.polygons[is_area], result.building[is_area]
    valid = shapely.make_valid(polygons)
    chosen = largest_of(building, shapely.area(valid), len(case.outlines))
    counts = {
        "references": len(case.truth),
        "instances": len(case.outlines),
        "polygons": len(result.polygons),
        "invalid": int((~shapely.is_valid(result.polygons)).sum()),
        "overlaps": count_overlaps(valid),
        "lost": int((chosen[case.matches.predicted] < 0).sum()),
        "right": len(match_objects(valid, case.truth).iou),
        "seconds": result.seconds,
        "plain": result.plain,
        "partly": result.partly,
        **count_walls(case, valid, chosen),
    }
    return Tally(compare(case, polygons, valid, chosen), counts)


def largest_of(building: Indices, area: Floats, count: int) -> Indices:
    """Return (count,) the largest polygon of each building, -1 where there is none."""
    chosen = np.full(count, -1)
    order = np.argsort(area, kind="stable")
    chosen[building[order]] = order
    return chosen


def compare(case: Case, polygons: Polygons, valid: Polygons, chosen: Indices) -> dict[str, Floats]:
    """Compare the polygons of the matched references with them, one by one."""
    picked = chosen[case.matches.predicted]
    found = picked >= 0
    ours, truth = polygons[picked[found]], case.truth[case.matches.reference[found]]
    whole = valid[picked[found]]
    iou = shapely.area(shapely.intersection(whole, truth)) / shapely.area(shapely.union(whole, truth))
    right, corners = count_right_angles(ours)
    figures = {
        "iou": iou,
        "c_iou": complexity_iou(iou, ours, truth),
        "polis_m": polis(ours, truth),
        "tangent_deg": max_tangent_angle(ours, truth),
        "direction_deg": direction_error(ours, truth),
        "n_ratio": ratio(vertex_count(ours), vertex_count(truth)),
        "right_angles": ratio(right, corners),
    }
    spread = {name: np.full(len(picked), 0.0 if name in ("iou", "c_iou") else np.nan) for name in figures}
    for name, values in figures.items():
        spread[name][found] = values
    return spread


def count_right_angles(polygons: Polygons) -> tuple[Indices, Indices]:
    """Return (n,) right angles and (n,) vertices of polygons, holes included."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    coords, ring = shapely.get_coordinates(rings, return_index=True)
    is_step = ring[1:] == ring[:-1]
    steps, ring = np.diff(coords, axis=0)[is_step], ring[1:][is_step]
    is_last = np.append(ring[1:] != ring[:-1], True)
    first = np.append(0, np.flatnonzero(is_last)[:-1] + 1)
    following = np.arange(len(ring)) + 1
    following[is_last] = first
    after = steps[following]
    across = steps[:, 0] * after[:, 1] - steps[:, 1] * after[:, 0]
    turn = np.degrees(np.abs(np.arctan2(across, (steps * after).sum(axis=1))))
    owner = owner[part][ring]
    right = np.bincount(owner, np.abs(turn - 90.0) <= RIGHT_DEG, minlength=len(polygons))
    return right.astype(np.int64), np.bincount(owner, minlength=len(polygons))


def count_overlaps(polygons: Polygons) -> int:
    """Count pairs of polygons that share more than a line."""
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    once = first < second
    shared = shapely.area(shapely.intersection(polygons[first[once]], polygons[second[once]]))
    return int((shared > TOUCHING_M2).sum())


def count_walls(case: Case, polygons: Polygons, chosen: Indices) -> dict[str, float]:
    """Count the walls between neighbours, those with a gap or an overlap now, and those mostly kept.

    A wall is kept where half of its length or more is still a line that both outlines have.
    """
    left, right = chosen[case.walls].T
    both = (left >= 0) & (right >= 0)
    ours, theirs = polygons[left[both]], polygons[right[both]]
    overlap = shapely.area(shapely.intersection(ours, theirs)) > TOUCHING_M2
    apart = shapely.distance(ours, theirs) > TOUCHING_M
    line = shapely.length(shapely.intersection(shapely.boundary(ours), shapely.boundary(theirs)))
    kept = ~overlap & (line >= KEPT_SHARE * case.wall_m[both])
    broken = int((overlap | apart).sum() + (~both).sum())
    return {"walls": len(case.walls), "walls_broken": broken, "walls_kept": int(kept.sum())}


def pool(tallies: Sequence[Tally]) -> dict[str, float]:
    """Return the figures of a method over all scenes of a set."""
    figures = {
        name: mean(np.concatenate([tally.buildings[name] for tally in tallies]))
        for name in tallies[0].buildings
    }
    total = {name: sum(tally.counts[name] for tally in tallies) for name in tallies[0].counts}
    shares = {
        "invalid": ratio(total["invalid"], total["polygons"]),
        "walls_broken": ratio(total["walls_broken"], total["walls"]),
        "walls_kept": ratio(total["walls_kept"], total["walls"]),
        "plain": ratio(total["plain"], total["instances"]),
        "partly": ratio(total["partly"], total["instances"]),
        "f1": ratio(2 * total["right"], total["polygons"] + total["references"]),
        "polygons_per_s": ratio(total["instances"], total["seconds"]),
    }
    counts = {name: total[name] for name in ("overlaps", "lost", "polygons", "seconds")}
    return figures | {name: float(share) for name, share in shares.items()} | counts


def mean(values: Floats) -> float:
    """Return the mean of what is known, NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def describe(cases: Sequence[Case]) -> dict[str, float]:
    """Return what a table is about: how many buildings, and how clean the truth is."""
    truth = np.concatenate([case.truth for case in cases])
    return {
        "references": len(truth),
        "instances": sum(len(case.outlines) for case in cases),
        "matched": sum(len(case.matches.iou) for case in cases),
        "walls": sum(len(case.walls) for case in cases),
        "truth_right_angles": mean(ratio(*count_right_angles(truth))),
        "truth_overlaps": sum(count_overlaps(case.truth) for case in cases),
        "truth_vertices": mean(vertex_count(truth).astype(np.float64)),
    }
