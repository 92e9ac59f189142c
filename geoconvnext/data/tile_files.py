"""The two files of a tile: a GeoTIFF with a mask band, and a FlatGeobuf of polygons."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
from rasterio.crs import CRS
from shapely.errors import GEOSException

from geoconvnext.raster.gdal import GDAL_ERRORS, complete_or_error, open_dataset
from geoconvnext.raster.write import write_raster

TILE_ERRORS = (
    *GDAL_ERRORS,
    *(DataLayerError, DataSourceError, FeatureError, GeometryError, GEOSException),
    IndexError,  # pyogrio's, where the file ends within its header
)
"""What reading and writing raise."""


def read_image(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_], Affine]:
    """Read image (bands, H, W), known (H, W) and transform; TILE_ERRORS."""
    with open_dataset(str(path)) as file:
        return file.read(), file.read_masks(1) > 0, file.transform


def write_image(
    path: Path,
    image: NDArray[np.uint8],
    known: NDArray[np.bool_],
    *,
    transform: Affine,
    crs: CRS | str | None,
) -> None:
    """Write (bands, H, W) with an internal mask band; TILE_ERRORS, OSError, OutputError."""
    write_raster(path, image, transform=transform, crs=crs)
    # Also where all is known: without it GDAL takes the fourth band of four for a mask.
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with complete_or_error(), inside, open_dataset(str(path), "r+") as file:
        file.write_mask(known)


def read_polygons(path: Path) -> NDArray[np.object_]:
    """Read the polygons of a file in their order; TILE_ERRORS."""
    _, _, geometry, _ = pyogrio.raw.read(path, columns=[])
    polygons: NDArray[np.object_] = shapely.from_wkb(geometry)
    return polygons


def write_polygons(path: Path, polygons: NDArray[np.object_], *, layer: str, crs: CRS | str | None) -> None:
    """Write Polygons in their order; TILE_ERRORS, and OSError where not all arrived, as on a full disk."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided", category=UserWarning)
        pyogrio.raw.write(
            path,
            shapely.to_wkb(polygons),
            field_data=[],
            fields=[],
            layer=layer,
            driver="FlatGeobuf",
            geometry_type="Polygon",
            crs=CRS.from_user_input(crs).to_wkt() if crs else None,
            SPATIAL_INDEX="NO",
        )
    if (found := len(read_polygons(path))) != len(polygons):
        raise OSError(f"only {found} of {len(polygons)} buildings arrived in the file")
