"""Compiled painters: polygons with exact area coverage, tree crowns, cast shadows."""

from math import sin
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geoconvnext.data.synth.noise import SIZE

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]

_WRAP = SIZE - 1


@njit(cache=True, inline="always")
def _sample(tile: Floats, x: float, y: float) -> float:
    """Bilinear value of a periodic tile."""
    column, row = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - column, y - row
    c0, r0 = column & _WRAP, row & _WRAP
    c1, r1 = (column + 1) & _WRAP, (row + 1) & _WRAP
    top = tile[r0, c0] * (1 - fx) + tile[r0, c1] * fx
    value: float = top * (1 - fy) + (tile[r1, c0] * (1 - fx) + tile[r1, c1] * fx) * fy
    return value


@njit(cache=True)
def _cover_edge(area: Floats, xa: float, ya: float, xb: float, yb: float) -> None:
    """Add one edge to a signed-area accumulator (rows, columns + 2); its row sums are coverage."""
    rows, columns = area.shape[0], area.shape[1] - 2
    sign = 1.0
    if ya > yb:
        xa, ya, xb, yb, sign = xb, yb, xa, ya, -1.0
    if yb <= 0 or ya >= rows or ya == yb:
        return
    slope = (xb - xa) / (yb - ya)
    for row in range(max(0, int(ya)), min(rows, int(np.ceil(yb)))):
        y0, y1 = max(ya, float(row)), min(yb, row + 1.0)
        p = min(max(xa + (y0 - ya) * slope, 0.0), columns)
        q = min(max(xa + (y1 - ya) * slope, 0.0), columns)
        left, right = min(p, q), max(p, q)
        weight = sign * (y1 - y0)
        first, last = int(left), int(right)
        if first == last:
            inside = 0.5 * (left + right) - first
            area[row, first] += weight * (1 - inside)
            area[row, first + 1] += weight * inside
            continue
        for cell in range(first, last + 1):
            a, b = max(left, float(cell)), min(right, cell + 1.0)
            share = weight * (b - a) / (right - left)
            inside = 0.5 * (a + b) - cell
            area[row, cell] += share * (1 - inside)
            area[row, cell + 1] += share * inside


@njit(cache=True, inline="always")
def _stripes(phase: float, duty: float) -> float:
    """Stripe profile in -1..1: a sine where duty is 0, else lines that take that share of the period."""
    phase -= np.floor(phase)
    if duty == 0:
        return sin(6.2831853 * phase)
    return -1.0 if phase < duty else 0.0


@njit(cache=True, inline="always")
def _sheet(tile: Floats, column: float, along: float) -> float:
    """Random value of the roofing sheet there: one stripe wide, some metres long, joints staggered."""
    i = int(np.floor(column))
    j = int(np.floor(along / 3.1 + tile[0, i & _WRAP]))
    value: float = tile[(j * 37 + 11) & _WRAP, (i * 53 + j * 17) & _WRAP]
    return value


@njit(cache=True, fastmath=True)
def _paint_row(
    canvas: Floats, height: Floats, cover: Floats, p: Floats, tiles: Floats, y: float, x0: float, gsd: float
) -> None:
    """Blend one row of a polygon: two colours mixed by blotches, times pink noise, grain and stripes."""
    total = 0.0
    for column in range(canvas.shape[0]):
        total += cover[column]
        alpha = min(abs(total), 1.0) * p[21]
        if alpha < 0.004:
            continue
        x = x0 + column * gsd
        level = p[18] + p[19] * x + p[20] * y
        if p[22] == 1 and level <= height[column]:
            continue
        u, v = x + p[16], y + p[17]
        mix = 0.0
        if p[8] > 0:
            mix = p[6] + p[8] * _sample(tiles[0], u / p[7], v / p[7])
            if p[23] > 0:
                mix += p[23] * _sheet(tiles[2], (u * p[12] + v * p[13]) / p[11], u * p[13] - v * p[12])
            mix = min(max(mix, 0.0), 1.0)
        gain = 1.0 + p[9] * _sample(tiles[1], u * 2.7, v * 2.7)
        if p[10] > 0:
            gain += p[10] * _sample(tiles[2], v * 5.3, u * 5.3)
        if p[11] > 0:
            gain += p[14] * _stripes((u * p[12] + v * p[13]) / p[11], p[15])
        for band in range(3):
            value = (p[band] + (p[3 + band] - p[band]) * mix) * gain
            canvas[column, band] += alpha * (value - canvas[column, band])
        if p[22] > 0 and alpha > 0.4:
            height[column] = level


@njit(cache=True)
def paint_polygons(
    canvas: Floats, height: Floats, xy: Floats, starts: Ints, params: Floats, tiles: Floats, frame: Floats
) -> None:
    """Paint polygons in order; `xy` in pixels, the rings of one polygon parted by NaN.

    frame: (x, y) in metres of the canvas corner, ground sampling distance. Rows of `params`: see canvas.py.
    """
    rows, columns = height.shape
    gsd = frame[2]
    for k in range(len(starts) - 1):
        ring = xy[starts[k] : starts[k + 1]]
        c0 = max(0, int(np.floor(np.nanmin(ring[:, 0]))))
        c1 = min(columns, int(np.ceil(np.nanmax(ring[:, 0]))))
        r0 = max(0, int(np.floor(np.nanmin(ring[:, 1]))))
        r1 = min(rows, int(np.ceil(np.nanmax(ring[:, 1]))))
        if c0 >= c1 or r0 >= r1:
            continue
        area = np.zeros((r1 - r0, c1 - c0 + 2), np.float32)
        first = 0
        for i in range(len(ring)):
            last = i + 1 == len(ring) or np.isnan(ring[i + 1, 0])
            if np.isnan(ring[i, 0]):
                first = i + 1
                continue
            j = first if last else i + 1
            _cover_edge(area, ring[i, 0] - c0, ring[i, 1] - r0, ring[j, 0] - c0, ring[j, 1] - r0)
        x0 = frame[0] + (c0 + 0.5) * gsd
        for row in range(r1 - r0):
            y = frame[1] + (r0 + row + 0.5) * gsd
            line = r0 + row
            _paint_row(canvas[line, c0:c1], height[line, c0:c1], area[row], params[k], tiles, y, x0, gsd)


@njit(cache=True, fastmath=True)
def paint_trees(
    canvas: Floats, height: Floats, trees: Floats, tiles: Floats, frame: Floats, sun: Floats
) -> None:
    """Paint crowns over whatever is lower.

    Rows of `trees`: x, y, radius, height (m), red, green, blue, density, kind (1: cone, 2: palm).
    """
    rows, columns = height.shape
    gsd = frame[2]
    for k in range(len(trees)):
        x, y, radius, top = trees[k, 0] - frame[0], trees[k, 1] - frame[1], trees[k, 2], trees[k, 3]
        reach = radius * 1.3
        shift = x * 7.13 + y * 3.71
        for row in range(max(0, int((y - reach) / gsd)), min(rows, int((y + reach) / gsd) + 1)):
            dy = ((row + 0.5) * gsd - y) / radius
            for column in range(max(0, int((x - reach) / gsd)), min(columns, int((x + reach) / gsd) + 1)):
                dx = ((column + 0.5) * gsd - x) / radius
                u, v = dx * radius + shift, dy * radius - shift
                clump = _sample(tiles[1], u * 1.9, v * 1.9)
                outline = _sample(tiles[0], u * 6.0, v * 6.0)
                inside = 1.0 + 0.22 * outline + 0.13 * clump - dx * dx - dy * dy
                if trees[k, 8] == 2:
                    inside += (
                        0.55 * np.sin(7 * np.arctan2(dy, dx) + shift) * (dx * dx + dy * dy) ** 0.5 - 0.25
                    )
                alpha = min(1.0, inside * radius / gsd * 0.6)
                if trees[k, 7] < 1:
                    alpha *= min(max(trees[k, 7] + 0.45 * clump, 0.1), 1.0)
                if alpha <= 0.02:
                    continue
                dome = inside if trees[k, 8] == 1 else np.sqrt(inside)
                level = top * (0.35 + 0.6 * min(dome, 1.1)) + 0.35 * clump
                if level <= height[row, column]:
                    continue
                facing = -(dx * sun[0] + dy * sun[1])
                gain = max(0.25, 0.86 + 0.24 * facing + 0.2 * clump + 0.1 * outline)
                for band in range(3):
                    value = trees[k, 4 + band] * gain
                    canvas[row, column, band] += alpha * (value - canvas[row, column, band])
                if alpha > 0.35:
                    height[row, column] = level


@njit(cache=True)
def cast_shadows(height: Floats, shade: Floats, slope: float, drop: float, soft: float) -> None:
    """Sweep heights from the first row down: `shade` becomes 0 (lit) to 1 (in the shadow of what is higher).

    The light moves `slope` columns (|slope| <= 1) per row, and its grazing height sinks by `drop` metres.
    Every pixel belongs to one sheared line, so long shadows keep sharp edges. Cost: one visit per pixel.
    """
    rows, columns = height.shape
    spare = int(abs(slope) * rows) + 2
    grazing = np.full(columns + 2 * spare, np.float32(-100.0))
    for row in range(rows):
        offset = spare - int(np.floor(row * slope + 0.5))
        for column in range(columns):
            level = height[row, column]
            above = grazing[column + offset] - drop
            shade[row, column] = min(max((above - level - 0.1) / soft, 0.0), 1.0)
            grazing[column + offset] = max(above, level)
