import math

import pytest
from affine import Affine
from rasterio.crs import CRS

from geoconvnext.raster.gsd import GroundPixel, ground_pixel, network_grid


def test_utm_pixels_are_their_size_times_the_scale_factor():
    # On the central meridian a UTM metre is 1 / 0.9996 m on the ground.
    pixel = ground_pixel(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), 100, 100)
    assert pixel.across_m == pytest.approx(0.5 / 0.9996, rel=1e-5)
    assert pixel.down_m == pytest.approx(0.5 / 0.9996, rel=1e-5)


def test_web_mercator_shrinks_with_latitude():
    y = 6_378_137 * math.log(math.tan(math.pi / 4 + math.radians(60) / 2))
    pixel = ground_pixel(CRS.from_epsg(3857), Affine(1, 0, 0, 0, -1, y), 2, 2)
    assert pixel.gsd_m == pytest.approx(0.5, rel=0.005)


def test_degrees_are_metres_on_the_ellipsoid():
    degree_m = 111_319.49
    pixel = ground_pixel(CRS.from_epsg(4326), Affine(1e-5, 0, 10, 0, -1e-5, 0), 2, 2)
    assert pixel.across_m == pytest.approx(1e-5 * degree_m, rel=1e-4)
    assert pixel.down_m == pytest.approx(1e-5 * 110_574.3, rel=1e-4)
    assert not ground_pixel(CRS.from_epsg(4326), Affine(1e-5, 0, 10, 0, -1e-5, 60), 2, 2).is_square


def test_rotation_does_not_change_the_size():
    turned = Affine.translation(5e5, 5e6) @ Affine.rotation(37) @ Affine.scale(0.3, -0.3)
    pixel = ground_pixel(CRS.from_epsg(32633), turned, 10, 10)
    assert (pixel.across_m, pixel.down_m) == pytest.approx((0.3 / 0.9996,) * 2, rel=1e-4)


def test_feet_are_not_metres():
    pixel = ground_pixel(CRS.from_epsg(2263), Affine(1, 0, 1_000_000, 0, -1, 200_000), 2, 2)
    assert pixel.gsd_m == pytest.approx(0.3048, rel=1e-3)


def test_a_crs_without_a_place_on_earth_has_no_size():
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    assert ground_pixel(local, Affine(0.5, 0, 0, 0, -0.5, 0), 10, 10) is None
    assert ground_pixel(CRS.from_epsg(32633), Affine(1, 0, 1e12, 0, -1, 1e12), 10, 10) is None


@pytest.mark.parametrize(
    ("gsd_m", "expected"), [(0.2, (400, 800)), (0.3, (600, 1200)), (0.6, (600, 1200)), (1.0, (1000, 2000))]
)
def test_nearest_end_of_the_range(gsd_m, expected):
    grid = network_grid(600, 1200, GroundPixel(gsd_m, gsd_m), (0.3, 0.6))
    assert grid.is_native == (expected == (600, 1200))
    assert (grid.height, grid.width) == expected


def test_coarse_scenes_are_not_enlarged_without_end():
    grid = network_grid(100, 100, GroundPixel(10.0, 10.0), (0.3, 0.5))
    assert (grid.height, grid.width) == (400, 400)


def test_pixels_become_square():
    assert network_grid(1000, 1000, GroundPixel(0.5, 0.509), None).is_native
    grid = network_grid(1000, 1000, GroundPixel(0.32, 0.5), None)
    assert (grid.height, grid.width) == (1250, 800)
    assert (grid.down_factor, grid.across_factor) == (0.8, 1.25)


def test_unknown_pixels_and_tiny_scenes():
    assert network_grid(5, 7, None, (0.3, 0.6)).is_native
    grid = network_grid(1, 1, GroundPixel(0.01, 0.01), (0.3, 0.6))
    assert (grid.height, grid.width, grid.down_factor) == (1, 1, 1.0)
