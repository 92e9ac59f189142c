"""Pictures of right, wrong and missed against squares drawn at known places."""

import cv2
import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geoconvnext.comparison import COLORS, PANEL_PX, draw_comparison, draw_panel
from geoconvnext.errors import OutputError
from geoconvnext.evaluate import evaluate
from geoconvnext.vector.files import write_footprints

EAST, NORTH = 500_000, 5_500_000
PLACES = {"right": (10, 30), "missed": (30, 30), "wrong": (50, 10)}  # metres from the lower left corner


@pytest.fixture
def compared(tmp_path):
    """Evaluate a right, a missed and a wrong square of 10 m; without CRS the same numbers are pixels."""

    def run(crs="EPSG:32633", scene=None):
        origin = (EAST, NORTH) if crs else (0, 0)
        for name, kinds in (("found", ("right", "wrong")), ("truth", ("right", "missed"))):
            corners = np.array([PLACES[kind] for kind in kinds]) + origin
            boxes = [shapely.box(x, y, x + 10, y + 10) for x, y in corners]
            table = gpd.GeoDataFrame({"id": range(2)}, geometry=boxes, crs=crs)
            write_footprints(table, tmp_path / f"{name}.gpkg", provenance={})
        return evaluate(tmp_path / "found.gpkg", tmp_path / "truth.gpkg", scene=scene)

    return run


def kind_at(panel, row, col):
    """Which colour a pixel has been tinted with, by the strongest channel."""
    pixel = panel.picture[int(row), int(col)].astype(int)
    assert np.ptp(pixel) > 30, "no colour"
    return next(kind for kind, color in COLORS.items() if np.argmax(color) == np.argmax(pixel))


def test_over_the_scene(compared, write_scene):
    """60 x 50 m of grey at 0.5 m, whose last row is the southern one."""
    grey = np.full((3, 100, 120), 120, np.uint8)
    scene = str(write_scene(grey, transform=Affine(0.5, 0, EAST, 0, -0.5, NORTH + 50)))
    panel = draw_panel("town", compared(scene=scene), scene)
    assert panel.picture.shape == (100, 120, 3)
    for kind, (x, y) in PLACES.items():
        assert kind_at(panel, (50 - y - 5) * 2, (x + 5) * 2) == kind
    assert (panel.picture[:10] == 120).all()


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_on_plain_ground(compared, crs):
    """The picture ends where the buildings end, 50 m wide and 30 m high; north is up, row 0 too."""
    panel = draw_panel("town", compared(crs), None)
    assert panel.picture.shape == (600, PANEL_PX, 3)
    for kind, (x, y) in PLACES.items():
        from_top = (40 - y - 5) if crs else (y + 5 - 10)
        assert kind_at(panel, from_top * 20, (x + 5 - 10) * 20) == kind


def test_nothing_on_plain_ground(tmp_path):
    table = gpd.GeoDataFrame({"id": []}, geometry=[], crs=32633)
    write_footprints(table, tmp_path / "empty.gpkg", provenance={})
    evaluation = evaluate(tmp_path / "empty.gpkg", tmp_path / "empty.gpkg")
    panel = draw_panel("desert", evaluation, None)
    draw_comparison(tmp_path / "p.png", [panel], evaluation.scores, scenes=1)
    assert cv2.imread(str(tmp_path / "p.png")) is not None


def test_the_whole_picture(compared, tmp_path):
    evaluation = compared()
    panels = [draw_panel(name, evaluation, None) for name in "abc"]
    draw_comparison(tmp_path / "new" / "p.png", panels, evaluation.scores, scenes=7)
    picture = cv2.imread(str(tmp_path / "new" / "p.png"))[..., ::-1]
    assert min(picture.shape[:2]) > 600
    for color in COLORS.values():  # outlines, three panels and the legend
        assert (np.abs(picture.astype(int) - color).sum(axis=-1) < 12).sum() > 500


def test_a_place_that_cannot_be_written(compared, tmp_path):
    evaluation = compared()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        draw_comparison(
            tmp_path / "file" / "p.png", [draw_panel("a", evaluation, None)], evaluation.scores, scenes=1
        )
