import math

import numpy as np
import pytest
import torch
from affine import Affine
from shapely import affinity, box

from geoconvnext.data.augment import Augmentation
from geoconvnext.data.dataset import SampleSpec, TrainingSamples, ValidationSamples
from geoconvnext.data.targets import IGNORE, WHOLE
from geoconvnext.data.tiles import TileFolder, TileRecord
from geoconvnext.errors import LabelError

SPEC = SampleSpec(size=64, scale=2, gsd_range_m=(0.3, 0.5))
PLAIN = Augmentation(rotate=0, colour=0, haze=0, sensor=0)
GROUND, ROOF = 40, 220


@pytest.fixture
def tile_set(tmp_path):
    """Write tiles (height, width) with a bright building in their second quarter; returns the folder."""

    def write(name, *sizes, gsd_m=0.3, separate=True, bands=3):
        folder = TileFolder(tmp_path / name)
        for i, (height, width) in enumerate(sizes):
            image = np.full((bands, height, width), GROUND, np.uint8)
            image[:, height // 4 : height // 2, width // 4 : width // 2] = ROOF
            roof = box(width // 4, height // 4, width // 2, height // 2)
            record = TileRecord(f"t{i}", "scene.tif", gsd_m, separate, 0.06, "CC0", buildings=1)
            folder.write(
                record,
                image,
                [affinity.scale(roof, gsd_m, -gsd_m, origin=(0, 0))],
                np.ones((height, width), bool),
                transform=Affine.scale(gsd_m, -gsd_m),
                crs="EPSG:32633",
            )
        return folder.path

    return write


def training(*folders, spec=SPEC, augmentation=PLAIN, **options):
    return TrainingSamples([(path, 1.0) for path in folders], [(spec, 1.0)], augmentation, **options)


def damage(folder, name="t0"):
    path = folder / f"{name}.tif"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("tile_gsd_m", "expected"),
    [(0.1, (0.3, 0.5)), (0.5, (0.3, 0.5)), (0.8, (0.4, 0.5)), (2.0, (1.0, 1.0))],
)
def test_coarse_tiles_are_enlarged_twice_at_most(tile_gsd_m, expected):
    assert SPEC.gsd_range_of(tile_gsd_m) == pytest.approx(expected)


def check(item, size, scale, bands=3):
    fine = size * scale
    assert (item["image"].shape, item["image"].dtype) == ((bands, size, size), torch.uint8)
    for name in ("body", "edge", "contact"):
        assert (item[name].shape, item[name].dtype) == ((fine, fine), torch.uint8)
    for name in ("edge", "contact"):
        assert set(item[name].unique().tolist()) <= {0, 1, IGNORE}
    assert item["orientation"].shape == (2, fine // 4, fine // 4)
    assert item["orientation"].dtype == torch.float32


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_training_samples(tile_set, scale, bands):
    spec = SampleSpec(size=64, scale=scale, gsd_range_m=(0.3, 0.5))
    path = tile_set("a", (128, 160), (40, 30), bands=bands)
    samples = training(path, spec=spec, augmentation=Augmentation(), bands=bands)
    assert len(samples) == 2
    for seed in range(4):
        item = samples[seed % 2, 0, seed]
        assert set(item) == {"image", "body", "edge", "contact", "orientation"}
        check(item, 64, scale, bands)


def test_image_and_targets_show_the_same(tile_set):
    samples = training(
        tile_set("a", (128, 128)), augmentation=Augmentation(rotate=1, colour=0, haze=0, sensor=0)
    )
    for seed in range(8):
        item = samples[0, 0, seed]
        seen = (item["image"][0].double() - GROUND) / (ROOF - GROUND)
        known = (item["body"] != IGNORE).reshape(64, 2, 64, 2).all(3).all(1)
        share = (item["body"].double() / WHOLE).reshape(64, 2, 64, 2).mean(dim=(1, 3))
        assert known.double().mean() > 0.5
        assert (seen - share)[known].abs().mean() < 0.01


def test_the_seed_decides_on_everything(tile_set):
    samples = training(tile_set("a", (160, 160)), augmentation=Augmentation(copy_paste=0.5))
    first, other = samples[0, 0, 1], samples[0, 0, 2]
    torch.manual_seed(99)
    again = samples[0, 0, 1]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["image"], other["image"])
    assert not torch.equal(first["body"], other["body"])


def test_each_specification_makes_its_samples(tile_set):
    coarse = SampleSpec(size=32, scale=4, gsd_range_m=(0.6, 0.6))
    samples = TrainingSamples([(tile_set("a", (192, 192)), 1.0)], [(SPEC, 3.0), (coarse, 1.0)], PLAIN)
    check(samples[0, 0, 0], 64, 2)
    check(samples[0, 1, 0], 32, 4)
    batches = [samples.draw(np.random.default_rng(seed), 5) for seed in range(200)]
    specs = [{spec for _, spec, _ in batch} for batch in batches]
    assert all(len(spec) == 1 for spec in specs)
    assert specs.count({0}) / 200 == pytest.approx(0.75, abs=0.1)


def test_tile_sets_are_drawn_from_by_their_shares(tile_set):
    folders = [(tile_set("a", *[(64, 64)] * 3), 1.0), (tile_set("b", (64, 64)), 3.0)]
    samples = TrainingSamples(folders, [(SPEC, 1.0)], PLAIN)
    assert [folder.path.name for folder, _ in samples.tiles] == ["a", "a", "a", "b"]
    drawn = samples.draw(np.random.default_rng(0), 4000)
    counts = np.bincount([tile for tile, _, _ in drawn], minlength=4) / 4000
    np.testing.assert_allclose(counts, [1 / 12, 1 / 12, 1 / 12, 3 / 4], atol=0.03)
    assert len({seed for _, _, seed in drawn}) == 4000


def test_samples_are_within_the_range_of_ground_sampling_distances(tile_set):
    samples = training(tile_set("a", (400, 400)))
    sizes = [
        math.sqrt((item["body"] == WHOLE).sum().item()) for item in (samples[0, 0, s] for s in range(60))
    ]
    # 100 pixels of 0.3 m, on pixels of 0.15 to 0.25 m; crops may not hold all of it.
    assert 100 * 0.3 / 0.16 > max(sizes) > 100


@pytest.mark.parametrize(("gsd_m", "sharp"), [(0.15, True), (0.4, False)])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_fine_image(tile_set, gsd_m, sharp, scale):
    gsd_range_m = (0.15 * scale, 0.15 * scale)
    spec = SampleSpec(size=32, scale=scale, gsd_range_m=gsd_range_m)
    samples = training(tile_set("a", (200, 200), gsd_m=gsd_m), spec=spec, fine_image=True)
    item = samples[0, 0, 3]
    check(item, 32, scale)
    assert (item["fine"].shape, item["fine"].dtype) == ((3, 32 * scale, 32 * scale), torch.uint8)
    assert item["fine_known"].dtype == torch.bool
    assert item["fine_known"].item() == sharp
    average = item["fine"].double().reshape(3, 32, scale, 32, scale).mean(dim=(2, 4))
    assert (average - item["image"]).abs().max() <= 0.51


def test_the_sensor_sees_less_than_the_fine_image(tile_set):
    spec = SampleSpec(size=32, scale=2, gsd_range_m=(0.6, 0.6))
    only_sensor = Augmentation(rotate=0, colour=0, haze=0, sensor=1)
    samples = training(tile_set("a", (80, 80)), spec=spec, augmentation=only_sensor, fine_image=True)
    for seed in range(5):
        item = samples[0, 0, seed]
        ideal = item["fine"].double().reshape(3, 32, 2, 32, 2).mean(dim=(2, 4))
        assert (ideal - item["image"]).abs().max() > 1


def test_tiles_without_separate_buildings_have_no_contact(tile_set):
    samples = training(tile_set("a", (128, 128), separate=False))
    assert (samples[0, 0, 0]["contact"] == IGNORE).all()


def test_damaged_tiles_are_named_once_and_replaced(tile_set, capsys):
    path = tile_set("a", *[(100, 100)] * 3)
    samples = training(path)
    assert samples.damaged() == []
    damage(path, "t1")
    assert samples.damaged() == ["a/t1"]
    replaced = [samples[1, 0, seed] for seed in (5, 5, 6)]
    assert torch.equal(replaced[0]["body"], replaced[1]["body"])
    check(replaced[2], 64, 2)
    error = capsys.readouterr().err
    assert error.count("t1 of") == error.count("\n") == 1
    assert "left out: tile t1" in error


@pytest.mark.parametrize("make", [training, lambda path: ValidationSamples([path], SPEC)])
def test_tile_sets_that_cannot_be_used(tile_set, tmp_path, make):
    with pytest.raises(LabelError, match="no tile set at"):
        make(tmp_path / "none")
    with pytest.raises(LabelError, match="grey must have the 3 bands of the network; found 1 in t0"):
        make(tile_set("grey", (64, 64), bands=1))
    path = tile_set("broken", (64, 64))
    damage(path)
    with pytest.raises(LabelError, match=r"no tile of .*broken can be read"):
        make(path)


def test_a_set_all_of_whose_tiles_went_away_is_an_error(tile_set):
    path = tile_set("a", (64, 64))
    samples = training(path)
    damage(path)
    with pytest.raises(LabelError, match="100 tiles in a row cannot be read"):
        samples[0, 0, 0]


def test_validation_covers_every_pixel(tile_set):
    samples = ValidationSamples([tile_set("a", (150, 64), (20, 100))], SPEC)
    covered = {"t0": np.zeros((150, 64), int), "t1": np.zeros((20, 100), int)}
    for _, record, source, crop in samples.crops:
        assert source == "a"
        assert (crop.angle, crop.mirror, crop.side) == (0.0, False, 64)
        top, left = round(crop.row - 32), round(crop.col - 32)
        covered[record.name][max(top, 0) : top + 64, max(left, 0) : left + 64] += 1
    assert all(count.min() == 1 for count in covered.values())
    assert len(samples) == 3 + 2


def test_validation_keeps_the_pixels(tile_set):
    item = ValidationSamples([tile_set("a", (64, 64))], SPEC)[0]
    assert (item.pop("source"), item.pop("name")) == ("a", "t0")
    check(item, 64, 2)
    assert item["image"][0, 16:32, 16:32].eq(ROOF).all()
    assert item["body"].double().sum() == 32 * 32 * WHOLE
    assert item["body"][32:64, 32:64].eq(WHOLE).all()


def test_fine_tiles_are_validated_at_the_networks_gsd(tile_set):
    samples = ValidationSamples([tile_set("a", (192, 192), gsd_m=0.1)], SPEC)
    assert len(samples) == 1
    share = (samples[0]["body"].double() / WHOLE).mean().item()
    assert share == pytest.approx(1 / 16, abs=1e-3)
    assert samples[0]["image"][0, 16:32, 16:32].eq(ROOF).all()


def test_validation_leaves_damaged_tiles_out(tile_set, capsys):
    path = tile_set("a", *[(64, 64)] * 3)
    damage(path, "t1")
    samples = ValidationSamples([path], SPEC)
    assert samples.damaged == ["a/t1"]
    assert [samples[i]["name"] for i in range(len(samples))] == ["t0", "t2"]
    assert capsys.readouterr().err.count("left out: tile t1") == 1


def test_validation_needs_a_tile(tile_set):
    path = tile_set("a", (64, 64))
    (path / "t0.fgb").write_bytes(b"")
    with pytest.raises(LabelError, match="none of the 1 validation tiles can be read"):
        ValidationSamples([path], SPEC)


def test_sources_of_the_same_name_are_told_apart(tile_set):
    samples = ValidationSamples([tile_set("north/val", (64, 64)), tile_set("south/val", (64, 64))], SPEC)
    assert [samples[i]["source"] for i in range(2)] == ["north/val", "south/val"]
