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
WEST_M, NORTH_M = 400_000.0, 5_800_000.0


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
    transform = Affine(gsd_m, 0.0, WEST_M, 0.0, -gsd_m, NORTH_M)
    to_map = np.array([gsd_m, -gsd_m]), np.array([WEST_M, NORTH_M])
    polygons = shapely.transform(np.array(scene.footprints, object), lambda xy: xy * to_map[0] + to_map[1])
    table = gpd.GeoDataFrame({"id": np.arange(1, len(polygons) + 1)}, geometry=polygons, crs=CRS)
    write_raster(path, scene.image, transform=transform, crs=CRS)
    source = {"source": f"geoconvnext {__version__} synth, seed {seed}, style {scene.style}"}
    write_footprints(table, truth, provenance=source)
    return SynthFiles(path, truth, scene.style, len(polygons))
