"""What the tests of several verbs share: drawn scenes, a network that sees brightness, small disks."""

import os
import subprocess

import numpy as np
import pytest
from affine import Affine

GROUND, ROOF = 40, 220
UTM = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_500_000)}


@pytest.fixture
def write_scene(tmp_path):
    """Write (bands, height, width) as a GeoTIFF, in UTM unless said otherwise."""
    import rasterio

    def write(pixels, name="scene.tif", **profile):
        count, height, width = pixels.shape
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
        with rasterio.open(path, "w", driver="GTiff", **(size | UTM | profile)) as file:
            file.write(pixels)
        return path

    return write


@pytest.fixture
def draw():
    """Bright rectangles (row, col, height, width) on dark ground, as pixels (3, height, width)."""

    def make(height, width, *rectangles):
        pixels = np.full((3, height, width), GROUND, np.uint8)
        for row, col, rows, cols in rectangles:
            pixels[:, row : row + rows, col : col + cols] = ROOF
        return pixels

    return make


@pytest.fixture
def brightness():
    """Make a Model whose building body is the brightness of the scene, without edges and contacts."""
    from geoconvnext.inference import Model
    from geoconvnext.model.net import NetSpec
    from geoconvnext.model.weights import View, WeightsInfo
    from geoconvnext.vector.rules import FootprintRules

    def make(scale=1, **rules):
        def run(windows):
            body = np.minimum(windows[:, :1], 254).repeat(scale, 2).repeat(scale, 3)
            return np.concatenate([body, np.zeros_like(body), np.zeros_like(body)], axis=1)

        view = View(scale=scale, gsd_range_m=(0.1, 1.0))
        info = WeightsInfo(spec=NetSpec(scale=scale), views=(view,), tile=128, halo=32)
        return Model({scale: run}, info, FootprintRules(**rules), "stub")

    return make


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A weights file of a small untrained network."""
    from geoconvnext.model.net import NetSpec, build_net
    from geoconvnext.model.weights import View, WeightsInfo, save_weights

    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    spec = NetSpec(encoder="convnext_atto", decoder_channels=16, scale=1)
    view = View(scale=1, gsd_range_m=(0.1, 1.0))
    save_weights(path, build_net(spec), WeightsInfo(spec=spec, views=(view,), tile=128, halo=32))
    return path


@pytest.fixture
def small_disk(tmp_path):
    """Make a folder with so many bytes of space; skips where the system does not let us."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a small disk")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def listing():
    """Names of everything in a folder and below, hidden files too."""

    def names(folder):
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    return names
