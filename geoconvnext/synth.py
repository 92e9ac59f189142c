"""Write synthetic scenes and their exact footprints to files."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine

from geoconvnext import __version__
from geoconvnext.data.synth import make_scene
from geoconvnext.raster.write import write_raster
from geoconvnext.vector.files import check_output, write_footprints

CRS = "EPSG:32633"
WEST_M, NORTH_M = 300_000, 1_000_000
SPACING_M, COLUMNS, ROWS = 2_000, 200, 3_500
"""Between the corners of two scenes: those of different seeds show different ground, as real ones do."""


@dataclass(frozen=True)
class SynthFiles:
    """What was written for one scene."""

    scene: Path
    footprints: Path
    style: str
    buildings: int


def write_synthetic(
    path: Path, *, seed: int, height: int, width: int, gsd_m: float, style: str | None = None
) -> SynthFiles:
    """Write scene `seed` as a GeoTIFF in UTM to `path`, and its footprints beside it as GeoPackage."""
    truth = path.with_suffix(".gpkg")
    check_output(truth)
    scene = make_scene(seed, height=height, width=width, gsd_m=gsd_m, style=style)
    corner = _corner(seed)
    transform = Affine.translation(*corner) @ Affine.scale(gsd_m, -gsd_m)
    polygons = shapely.transform(np.array(scene.footprints, object), lambda xy: xy * [gsd_m, -gsd_m] + corner)
    table = gpd.GeoDataFrame({"id": np.arange(1, len(polygons) + 1)}, geometry=polygons, crs=CRS)
    write_raster(path, scene.image, transform=transform, crs=CRS)
    source = {"source": f"geoconvnext {__version__} synth, seed {seed}, style {scene.style}"}
    write_footprints(table, truth, provenance=source)
    return SynthFiles(path, truth, scene.style, len(polygons))


def _corner(seed: int) -> tuple[float, float]:
    """Easting and northing of a scene's upper left corner."""
    row, col = divmod(seed, COLUMNS)
    return float(WEST_M + SPACING_M * col), float(NORTH_M + SPACING_M * (row % ROWS))
