"""The only writer of plain rasters: scenes and tiles."""

from pathlib import Path
from typing import Any

from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoconvnext.errors import OutputError
from geoconvnext.output import draft
from geoconvnext.raster.gdal import GDAL_ERRORS, complete_or_error, open_dataset


def write_raster(path: Path, pixels: NDArray[Any], *, transform: Affine, crs: CRS | str | None) -> None:
    """Write (bands, H, W) integers as a GeoTIFF; it appears complete or not at all (OutputError)."""
    bands, height, width = pixels.shape
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": pixels.dtype,
        "interleave": "pixel",
    }
    profile |= {"transform": transform, "crs": crs, "compress": "zstd", "zstd_level": 1, "predictor": 2}
    if bands in {3, 4}:
        profile["photometric"] = "rgb"
    try:
        with draft(path) as part, complete_or_error(), open_dataset(str(part), "w", **profile) as file:
            file.write(pixels)
    except GDAL_ERRORS as error:
        raise OutputError(f"cannot write {path}: {error}; make room or choose another folder") from error
