"""Seam error of weights: what changes when the grid of windows is shifted by half a tile.

Prints the share of valid pixels whose building decision changes, and the share of buildings without an equal
(IoU over 0.9) in the other run, for each halo. The outermost 128 px of a scene do not count: there the shift
changes what lies beyond the scene, which is no seam.

Example:  python tools/seam.py scene1.tif scene2.tif --halo 32 64 96
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine

from geoconvnext.inference import Model, choose_view, load_model
from geoconvnext.metrics.objects import match_objects
from geoconvnext.model.runtime import choose_placement
from geoconvnext.predict import find_in_mosaic
from geoconvnext.probabilities import write_probabilities
from geoconvnext.raster.grid import Window
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.raster.scene import Pixels, Scene
from geoconvnext.scenes import PredictOptions, open_scene, window_size

SAME_IOU = 0.9
BORDER_PX = 128


@dataclass(frozen=True)
class Shifted:
    """A scene with `shift` empty rows and columns before it, so that windows fall elsewhere on it."""

    scene: Scene
    shift: int

    def __getattr__(self, name: str) -> object:
        value = getattr(self.scene, name)
        return value + self.shift if name in {"height", "width"} else value

    @property
    def transform(self) -> Affine:
        """Of the enlarged grid."""
        return self.scene.transform @ Affine.translation(-self.shift, -self.shift)

    def reopened(self) -> Shifted:
        """Return the same behind a file handle of its own."""
        return Shifted(self.scene.reopened(), self.shift)

    def read(self, window: Window) -> Pixels:
        """Read where the window lies on the scene."""
        return self.scene.read(
            Window(window.row - self.shift, window.col - self.shift, window.height, window.width)
        )


def main() -> None:
    """Parse, run twice per scene, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", nargs="+")
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--tile", type=int, default=None)
    parser.add_argument("--halo", type=int, nargs="+", default=[64])
    arguments = parser.parse_args()
    model = load_model(arguments.weights, choose_placement())
    for halo in arguments.halo:
        options = PredictOptions(tile_px=arguments.tile, halo_px=halo)
        rows = np.array([_compare(path, model, options) for path in arguments.scenes]).sum(axis=0)
        pixels, changed, buildings, without_equal = rows
        print(
            f"halo {halo}: {changed / pixels:.4%} of {pixels:.0f} pixels,"
            f" {without_equal / max(buildings, 1):.2%} of {buildings:.0f} buildings"
        )


def _compare(path: str, model: Model, options: PredictOptions) -> tuple[float, float, float, float]:
    """Count valid pixels, changed ones, buildings, those without an equal."""
    tile = window_size(model.info, options)[0]
    with open_scene(path, model.info, options) as scene:
        scale = choose_view(model.info, scene.source_gsd_m).scale
        body, found = _run(scene, model, options)
        moved, again = _run(Shifted(scene, tile // 2), model, options)  # type: ignore[arg-type]
        corners = [(BORDER_PX, BORDER_PX), (scene.width - BORDER_PX, scene.height - BORDER_PX)]
        inside = shapely.box(*(value for corner in corners for value in scene.transform @ corner))
    moved = moved[tile // 2 * scale :, tile // 2 * scale :]
    inner = slice(BORDER_PX * scale, -BORDER_PX * scale)
    body, moved = body[inner, inner], moved[inner, inner]
    level, valid = model.rules.body_level, body != 255
    changed = ((body >= level) != (moved >= level)) & valid
    ours = found.geometry.to_numpy()
    pairs = match_objects(ours, again.geometry.to_numpy(), min_iou=SAME_IOU)
    counted = shapely.contains_properly(inside, ours)
    return (
        float(valid.sum()),
        float(changed.sum()),
        float(counted.sum()),
        counted.sum() - counted[pairs.predicted].sum(),
    )


def _run(scene: Scene, model: Model, options: PredictOptions) -> tuple[np.ndarray, gpd.GeoDataFrame]:
    """Body probabilities of the whole scene, and its footprints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.tif"
        write_probabilities(scene, path, model, options)
        with ProbabilityMosaic.open(path) as mosaic:
            return mosaic.read(0, 0, mosaic.height, mosaic.width)[0], find_in_mosaic(mosaic, scene, model)


if __name__ == "__main__":
    main()
