import numpy as np
import pytest
import rasterio

from geoconvnext.errors import ConfigError, SceneError
from geoconvnext.model.runtime import CHANNELS as NETWORK_CHANNELS
from geoconvnext.raster.mosaic import ProbabilityMosaic
from geoconvnext.raster.probability import CHANNELS, ProbabilityRaster

SHARES = np.linspace(0, 1, 24).reshape(1, 4, 6)


@pytest.fixture
def write(write_raster):
    """Write a raster that declares scales, offsets and names."""

    def make(values, *, scale=None, offset=None, names=(), **profile):
        path = write_raster(np.atleast_3d(values) if values.ndim < 3 else values, **profile)
        with rasterio.open(path, "r+") as file:
            if scale is not None:
                file.scales = (scale,) * file.count
            if offset is not None:
                file.offsets = (offset,) * file.count
            for band, name in enumerate(names, start=1):
                file.set_band_description(band, name)
        return path

    return make


def read(path, **options):
    with ProbabilityRaster.open(path, **options) as raster:
        return np.concatenate(list(raster.bands()), axis=1)


def test_the_channels_are_those_of_the_network():
    assert CHANNELS == NETWORK_CHANNELS


@pytest.mark.parametrize(
    ("dtype", "full", "declared", "options"),
    [
        ("float32", 1, {}, {}),
        ("float64", 1, {}, {}),
        ("float32", 100, {}, {"max_value": 100}),
        ("uint8", 255, {}, {}),
        ("uint8", 200, {"scale": 1 / 200}, {}),
        ("uint8", 200, {}, {"max_value": 200}),
        ("uint8", 200, {"scale": 0.1}, {"max_value": 200}),
        ("uint16", 10_000, {"scale": 1e-4}, {}),
        ("uint16", 65_535, {}, {"max_value": 65_535}),
        ("int16", 2540, {"scale": 1 / 2540}, {}),
    ],
)
def test_values_become_levels(write, dtype, full, declared, options):
    values = (SHARES * full).astype(dtype)
    levels = read(write(values, **declared), **options)
    assert levels.dtype == np.uint8
    assert np.abs(levels[0] - values[0] * (254 / full)).max() <= 0.5001
    assert not levels[1:].any()


def test_a_declared_offset(write):
    values = (SHARES * 100 + 50).astype(np.uint8)
    path = write(values, scale=0.01, offset=-0.5)
    assert np.abs(read(path)[0] - (values[0] - 50.0) * 2.54).max() <= 0.5001
    with ProbabilityRaster.open(path) as raster:
        assert raster.meaning == "uint8, 150 means 1, 50 means 0"


@pytest.mark.parametrize(("dtype", "high"), [("uint8", 1), ("uint8", 255), ("uint16", 1), ("float32", 1)])
@pytest.mark.parametrize("nodata", [None, 9])
def test_masks(write, dtype, high, nodata):
    mask = np.random.default_rng(0).integers(0, 2, (1, 50, 60)) * high
    mask[0, :5] = 0 if nodata is None else nodata
    levels = read(write(mask.astype(dtype), nodata=nodata))
    assert np.array_equal(levels[0, 5:], mask[0, 5:] // high * 254)
    assert (levels[:, :5] == (0 if nodata is None else 255)).all()


def test_a_mask_can_be_told_from_small_probabilities(write):
    values = np.array([[[0, 1, 1, 0]]], np.uint8)
    assert read(write(values))[0].tolist() == [[0, 254, 254, 0]]
    assert read(write(values), max_value=255)[0].tolist() == [[0, 1, 1, 0]]
    assert read(write(values, scale=1 / 254))[0].tolist() == [[0, 1, 1, 0]]


def test_the_body_tells_how_edge_and_contact_are_read(write):
    values = np.stack([np.full((2, 3), value, np.uint8) for value in (200, 1, 0)])
    assert read(write(values), bands=(1, 2, 3))[:, 0, 0].tolist() == [199, 1, 0]


def test_a_value_above_1_in_the_last_row_is_no_mask(write):
    values = np.ones((1, 1300, 30), np.uint8)
    values[0, -1, -1] = 100
    assert (read(write(values))[0, :-1] == 1).all()


@pytest.mark.parametrize("nodata", [np.nan, -9999, None])
def test_what_is_nodata(write, nodata):
    values = SHARES.astype(np.float32)
    values[0, 1, 2:4] = np.nan if nodata is None else nodata
    values[0, 0, 0] = np.nan
    levels = read(write(values, nodata=nodata))
    expected = np.isnan(values[0]) | (values[0] == -9999)
    assert expected.sum() == 3
    assert np.array_equal(levels == 255, np.broadcast_to(expected, levels.shape))


def test_nodata_can_be_stated(write):
    path = write(np.array([[[0, 254, 255]]], np.uint8), scale=1 / 254)
    assert read(path, nodata=255)[0].tolist() == [[0, 254, 255]]
    with pytest.raises(SceneError, match=r"uint8, 254 means 1.* holds 255 to 255.*--max-value.*--nodata"):
        read(path)


def test_pixels_behind_a_mask_are_nodata(write):
    mask = np.full((4, 6), 255, np.uint8)
    mask[2] = 0
    levels = read(write(SHARES.astype(np.float32), mask=mask))
    assert np.array_equal(levels[0] == 255, mask == 0)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([-3.5, 0.2, 7]), "-3.5 to 7"),
        (np.array([0, 0.5, 1.01]), "1.01 to 1.01"),
        (np.array([0, 1, 9800], np.uint16), "9800 to 9800"),
    ],
)
def test_what_is_no_probability(write, values, found):
    path = write(values.reshape(1, 1, 3))
    with pytest.raises(SceneError, match=f"band 1 .* holds {found}"):
        read(path)


def test_rounding_is_forgiven(write):
    values = np.array([[[-1e-7, 1 + 1e-6]]])
    assert read(write(values))[0].tolist() == [[0, 254]]


def test_bands_by_name_and_number(write):
    values = np.stack([np.full((2, 3), value) for value in (0.1, 0.2, 0.3, 0.4)]).astype(np.float32)
    names = ("contact", "other", "body", "edge")
    path = write(values, names=names)
    assert read(path)[:, 0, 0].tolist() == [76, 102, 25]
    assert read(path, bands=(2,))[:, 0, 0].tolist() == [51, 0, 0]
    assert read(path, bands=(4, 1))[:, 0, 0].tolist() == [102, 25, 0]
    with ProbabilityRaster.open(path) as raster:
        assert raster.places == {"body": 3, "edge": 4, "contact": 1}
        assert not raster.warnings


def test_a_channel_without_a_band_is_0(write):
    values = np.stack([np.full((2, 3), value) for value in (0.1, 0.2)]).astype(np.float32)
    assert read(write(values, names=("contact", "body")))[:, 0, 0].tolist() == [51, 0, 25]


def test_which_band_is_the_body_is_a_guess(write):
    values = np.stack([np.full((2, 3), value) for value in (0.1, 0.2)]).astype(np.float32)
    with ProbabilityRaster.open(write(values)) as raster:
        assert "band 1 of 2" in raster.warnings[0]
        assert raster.places == {"body": 1}


def test_nodata_of_the_edge_alone_is_no_edge(write):
    values = np.full((3, 2, 3), 0.5, np.float32)
    values[1, 0, 0] = np.nan
    values[:, 1, 1] = np.nan
    levels = read(write(values), bands=(1, 2, 3))
    assert levels[:, 0, 0].tolist() == [127, 0, 127]
    assert levels[:, 1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "layout",
    [
        {"blockysize": 1},
        {"blockysize": 100},
        {"blockysize": 700},
        {"tiled": True, "blockxsize": 128, "blockysize": 256},
        {"tiled": True, "blockxsize": 64, "blockysize": 1536, "interleave": "band"},
        {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "pixel", "compress": "deflate"},
    ],
)
def test_every_layout_gives_every_pixel_once(write, noise, monkeypatch, layout):
    monkeypatch.setattr("geoconvnext.raster.probability.PIECE_PX", 2**15)
    values = noise(3, 1700, 700, high=255)
    path = write(values, scale=1 / 254, **layout)
    with ProbabilityRaster.open(path, bands=(1, 2, 3)) as raster:
        bands = list(raster.bands())
    assert np.array_equal(np.concatenate(bands, axis=1), values)
    assert max(band.shape[1] for band in bands) <= 1024


def test_a_mosaic_comes_back(tmp_path, noise):
    values = noise(3, 600, 90)
    values[:, values[0] == 255] = 255
    values[1:][(values[1:] == 255) & (values[0] != 255)] = 254
    transform = rasterio.Affine(0.25, 0, 5e5, 0, -0.25, 5e6)
    place = {"height": 600, "width": 90, "transform": transform, "crs": rasterio.CRS.from_epsg(32633)}
    with ProbabilityMosaic.create(tmp_path / "m.tif", channels=CHANNELS, tags={"A": "b"}, **place) as mosaic:
        mosaic.write_rows(0, values)
    with ProbabilityMosaic.open(tmp_path / "m.tif") as mosaic:
        mosaic.to_cog(tmp_path / "p.tif")
    for name in ("m.tif", "p.tif"):
        assert np.array_equal(read(tmp_path / name), values)
        with ProbabilityRaster.open(tmp_path / name) as raster:
            assert (raster.height, raster.width, raster.transform) == (600, 90, transform)
            assert raster.tags["A"] == "b"
            assert raster.gsd_m == pytest.approx(0.25, rel=0.01)
            assert raster.meaning == "uint8, 254 means 1"


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_impossible_largest_values(write, value):
    with pytest.raises(ConfigError, match="above 0"):
        ProbabilityRaster.open(write(SHARES), max_value=value)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_impossible_scales(write, scale):
    with pytest.raises(SceneError, match="declares a scale"):
        ProbabilityRaster.open(write(SHARES, scale=scale))


def test_what_cannot_be_opened(write, tmp_path):
    with pytest.raises(SceneError, match=r"missing\.tif"):
        ProbabilityRaster.open(tmp_path / "missing.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(SceneError, match="not a raster"):
        ProbabilityRaster.open(tmp_path / "text.tif")
    with pytest.raises(SceneError, match="complex"):
        ProbabilityRaster.open(write(np.ones((1, 4, 4), np.complex64)))
    path = write(SHARES)
    with pytest.raises(SceneError, match="bands 1 to 1"):
        ProbabilityRaster.open(path, bands=(1, 2))
    with pytest.raises(SceneError, match="body, edge, contact"):
        ProbabilityRaster.open(path, bands=(1, 1, 1, 1))
