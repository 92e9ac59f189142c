"""Small pictures of scenes against the rectangle drawn into them."""

import numpy as np
import pytest

from geoconvnext.errors import SceneError
from geoconvnext.raster.overview import read_overview


def test_shrunk_in_place(write_scene, draw):
    scene = write_scene(draw(300, 400, (30, 100, 60, 100)))
    overview = read_overview(str(scene), 100)
    assert overview.picture.shape == (75, 100, 3)
    rows, cols = np.nonzero(overview.picture[..., 0] > 130)
    corners = (
        overview.transform @ (cols.min(), rows.min()),
        overview.transform @ (cols.max() + 1, rows.max() + 1),
    )
    assert np.array(corners) == pytest.approx(np.array([[500_050, 5_499_985], [500_100, 5_499_955]]), abs=2.0)
    assert overview.crs.to_epsg() == 32633


def test_small_scenes_and_single_bands_stay_as_they_are(write_scene):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 20, 30), np.uint8)
    overview = read_overview(str(write_scene(pixels, crs=None)), 100, bands=(1,))
    assert (overview.picture == pixels[0][..., None]).all()
    assert overview.crs is None


def test_no_scene(tmp_path):
    with pytest.raises(SceneError, match="missing"):
        read_overview(str(tmp_path / "missing.tif"), 100)
