"""QGIS itself opens what we write, applies our style by itself and draws it over the scene."""

import json
import os
import subprocess
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geoconvnext.vector import style
from geoconvnext.vector.files import write_footprints

PYTHON = "/usr/bin/python3"


def has_qgis():
    if not Path(PYTHON).exists():
        return False
    return (
        subprocess.run([PYTHON, "-c", "import qgis.core"], check=False, capture_output=True).returncode == 0
    )


def write_scene(path, gray):
    transform = from_origin(420_000, 5_800_100, 0.5, 0.5)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=200,
        width=200,
        count=3,
        dtype="uint8",
        crs="EPSG:32633",
        transform=transform,
    ) as raster:
        raster.write(np.full((3, 200, 200), gray, np.uint8))


@pytest.mark.qgis
@pytest.mark.skipif(not has_qgis(), reason="QGIS is not installed")
@pytest.mark.parametrize("gray", [40, 200])
def test_qgis_draws_the_footprints_in_our_style(tmp_path, gray):
    house = shapely.box(420_020, 5_800_020, 420_060, 5_800_070)
    table = gpd.GeoDataFrame({"id": [1], "confidence": [0.9]}, geometry=[house], crs="EPSG:32633")
    write_footprints(table, tmp_path / "town.gpkg", provenance={"scene": "scene.tif"})
    write_scene(tmp_path / "scene.tif", gray)
    extent = ["420000", "5800000", "420100", "5800100"]
    run = subprocess.run(
        [
            PYTHON,
            str(Path(__file__).parent / "qgis_session.py"),
            "town.gpkg",
            "scene.tif",
            "map.png",
            *extent,
        ],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"},
        timeout=120,
    )
    assert run.stdout.startswith("{"), run.stderr
    answer = json.loads(run.stdout)
    assert answer == {
        "valid": True,
        "crs": "EPSG:32633",
        "features": 1,
        "fields": ["fid", "id", "confidence"],
        "styles": ["geoconvnext"],
        "default_style_loaded": True,
        "renderer": "singleSymbol",
        "symbol_layers": ["SimpleLine", "SimpleFill"],
        "fill": [*style.OUTLINE, style.FILL_ALPHA],
        "outline": [*style.OUTLINE, 255],
    }
    assert_drawn(tmp_path / "map.png", gray)


def assert_drawn(path, gray):
    """Four picture pixels per metre: the house covers rows 120..320 and columns 80..240."""
    with rasterio.open(path) as picture:
        pixels = picture.read()[:3].astype(int)
    share = style.FILL_ALPHA / 255
    tinted = np.array(style.OUTLINE) * share + gray * (1 - share)
    np.testing.assert_allclose(pixels[:, 130:310, 90:230].mean(axis=(1, 2)), tinted, atol=3)
    outside = np.ones((400, 400), bool)
    outside[110:330, 70:250] = False
    assert (pixels[:, outside] == gray).all()
    wall = pixels[:, 220, 75:86]
    assert abs(wall - np.array(style.OUTLINE)[:, None]).sum(axis=0).min() < 30
