"""Metres on the ground against geodesics."""

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS, Geod, Transformer

from geoconvnext.errors import SceneError
from geoconvnext.vector.ground import Ground

CASES = [
    ("EPSG:32633", Affine(0.5, 0, 420_000, 0, -0.5, 5_800_000)),
    ("EPSG:3857", Affine(0.5, 0, 1_500_000, 0, -0.5, 8_399_737)),
    ("EPSG:4326", Affine(5e-6, 0, 13.0, 0, -5e-6, 60.0)),
    ("EPSG:4326", Affine(5e-6, 0, 179.9999, 0, -5e-6, -45.0)),
    ("EPSG:32633", Affine.translation(420_000, 5_800_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)),
    ("EPSG:2263", Affine(1.5, 0, 980_000, 0, -1.5, 200_000)),
    ("EPSG:6933", Affine(0.5, 0, 1_200_000, 0, -0.5, 6_000_000)),
    ("EPSG:2056", Affine(0.1, 0, 2_600_000, 0, -0.1, 1_200_000)),
]


@pytest.mark.parametrize(("crs", "transform"), CASES)
def test_steps_have_their_geodesic_length(crs, transform):
    """Three steps from a pixel: their lengths and, through them, the area of the pixel."""
    ground = Ground(transform=transform, crs=CRS(crs), height=100, width=100)
    start = np.array([40.0, 60.0])
    (linear,) = ground.metres_per_pixel(start[None])
    geodetic = CRS(crs).geodetic_crs
    project = Transformer.from_crs(crs, geodetic, always_xy=True).transform
    geod = Geod(a=geodetic.ellipsoid.semi_major_metre, b=geodetic.ellipsoid.semi_minor_metre)
    for step in ([10.0, 0.0], [0.0, 10.0], [7.0, -7.0]):
        ends = [project(*(transform @ tuple(start + sign * np.array(step) / 2))) for sign in (-1, 1)]
        true = geod.inv(*ends[0], *ends[1])[2]
        assert np.hypot(*(linear @ step)) == pytest.approx(true, rel=1e-4)


def test_pixel_size_at_the_centre():
    transform = Affine(1.0, 0, 1_000_000, 0, -1.0, 8_399_737 + 500)
    ground = Ground(transform=transform, crs=CRS(3857), height=1000, width=1000)
    assert ground.pixel_m == pytest.approx(0.5, rel=0.005)


@pytest.mark.parametrize(
    ("crs", "transform", "gsd_m", "expected"),
    [
        (None, Affine.identity(), 0.3, 0.3),
        (None, Affine.identity(), None, 1.0),
        (None, Affine.scale(2.0, -2.0), None, 2.0),
        ('LOCAL_CS["site grid",UNIT["foot",0.3048]]', Affine.scale(2.0, -2.0), 7.0, 0.6096),
    ],
)
def test_without_a_place_on_the_earth(crs, transform, gsd_m, expected):
    parsed = None if crs is None else CRS(crs)
    ground = Ground(transform=transform, crs=parsed, height=10, width=10, gsd_m=gsd_m)
    assert ground.pixel_m == pytest.approx(expected)


def test_coordinates_outside_the_crs_are_refused():
    ground = Ground(transform=Affine.translation(1e12, 1e12), crs=CRS(32633), height=10, width=10)
    with pytest.raises(SceneError, match="UTM zone 33N"):
        _ = ground.pixel_m
