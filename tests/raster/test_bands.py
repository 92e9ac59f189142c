import pytest
from rasterio.enums import ColorInterp as Color

from geoconvnext.errors import SceneError
from geoconvnext.raster.bands import choose_bands

RGB = [Color.red, Color.green, Color.blue]
PLAIN = Color.undefined


def choose(colors, **options):
    return choose_bands(colors, **({"bands": None, "band_count": None, "path": "scene.tif"} | options))


@pytest.mark.parametrize(
    ("colors", "band_count", "expected", "is_guess"),
    [
        (RGB, 3, (1, 2, 3), False),
        (RGB, None, (1, 2, 3), False),
        ([*RGB, Color.alpha], 3, (1, 2, 3), False),
        ([Color.blue, Color.green, Color.red, PLAIN], 3, (3, 2, 1), False),
        ([Color.alpha, *RGB], 3, (2, 3, 4), False),
        ([*RGB, PLAIN], 4, (1, 2, 3, 4), False),
        ([Color.gray], 1, (1,), False),
        ([Color.gray], None, (1,), False),
        ([Color.gray, PLAIN, PLAIN], 3, (1, 2, 3), True),
        ([Color.gray, PLAIN, PLAIN, PLAIN], 3, (1, 2, 3), True),
        ([Color.gray] + [PLAIN] * 7, 3, (5, 3, 2), True),
        ([*RGB] + [PLAIN] * 5, 3, (1, 2, 3), True),
        ([Color.gray] + [PLAIN] * 7, 4, (1, 2, 3, 4), True),
        ([Color.gray] + [PLAIN] * 7, 8, (1, 2, 3, 4, 5, 6, 7, 8), False),
    ],
)
def test_default_choice(colors, band_count, expected, is_guess):
    choice = choose(colors, band_count=band_count)
    assert choice.bands == expected
    assert bool(choice.warnings) == is_guess


def test_named_bands_win():
    assert choose(RGB, bands=(3, 1, 1), band_count=3).bands == (3, 1, 1)
    assert choose([Color.gray], bands=(1, 1, 1), band_count=3).bands == (1, 1, 1)


@pytest.mark.parametrize(
    ("colors", "options", "message"),
    [
        ([Color.gray], {"band_count": 3}, "takes 3 bands, the scene has 1"),
        ([Color.gray, PLAIN, Color.alpha], {"band_count": 3}, "the scene has 2"),
        (RGB, {"bands": (1, 2, 4)}, "bands 1 to 3"),
        (RGB, {"bands": (0, 1, 2)}, "bands 1 to 3"),
        (RGB, {"bands": ()}, "were named"),
        (RGB, {"bands": (1, 2), "band_count": 3}, "takes 3 bands"),
        ([Color.palette], {"band_count": 1}, "expand rgb"),
    ],
)
def test_errors_say_what_to_do(colors, options, message):
    with pytest.raises(SceneError, match=message):
        choose(colors, **options)
