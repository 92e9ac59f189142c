import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

UTM = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}


@pytest.fixture
def write_raster(tmp_path):
    """Write (bands, height, width) to a GeoTIFF, by default with 0.5 m pixels in UTM."""

    def write(pixels, *, name="scene.tif", mask=None, colors=None, **profile):
        count, height, width = pixels.shape
        path = tmp_path / name
        base = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with (
                rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
                rasterio.open(path, "w", **(base | UTM | profile)) as file,
            ):
                if colors:
                    file.colorinterp = colors
                file.write(pixels)
                if mask is not None:
                    file.write_mask(mask)
        return path

    return write


@pytest.fixture
def noise():
    """Random pixels (bands, height, width) between two values, the same in every run."""

    def make(bands, height, width, *, dtype=np.uint8, low=0, high=256, seed=0):
        values = np.random.default_rng(seed).integers(low, high, (bands, height, width))
        return values.astype(dtype)

    return make
