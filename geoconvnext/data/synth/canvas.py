"""The canvas: collects surfaces in metres, then paints them with heights and casts the shadows."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, nan, sin, tan
from typing import TypeAlias

import cv2
import numpy as np

from geoconvnext.data.synth.dice import Color
from geoconvnext.data.synth.kernels import Floats, cast_shadows, paint_polygons, paint_trees
from geoconvnext.data.synth.noise import noise_tiles

Point: TypeAlias = tuple[float, float]
Points: TypeAlias = Sequence[Point]
Plane: TypeAlias = tuple[float, float, float]

_PARAMETERS = 24


@dataclass(frozen=True, slots=True)
class Material:
    """Look of a surface, sizes in metres.

    color, other: mixed by blotches, `blotch` metres a noise cell, `share` of `other` in 0..1, `sharp` edges.
    pink, grain: relative amplitudes of noise of all sizes and of 0.2 m.
    stripe, angle, amplitude, duty: period, direction across, depth; duty 0 is a sine, else the dark share.
    sheets: how much `share` differs from one roofing sheet (one stripe wide) to the next.
    """

    color: Color
    other: Color | None = None
    share: float = 0.0
    blotch: float = 0.35
    sharp: float = 0.7
    pink: float = 0.05
    grain: float = 0.04
    stripe: float = 0.0
    angle: float = 0.0
    amplitude: float = 0.0
    duty: float = 0.0
    sheets: float = 0.0

    def numbers(self, gain: float) -> tuple[float, ...]:
        """First sixteen parameters of the painter, brightness times `gain`."""
        red, green, blue = self.color
        mixed = self.other or self.color
        bias = (self.share - 0.5) * (1 + 2 * self.sharp) + 0.5
        return (
            red * gain, green * gain, blue * gain, mixed[0] * gain, mixed[1] * gain, mixed[2] * gain,
            bias, self.blotch, self.sharp if self.other else 0.0, self.pink, self.grain,
            self.stripe, cos(self.angle), sin(self.angle), self.amplitude, self.duty,
        )  # fmt: skip


@dataclass(frozen=True)
class Sun:
    """Where the light comes from: direction of the shadows (x right, y down) and elevation, radians."""

    azimuth: float
    elevation: float

    def facet(self, gx: float, gy: float) -> float:
        """Brightness of a plane of gradient (gx, gy), relative to flat ground."""
        lit = sin(self.elevation) - cos(self.elevation) * (gx * cos(self.azimuth) + gy * sin(self.azimuth))
        direct = max(0.0, lit) / (1 + gx * gx + gy * gy) ** 0.5
        return float((0.35 + direct) / (0.35 + sin(self.elevation)))


class Canvas:
    """Surfaces of a world of width_m x height_m, painted at gsd_m; the origin is the image's corner.

    A margin on the side of the sun lets what stands outside the image cast its shadow into it.
    """

    def __init__(self, width_m: float, height_m: float, sun: Sun, *, margin_m: float = 18.0) -> None:
        self.width_m = width_m
        self.height_m = height_m
        self.sun = sun
        east, south = cos(sun.azimuth), sin(sun.azimuth)
        self.box = (
            -margin_m * max(0.0, east),
            -margin_m * max(0.0, south),
            width_m + margin_m * max(0.0, -east),
            height_m + margin_m * max(0.0, -south),
        )
        self._xy = array("f")
        self._starts = [0]
        self._params = array("f")
        self._trees = array("f")

    def sees(self, x: float, y: float, reach: float) -> bool:
        """Tell whether a thing at x, y that reaches so far can show."""
        box = self.box
        return box[0] - reach < x < box[2] + reach and box[1] - reach < y < box[3] + reach

    def poly(
        self,
        points: Points,
        look: Material,
        *,
        plane: Plane | None = None,
        over: bool = False,
        gain: float = 1.0,
        opacity: float = 1.0,
        holes: Sequence[Points] = (),
        at: Point = (0.0, 0.0),
    ) -> None:
        """Add a polygon: on the ground, or at heights z = plane[0] + plane[1] x + plane[2] y.

        Where something higher stands, a raised polygon is hidden unless `over`. `at` shifts the texture.
        """
        for x, y in points:
            self._xy.extend((x, y))
        for hole in holes:
            self._xy.extend((nan, nan))
            for x, y in hole:
                self._xy.extend((x, y))
        self._starts.append(len(self._xy) // 2)
        mode = 0.0 if plane is None else 2.0 if over else 1.0
        z0, gx, gy = plane or (0.0, 0.0, 0.0)
        self._params.extend(look.numbers(gain))
        self._params.extend((*at, z0, gx, gy, opacity, mode, look.sheets if look.stripe else 0.0))

    def line(
        self,
        p: Point,
        q: Point,
        width: float,
        look: Material,
        *,
        z: float | None = None,
        z2: float | None = None,
        gain: float = 1.0,
        opacity: float = 1.0,
    ) -> None:
        """Add a straight strip, flat on the ground or (z to z2) in the air."""
        dx, dy = q[0] - p[0], q[1] - p[1]
        length = (dx * dx + dy * dy) ** 0.5
        if length < 1e-6:
            return
        nx, ny = -dy / length * width / 2, dx / length * width / 2
        strip = (
            (p[0] + nx, p[1] + ny),
            (q[0] + nx, q[1] + ny),
            (q[0] - nx, q[1] - ny),
            (p[0] - nx, p[1] - ny),
        )
        plane = None
        if z is not None:
            rise = ((z if z2 is None else z2) - z) / length
            gx, gy = rise * dx / length, rise * dy / length
            plane = (z - gx * p[0] - gy * p[1], gx, gy)
        self.poly(strip, look, plane=plane, over=True, gain=gain, opacity=opacity)

    def tree(
        self,
        x: float,
        y: float,
        radius: float,
        color: Color,
        *,
        tall: float | None = None,
        density: float = 1.0,
        kind: int = 0,
    ) -> None:
        """Add a crown of that radius; `density` < 1: the ground shows through; kind 1: a cone, 2: a palm."""
        if self.sees(x, y, radius * 1.3):
            top = tall if tall is not None else 1.2 + 1.5 * radius
            self._trees.extend((x, y, radius, top, *color, density, float(kind)))

    def render(self, gsd_m: float, shadow: Color) -> Floats:
        """Paint everything: float32 (H, W, 3) in 0..255.

        shadow: the light left per band where the sun is hidden.
        """
        left, top = (-int(-value // gsd_m) for value in self.box[:2])
        right, bottom = (int(value // gsd_m) + 1 for value in self.box[2:])
        rows, columns = bottom - top, right - left
        frame = np.array([left * gsd_m, top * gsd_m, gsd_m], np.float32)
        canvas = np.zeros((rows, columns, 3), np.float32)
        height = np.zeros((rows, columns), np.float32)
        xy = (np.frombuffer(self._xy, np.float32).reshape(-1, 2) - frame[:2]) / frame[2]
        params = np.frombuffer(self._params, np.float32).reshape(-1, _PARAMETERS).copy()
        params[:, 10] *= min(1.0, 0.3 / gsd_m)  # a coarser pixel averages the grain away
        tiles = noise_tiles()
        paint_polygons(canvas, height, xy, np.array(self._starts), params, tiles, frame)
        if self._trees:
            trees = np.frombuffer(self._trees, np.float32).reshape(-1, 9)
            toward = np.array([cos(self.sun.azimuth), sin(self.sun.azimuth)], np.float32)
            paint_trees(canvas, height, trees, tiles, frame, toward)
        shade = cv2.GaussianBlur(_sweep(height, self.sun, gsd_m), (3, 3), 0.7)
        canvas *= 1 - shade[..., None] * (1 - np.array(shadow, np.float32))
        size = (round(self.height_m / gsd_m), round(self.width_m / gsd_m))
        return np.ascontiguousarray(canvas[-top : size[0] - top, -left : size[1] - left])


def _sweep(height: Floats, sun: Sun, gsd_m: float) -> Floats:
    """Cast the shadows: turn the heights so that the light moves down the rows, sweep, turn back."""
    east, south = cos(sun.azimuth), sin(sun.azimuth)
    turned = abs(east) > abs(south)
    if turned:
        height, east, south = height.T, south, east
    if south < 0:
        height, south = height[::-1], -south
    work = np.ascontiguousarray(height)
    shade = np.empty_like(work)
    drop = gsd_m * tan(sun.elevation) / south
    cast_shadows(work, shade, east / south, drop, max(0.35, drop))
    if (cos(sun.azimuth) if turned else sin(sun.azimuth)) < 0:
        shade = shade[::-1]
    return shade.T if turned else shade


def plane_of(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> Plane:
    """Plane z = z0 + gx x + gy y through three points in metres."""
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    det = ux * vy - uy * vx
    if abs(det) < 1e-9:
        return (a[2], 0.0, 0.0)
    gx = (uz * vy - vz * uy) / det
    gy = (ux * vz - vx * uz) / det
    return (a[2] - gx * a[0] - gy * a[1], gx, gy)
