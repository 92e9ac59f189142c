"""Shared arcs: cut up and put together again, and each piece of outline stored once."""

import numpy as np
import pytest
import shapely
from houses import COURTYARD, array, cells, roughen, row, turn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geoconvnext.vector.arcs import NOBODY, cut, number_rows
from geoconvnext.vector.outline import trace
from geoconvnext.vector.rings import Rings


def box(*bounds, also=()):
    """Return a box, with further vertices that its neighbours have."""
    outline = shapely.box(*bounds).exterior
    corners = [*outline.coords[:-1], *also]
    return shapely.Polygon(sorted(corners, key=lambda corner: outline.project(shapely.Point(corner))))


SCENES = {
    "one": array(shapely.box(0, 0, 9, 5)),
    "two apart": array(shapely.box(0, 0, 9, 5), shapely.box(20, 0, 25, 5)),
    "a shared wall": row(2),
    "a row with steps": row(4, step=1.0),
    "three at a point": array(
        box(0, 0, 5, 5), box(5, 0, 9, 5), box(0, 5, 9, 9, also=[(5, 5)])
    ),
    "four at a point": array(box(0, 0, 5, 5), box(5, 0, 9, 5), box(5, 5, 9, 9), box(0, 5, 5, 9)),
    "a courtyard": array(COURTYARD),
    "a courtyard that is built up": array(COURTYARD, shapely.Polygon(COURTYARD.interiors[0])),
    "a courtyard with two buildings": array(COURTYARD, box(7, 6, 12, 14), box(12, 6, 17, 14)),
    "one corner in common": array(box(0, 0, 5, 5), box(5, 5, 9, 9)),
    "two corners in common": array(
        shapely.Polygon([(0, 0), (9, 0), (9, 3), (4, 1), (0, 3)]),
        shapely.Polygon([(0, 3), (4, 7), (9, 3), (9, 9), (0, 9)]),
    ),
    "a hole that touches its exterior": array(
        shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(0, 0), (3, 6), (6, 3)]])
    ),
    "triangles": array(shapely.Polygon([(0, 0), (4, 0), (2, 3)]), shapely.Polygon([(4, 0), (6, 3), (2, 3)])),
    "noise": roughen(turn(row(3, step=0.5), 20), 0),
}  # fmt: skip
SCENES["a courtyard with two buildings"][0] = shapely.Polygon(
    COURTYARD.exterior, [box(7, 6, 17, 14, also=[(12, 6), (12, 14)]).exterior]
)
SCENES = {name: shapely.orient_polygons(polygons) for name, polygons in SCENES.items()}


def cut_all(rings):
    """Cut rings of which all may touch."""
    return cut(rings, np.zeros(len(rings.sizes), np.int64))


def edges_of(rings):
    """Return the polygon on the side of every directed edge of the rings."""
    edges = {}
    for ring, owner in enumerate(rings.owners):
        points = list(map(tuple, rings.coords[rings.starts[ring] : rings.starts[ring + 1]]))
        edges |= dict.fromkeys(zip(points, points[1:] + points[:1], strict=True), int(owner))
    return edges


def points_of(arcs):
    return [
        list(map(tuple, arcs.coords[a:b])) for a, b in zip(arcs.starts[:-1], arcs.starts[1:], strict=True)
    ]


def normalized(rings):
    """Return each ring from its smallest vertex on, with its owner."""
    found = []
    for ring, owner in enumerate(rings.owners):
        points = list(map(tuple, rings.coords[rings.starts[ring] : rings.starts[ring + 1]]))
        first = points.index(min(points))
        found.append((int(owner), points[first:] + points[:first]))
    return found


def check(rings):
    """The arcs hold each edge of the rings once, end at junctions only, and give the rings back."""
    arcs = cut_all(rings)
    assert normalized(arcs.rings(arcs.coords, arcs.starts)) == normalized(rings)
    edges, seen, place = edges_of(rings), set(), {}
    neighbours = {}
    for start, end in edges:
        neighbours.setdefault(start, set()).add(end)
        neighbours.setdefault(end, set()).add(start)
    for points, nodes, sides in zip(points_of(arcs), arcs.nodes, arcs.sides, strict=True):
        is_open = nodes[0] != NOBODY
        for edge in zip(
            points if is_open else points[-1:] + points, points[1:] if is_open else points, strict=False
        ):
            assert [edges.get(edge, NOBODY), edges.get(edge[::-1], NOBODY)] == sides.tolist()
            seen |= {edge, edge[::-1]}
        assert all(len(neighbours[point]) == 2 for point in (points[1:-1] if is_open else points))
        if is_open:
            assert all(len(neighbours[point]) > 2 for point in (points[0], points[-1]))
            assert place.setdefault(points[0], nodes[0]) == nodes[0]
            assert place.setdefault(points[-1], nodes[1]) == nodes[1]
    assert seen == set(edges) | {edge[::-1] for edge in edges}
    assert sum(map(len, points_of(arcs))) - (arcs.nodes[:, 0] != NOBODY).sum() == len(seen) / 2
    assert sorted(place.values()) == list(range(arcs.junctions))
    return arcs


@pytest.mark.parametrize(
    ("scene", "closed", "shared", "junctions"),
    [
        ("one", 1, 0, 0),
        ("two apart", 2, 0, 0),
        ("a shared wall", 0, 1, 2),
        ("a row with steps", 0, 3, 6),
        ("three at a point", 0, 3, 4),
        ("four at a point", 0, 4, 5),
        ("a courtyard", 2, 0, 0),
        ("a courtyard that is built up", 2, 1, 0),
        ("a courtyard with two buildings", 1, 3, 2),
        ("one corner in common", 0, 0, 1),
        ("two corners in common", 0, 0, 2),
        ("a hole that touches its exterior", 0, 0, 1),
        ("triangles", 0, 1, 2),
        ("noise", 0, 2, 4),
    ],
)
def test_every_piece_of_outline_is_stored_once(scene, closed, shared, junctions):
    polygons = SCENES[scene]
    assert shapely.coverage_is_valid(polygons)
    arcs = check(Rings.of(polygons))
    assert (arcs.nodes[:, 0] == NOBODY).sum() == closed
    assert (arcs.sides != NOBODY).all(axis=1).sum() == shared
    assert arcs.junctions == junctions


@pytest.mark.parametrize("scene", SCENES)
def test_neither_the_first_vertex_of_a_ring_nor_its_sense_matters(scene):
    rings = Rings.of(SCENES[scene])
    expected = cut_all(rings)
    rng = np.random.default_rng(1)
    for _ in range(5):
        for ring in range(len(rings.sizes)):
            own = slice(rings.starts[ring], rings.starts[ring + 1])
            rings.coords[own] = np.roll(rings.coords[own], rng.integers(9), axis=0)[:: rng.choice([-1, 1])]
        arcs = cut_all(rings)
        assert normalized(arcs.rings(arcs.coords, arcs.starts)) == normalized(rings)
        assert sorted(map(sorted, points_of(arcs))) == sorted(map(sorted, points_of(expected)))


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 9),
    buildings=st.integers(1, 4),
    share=st.sampled_from([0.3, 0.6, 0.9, 1.0]),
)
def test_any_raster_of_buildings(seed, size, buildings, share):
    rng = np.random.default_rng(seed)
    colors = np.where(rng.random((size, size)) < share, rng.integers(1, buildings + 1, (size, size)), 0)
    labels = np.zeros((size + 2, size + 2), np.int32)
    for color in range(1, buildings + 1):
        own, _ = ndimage.label(np.pad(colors == color, 1))
        labels = np.where(own > 0, own + labels.max(), labels).astype(np.int32)
    traced = trace(np.where(labels > 0, 254, 0).astype(np.uint8), labels, threshold=128)
    check(Rings.grouped(traced.coords, traced.sizes, traced.labels.astype(np.int64) - 1))


def test_cells():
    for seed in range(10):
        check(Rings.of(roughen(cells(seed), seed)))


def test_equal_places_of_different_groups_are_different():
    rings = Rings.of(row(2))
    apart = cut(rings, np.array([0, 1]))
    assert len(apart) == 2
    assert apart.junctions == 0
    assert normalized(apart.rings(apart.coords, apart.starts)) == normalized(rings)


def test_both_zeros_are_one_place():
    left = shapely.Polygon([(-5, 0), (-0.0, -0.0), (0.0, 4), (-5, 4)])
    right = shapely.Polygon([(0.0, 0.0), (5, 0), (5, 4), (-0.0, 4)])
    assert len(cut_all(Rings.of(array(left, right)))) == 3


def test_rings_of_other_points():
    """Where an arc is drawn with fewer points, so are both of its rings."""
    arcs = cut_all(Rings.of(roughen(row(3), 0)))
    ends = np.sort(np.concatenate([arcs.starts[:-1], arcs.starts[1:] - 1]))
    rings = arcs.rings(arcs.coords[ends], 2 * np.arange(len(arcs) + 1))
    assert rings.owners.tolist() == [0, 1, 2]
    assert rings.sizes.tolist() == [2, 4, 2]
    _, counts = np.unique(rings.coords, axis=0, return_counts=True)
    assert counts.tolist() == [2, 2, 2, 2]


def test_arcs_taken_out_have_ends_of_their_own():
    arcs = cut_all(Rings.of(SCENES["three at a point"]))
    chosen = np.array([True, False, True, True, False, True])
    alone = arcs.alone(chosen)
    assert points_of(alone) == [points for points, one in zip(points_of(arcs), chosen, strict=True) if one]
    assert alone.sides.tolist() == arcs.sides[chosen].tolist()
    assert sorted(alone.nodes.ravel()) == list(range(8))
    closed = cut_all(Rings.of(SCENES["a courtyard"]))
    assert closed.alone(np.array([False, True])).nodes.tolist() == [[NOBODY, NOBODY]]
    assert len(closed.alone(np.array([False, False]))) == 0


def test_nothing():
    arcs = cut_all(Rings.of(array()))
    assert (len(arcs), arcs.junctions) == (0, 0)
    assert len(arcs.rings(arcs.coords, arcs.starts).sizes) == 0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 400), values=st.sampled_from([1, 3, 40]))
def test_rows_are_numbered_by_first_appearance(seed, count, values):
    rows = np.random.default_rng(seed).integers(-values, values, (count, 2)) << 40
    numbers, found = number_rows(rows)
    seen = {}
    assert numbers.tolist() == [seen.setdefault(tuple(one), len(seen)) for one in rows.tolist()]
    assert found == len(seen)
