"""The only writer of plain rasters: scenes and tiles."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geoconvnext.errors import OutputError


def write_raster(path: Path, pixels: NDArray[Any], *, transform: Affine, crs: CRS | str | None) -> None:
    """Write (bands, H, W) as a compressed GeoTIFF, under a temporary name moved into place; OutputError if it cannot."""
    bands, height, width = pixels.shape
    part = path.with_name(f".{path.name}.part")
    profile = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype, "interleave": "pixel"}
    packing = {"compress": "zstd", "zstd_level": 1, "predictor": 2}
    if bands in {3, 4}:
        packing["photometric"] = "rgb"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                part, "w", driver="GTiff", transform=transform, crs=crs, **profile, **packing
            ) as file:
                file.write(pixels)
        part.replace(path)
    except (OSError, RasterioError) as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error}; make room or choose another folder") from error
