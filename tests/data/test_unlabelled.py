"""Samples of scenes that are drawn such that every pixel tells where it comes from."""

import pickle

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geoconvnext.data.unlabelled import CropSpec, UnlabelledSamples, unlabelled_loader
from geoconvnext.errors import ConfigError, LabelError, SceneError

NATIVE = (0.5, 0.5)  # the drawn scenes' own
LEFT, TOP = 500_000, 5_500_000


def spec(size=64, gsd_range_m=NATIVE, bands=3, mask_share=0.6):
    return CropSpec(bands=bands, size=size, gsd_range_m=gsd_range_m, mask_share=mask_share)


def samples_of(paths, crop=None, **options):
    options.setdefault("seed", 0)
    return UnlabelledSamples([str(path) for path in paths], crop or spec(), **options)


def noise(*shape, dtype=np.uint8, low=1, high=255):
    return np.random.default_rng(1).integers(low, high, shape, dtype=dtype)


def orientations(image):
    """All eight turns and mirrors of (bands, n, n)."""
    turned = [np.rot90(image, k, (1, 2)) for k in range(4)]
    return turned + [view[..., ::-1] for view in turned]


def is_seen(sample, views):
    """Which of the views a sample is, within the rounding of an average."""
    close = [np.abs(sample["image"].numpy().astype(float) - view).max() < 0.51 for view in views]
    assert sum(close) <= 1
    return close.index(True) if any(close) else None


def test_a_sample_of_the_whole_scene_is_the_scene_turned_or_mirrored(write_scene):
    pixels = noise(3, 64, 64)
    samples = samples_of([write_scene(pixels)])
    seen = {is_seen(samples[i], orientations(pixels)) for i in range(60)}
    assert seen == set(range(8))


def test_coarser_samples_are_averages(write_scene):
    pixels = noise(3, 128, 128)
    means = pixels.reshape(3, 64, 2, 64, 2).mean((2, 4))
    samples = samples_of([write_scene(pixels)], spec(gsd_range_m=(1.0, 1.0)))
    assert all(is_seen(samples[i], orientations(means)) is not None for i in range(5))


def test_the_ground_sampling_distance_is_drawn_from_the_range(write_scene):
    """On a ramp of one grey value per native column, the slope is the zoom."""
    ramp = np.tile(np.arange(240, dtype=np.uint8), (3, 240, 1))
    samples = samples_of([write_scene(ramp)], spec(gsd_range_m=(0.5, 1.5)))
    zooms = []
    for i in range(40):
        image = samples[i]["image"][0].numpy().astype(float)
        zooms.append(max(abs(image[0, -1] - image[0, 0]), abs(image[-1, 0] - image[0, 0])) / 63)
    assert min(zooms) > 0.95
    assert max(zooms) < 3.05
    assert np.ptp(zooms) > 1.5


def test_a_finer_scene_than_wanted_and_a_coarser_one(write_scene):
    fine = noise(3, 256, 256)
    means = fine.reshape(3, 64, 4, 64, 4).mean((2, 4))
    path = write_scene(fine, transform=Affine(0.1, 0, LEFT, 0, -0.1, TOP))
    assert is_seen(samples_of([path], spec(gsd_range_m=(0.4, 0.4)))[0], orientations(means)) is not None
    # Coarser than the range: enlarged to it, as for prediction.
    path = write_scene(noise(3, 64, 64), "coarse.tif", transform=Affine(2, 0, LEFT, 0, -2, TOP))
    image = samples_of([path], spec(gsd_range_m=(0.5, 1.0)))[0]["image"].numpy().astype(float)
    contrast, native = (np.abs(np.diff(view)).mean() for view in (image, fine.astype(float)))
    assert 0 < contrast < 0.7 * native


def same(one, two):
    return all((one[name] == two[name]).all() for name in one)


def test_a_sample_depends_on_seed_and_number_alone(write_scene):
    path = write_scene(noise(3, 200, 300))
    wide = spec(gsd_range_m=(0.5, 1.0))
    samples, again, other = (samples_of([path], wide, seed=seed) for seed in (1, 1, 2))
    order = [3, 0, 2, 1]
    drawn = {i: again[i] for i in order}
    assert all(same(samples[i], drawn[i]) for i in range(4))
    assert not same(samples[0], samples[1])
    assert not same(samples[0], other[0])


def test_scenes_that_do_not_fit_into_memory_give_the_same_samples(write_scene):
    path = write_scene(noise(3, 150, 200))
    loaded, opened = (samples_of([path], memory_bytes=size) for size in (10**6, 10**3))
    assert all(same(loaded[i], opened[i]) for i in range(10))
    sent = pickle.loads(pickle.dumps(opened))  # as to a worker, where processes are not forked
    assert same(loaded[10], sent[10])


def test_scenes_are_drawn_by_their_area(write_scene):
    small, large = np.full((3, 64, 64), 10, np.uint8), np.full((3, 128, 128), 20, np.uint8)
    samples = samples_of([write_scene(small, "small.tif"), write_scene(large, "large.tif")])
    values = [int(samples[i]["image"].max()) for i in range(200)]
    assert 20 < values.count(10) < 62  # a fifth


@pytest.mark.parametrize(("mask_share", "visible"), [(0.6, 6), (0.75, 4), (0.99, 1), (0.01, 15)])
def test_so_many_patches_are_hidden(write_scene, mask_share, visible):
    samples = samples_of([write_scene(noise(3, 200, 200))], spec(size=128, mask_share=mask_share))
    for i in range(5):
        sample = samples[i]
        assert sample["image"].shape == (3, 128, 128)
        assert sample["visible"].sum() == visible
        assert (sample["visible"] ^ sample["wanted"]).all()
    drawn = sum(samples[i]["visible"].float() for i in range(100))
    assert (drawn > 0).all()


def test_patches_without_data_are_hidden_and_not_wanted(write_scene):
    pixels = noise(3, 256, 256)
    pixels[:, :, :100] = 0
    samples = samples_of([write_scene(pixels, nodata=0)], spec(size=128))
    gaps = 0
    for i in range(40):
        sample = samples[i]
        lacks = (sample["image"] == 0).all(0).reshape(4, 32, 4, 32).any(3).any(1)
        assert sample["visible"].sum() == 6
        assert not (sample["visible"] & sample["wanted"]).any()
        assert ((sample["visible"] | sample["wanted"]) == ~lacks).all()
        gaps += bool(lacks.any())
    assert gaps > 5


def test_a_scene_smaller_than_a_sample(write_scene):
    samples = samples_of([write_scene(noise(3, 100, 140))], spec(size=128, mask_share=0.7))
    for i in range(10):
        sample = samples[i]
        assert (sample["visible"] | sample["wanted"]).sum() == 12
        assert (sample["image"][:, :96, :96] > 0).any()


def test_bands_and_sample_formats(write_scene):
    pixels = noise(5, 128, 128, dtype=np.uint16, low=200, high=3000)
    sample = samples_of([write_scene(pixels)], spec(bands=5))[0]
    assert sample["image"].shape == (5, 64, 64)
    assert sample["image"].float().std() > 40  # stretched to the range of grey values


def write_areas(path, *boxes, crs="EPSG:32633"):
    """Boxes in metres east and south of the scenes' corner."""
    shapes = [shapely.box(LEFT + w, TOP - s, LEFT + e, TOP - n) for w, n, e, s in boxes]
    table = gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32633")
    (table.to_crs(crs) if crs else table.set_crs(None, allow_override=True)).to_file(path)
    return path


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
@pytest.mark.parametrize("memory_bytes", [10**7, 0])
def test_areas_left_out_are_never_touched(write_scene, tmp_path, crs, memory_bytes):
    pixels = noise(3, 300, 300, high=200)
    pixels[:, 100:140, 160:200] = 255
    path = write_scene(pixels)
    areas = write_areas(tmp_path / "areas.gpkg", (80, 50, 100, 70), crs=crs)
    crop = spec(gsd_range_m=(0.5, 0.8))
    free = samples_of([path], crop, memory_bytes=memory_bytes)
    kept = samples_of([path], crop, memory_bytes=memory_bytes, leave_out=areas)
    assert max(free[i]["image"].max() for i in range(40)) == 255
    assert max(kept[i]["image"].max() for i in range(150)) < 200
    # The ground around it is used, up to its edge.
    assert not all(same(free[i], kept[i]) for i in range(40))


def test_everything_is_left_out(write_scene, tmp_path):
    areas = write_areas(tmp_path / "areas.geojson", (-10, -10, 500, 500), crs="EPSG:4326")
    samples = samples_of([write_scene(noise(3, 100, 100))], leave_out=areas)
    with pytest.raises(SceneError, match=r"random places .* leave_out; give more scenes"):
        samples[0]


def test_areas_without_a_crs(write_scene, tmp_path):
    areas = write_areas(tmp_path / "areas.gpkg", (0, 0, 9, 9), crs=None)
    with pytest.raises(LabelError, match="has no CRS"):
        samples_of([write_scene(noise(3, 100, 100))], leave_out=areas)


def test_scenes_that_cannot_be_used_are_named_and_skipped(write_scene, tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0 not an image")
    scenes = [
        tmp_path / "broken.tif",
        write_scene(noise(3, 100, 100), "nowhere.tif", crs=None, transform=None),
        write_scene(noise(3, 60, 100), "narrow.tif"),
        write_scene(noise(1, 100, 100), "grey.tif"),
        write_scene(noise(3, 100, 100), "good.tif"),
    ]
    samples = samples_of(scenes)
    assert [scene.path for scene in samples.scenes] == [str(scenes[-1])]
    reasons = ["not a raster", "no georeference", "too few for samples of 64", "band"]
    for reason, skipped, scene in zip(reasons, samples.skipped, scenes[:-1], strict=True):
        assert reason in skipped
        assert scene.name in skipped
    with pytest.raises(SceneError, match=r"none of 2 can be used\n.*broken.tif.*\n.*nowhere.tif"):
        samples_of(scenes[:2])


def test_a_damaged_scene_is_named_once(write_scene, capsys):
    good, bad = (write_scene(noise(3, 256, 256), name, tiled=True, blockxsize=64, blockysize=64)
                 for name in ("good.tif", "bad.tif"))  # fmt: skip
    with bad.open("rb+") as file:
        file.truncate(bad.stat().st_size // 4)
    assert [bad.name in reason for reason in samples_of([good, bad]).skipped] == [True]
    samples = samples_of([good, bad], memory_bytes=0)
    for i in range(10):
        assert samples[i]["visible"].sum() == 2
    said = capsys.readouterr().err
    assert said.count("damaged: ") == 1
    assert bad.name in said


def test_batches_go_on_where_they_stopped(write_scene):
    samples = samples_of([write_scene(noise(3, 100, 100))])
    whole = list(unlabelled_loader(samples, batch_size=2, first_batch=0, batches=4, workers=0))
    rest = list(unlabelled_loader(samples, batch_size=2, first_batch=1, batches=4, workers=1))
    assert [len(batch["image"]) for batch in whole] == [2, 2, 2, 2]
    assert all(same(one, two) for one, two in zip(whole[1:], rest, strict=True))
    assert same({name: value[1] for name, value in whole[2].items()}, samples[5])


def test_a_range_upside_down():
    with pytest.raises(ConfigError, match="positive ascending"):
        spec(gsd_range_m=(0.6, 0.3))
