"""Buildings that the tests of this folder share."""

from itertools import pairwise

import numpy as np
import shapely

L_SHAPE = shapely.Polygon([(0, 0), (14, 0), (14, 6), (8, 6), (8, 12), (0, 12)])
U_SHAPE = shapely.Polygon([(0, 0), (18, 0), (18, 12), (12, 12), (12, 5), (6, 5), (6, 12), (0, 12)])
COURTYARD = shapely.Polygon(
    shapely.box(0, 0, 24, 20).exterior.coords, [shapely.box(7, 6, 17, 14).exterior.coords]
)


def array(*polygons):
    """Return polygons as the code takes them."""
    return np.array(polygons, dtype=object)


def turn(polygons, degrees, to=(0.0, 0.0)):
    """Turn polygons about the origin, then move them; a vertex that two of them share stays one."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def move(xy):
        x, y = xy.T
        return np.column_stack([x * cosine - y * sine + to[0], x * sine + y * cosine + to[1]])

    return shapely.transform(np.asarray(polygons), move)


def row(count, *, width=6.0, depth=10.0, step=0.0):
    """Houses side by side, every other one a step farther back, with the vertices of their neighbours."""
    houses = []
    for i in range(count):
        left, right, front, back = i * width, (i + 1) * width, i % 2 * step, i % 2 * step + depth
        other = step - front
        between = [y for y in sorted({other, other + depth}) if front < y < back]
        corners = [(left, front), (right, front)]
        corners += [(right, y) for y in between if i < count - 1]
        corners += [(right, back), (left, back)]
        corners += [(left, y) for y in reversed(between) if i > 0]
        houses.append(shapely.Polygon(corners))
    return array(*houses)


def cells(seed, *, count=12, side=40.0, share=0.8):
    """Return the cells of random points in a square, of which a share is kept."""
    rng = np.random.default_rng(seed)
    square = shapely.box(0, 0, side, side)
    lines = shapely.voronoi_polygons(shapely.MultiPoint(rng.random((count, 2)) * side), only_edges=True)
    noded = shapely.node(shapely.union(lines.intersection(square), square.exterior))
    found = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    return found[rng.random(len(found)) < share]


def roughen(polygons, seed, *, step=0.3, sigma=0.06):
    """Draw polygons as networks see them: a vertex every `step`, moved at random; common ones stay common."""
    dense = array(*(shapely.Polygon(*_split_rings(polygon, step)) for polygon in polygons))
    places, which = np.unique(shapely.get_coordinates(dense), axis=0, return_inverse=True)
    moved = places + np.random.default_rng(seed).normal(0, sigma, places.shape)
    return shapely.set_coordinates(dense, moved[which.ravel()])


def _split_rings(polygon, step):
    exterior, *holes = (
        _split(np.array(ring.coords), step) for ring in (polygon.exterior, *polygon.interiors)
    )
    return exterior, holes


def _split(ring, step):
    """Split every edge of a ring into equal parts, the same ones in either direction."""
    points = []
    for start, end in pairwise(ring):
        low, high = sorted([tuple(start), tuple(end)])
        parts = max(int(np.ceil(np.hypot(*(end - start)) / step)), 1)
        along = np.linspace(low, high, parts + 1)
        points.append((along if low == tuple(start) else along[::-1])[:-1])
    return np.concatenate(points)


def iou(a, b):
    """Return the intersection over union of two polygons."""
    return shapely.area(a & b) / shapely.area(a | b)


def angles(polygon):
    """Return by how many degrees each ring of a polygon turns at each corner."""
    found = []
    for ring in shapely.get_rings(polygon):
        steps = np.diff(shapely.get_coordinates(ring), axis=0)
        heading = np.arctan2(steps[:, 1], steps[:, 0])
        found.append((np.diff(heading, append=heading[0]) + np.pi) % (2 * np.pi) - np.pi)
    return np.abs(np.degrees(np.concatenate(found)))


def farthest(points_of, outline):
    """Return how far the vertices of one polygon are from the outline of another at most."""
    vertices = shapely.points(shapely.get_coordinates(points_of))
    return shapely.distance(vertices, shapely.boundary(outline)).max()
