import numpy as np
import pytest
from shapely import box

from geoconvnext.data.coverage import cover
from geoconvnext.data.crop import Crop
from geoconvnext.data.rings import Rings
from geoconvnext.data.sample import PASTE_GAP_M, Sample, paste_buildings
from geoconvnext.data.tiles import Tile

SIZE, GSD_M = 96, 0.5


def sample(polygons, brightness, *, known=None, fineness=1):
    image = np.full((SIZE, SIZE, 3), brightness, np.uint8)
    known = np.ones((SIZE, SIZE), bool) if known is None else known
    tile = Tile(image, known, Rings.from_polygons(polygons))
    crop = Crop(row=SIZE / 2, col=SIZE / 2, side=SIZE)
    return Sample.cut(
        tile, crop, image_size=SIZE, output_size=SIZE * fineness, gsd_m=GSD_M / fineness, separate=True
    )


def cover_of(pasted, fineness=1):
    return cover(pasted.rings, height=SIZE * fineness, width=SIZE * fineness)


@pytest.mark.parametrize("fineness", [1, 2])
def test_whole_buildings_are_pasted_on_empty_ground(fineness):
    house, free, near, cut_off = (
        box(10, 10, 30, 30),
        box(60, 60, 75, 80),
        box(32, 20, 44, 30),
        box(70, 5, 120, 20),
    )
    old = sample([house], 50, fineness=fineness)
    pasted = paste_buildings(old, sample([near, free, cut_off], 200, fineness=fineness))
    expected = cover(
        Rings.from_polygons([house, free]).moved(np.array([[fineness, 0, 0], [0, fineness, 0.0]])),
        height=SIZE * fineness,
        width=SIZE * fineness,
    )
    np.testing.assert_array_equal(cover_of(pasted, fineness).share, expected.share)
    assert pasted.rings.buildings > len(set(pasted.rings.building)) == 2
    assert (pasted.image[64:76, 64:71] == 200).all()
    far = np.ones((SIZE, SIZE), bool)
    far[56:84, 56:79] = False
    assert (pasted.image[far] == 50).all()
    assert 110 < pasted.image[70, 59:61].mean() < 140  # half and half at the wall
    assert old.rings.buildings == 1


@pytest.mark.parametrize("whose", ["sample", "donor"])
def test_nothing_is_pasted_where_either_is_unknown(whose):
    known = np.ones((SIZE, SIZE), bool)
    known[58:62, 58:62] = False
    unknown = {"known": known}
    pasted = paste_buildings(
        sample([], 50, **(unknown if whose == "sample" else {})),
        sample([box(60, 60, 75, 80), box(10, 10, 30, 30)], 200, **(unknown if whose == "donor" else {})),
    )
    np.testing.assert_array_equal(
        cover_of(pasted).share > 0, cover_of(sample([box(10, 10, 30, 30)], 0)).share > 0
    )


def test_the_gap_is_in_metres():
    house = box(10, 10, 30, 30)
    for gap_px, expected in ((PASTE_GAP_M / GSD_M - 1, 1), (PASTE_GAP_M / GSD_M + 1, 2)):
        other = box(30 + gap_px, 10, 60, 30)
        assert paste_buildings(sample([house], 50), sample([other], 200)).rings.buildings == expected


def test_without_a_building_to_paste_nothing_changes():
    old = sample([box(10, 10, 30, 30)], 50)
    pasted = paste_buildings(old, sample([], 200))
    np.testing.assert_array_equal(pasted.image, old.image)
    assert pasted.rings.buildings == 1
