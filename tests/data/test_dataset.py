import numpy as np
import pytest
import torch
from affine import Affine

from geoconvnext.data.dataset import SampleSpec, TrainingSamples, ValidationSamples
from geoconvnext.data.loaders import training_loader, validation_loader
from geoconvnext.data.targets import IGNORE
from geoconvnext.data.tiles import FINENESS, TileFolder, TileRecord
from geoconvnext.errors import LabelError

SPEC = SampleSpec(size=64, scale=2, gsd_range_m=(0.3, 0.5))


@pytest.fixture
def tile_set(tmp_path):
    """Write tiles (height, width) with a bright building in the middle; returns the folder."""

    def write(name, *sizes, gsd_m=0.3, separate=True):
        folder = TileFolder(tmp_path / name)
        for i, (height, width) in enumerate(sizes):
            image = np.full((3, height, width), 40, np.uint8)
            labels = np.zeros((height * FINENESS, width * FINENESS), np.uint16)
            image[:, height // 4 : height // 2, width // 4 : width // 2] = 220
            labels[height // 2 : height, width // 2 : width] = 1
            record = TileRecord(f"t{i}", "scene.tif", gsd_m, separate, 0.06, "CC0")
            folder.write(record, image, labels, transform=Affine.scale(gsd_m, -gsd_m), crs=None)
        return folder.path

    return write


@pytest.mark.parametrize(
    ("tile_gsd_m", "expected"),
    [(0.3, (1.0, 5 / 3)), (0.1, (3.0, 5.0)), (0.5, (0.6, 1.0)), (0.8, (0.5, 0.625)), (2.0, (0.5, 0.5))],
)
def test_zoom_range_brings_tiles_to_the_networks_gsd(tile_gsd_m, expected):
    assert SPEC.zoom_range(tile_gsd_m) == pytest.approx(expected)


def check(item, size, scale):
    fine = size * scale
    assert (item["image"].shape, item["image"].dtype) == ((3, size, size), torch.uint8)
    for name in ("body", "edge", "contact"):
        assert (item[name].shape, item[name].dtype) == ((fine, fine), torch.uint8)
        assert set(item[name].unique().tolist()) <= {0, 1, IGNORE}
    assert item["orientation"].shape == (2, fine // 4, fine // 4)
    assert item["orientation"].dtype == torch.float32


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_training_samples(tile_set, scale):
    spec = SampleSpec(size=64, scale=scale, gsd_range_m=(0.3, 0.5))
    samples = TrainingSamples([(tile_set("a", (128, 160), (40, 30)), 1.0)], spec)
    assert len(samples) == 2
    for index in (0, 1):
        check(samples[index], 64, scale)


def test_weights_share_the_samples_among_folders(tile_set):
    folders = [(tile_set("a", *[(64, 64)] * 3), 1.0), (tile_set("b", (64, 64)), 3.0)]
    samples = TrainingSamples(folders, SPEC)
    assert samples.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 3.0])
    assert [folder.path.name for folder, _ in samples.tiles] == ["a", "a", "a", "b"]


def test_the_seed_of_torch_decides_on_the_crop(tile_set):
    samples = TrainingSamples([(tile_set("a", (160, 160)), 1.0)], SPEC)
    bodies = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        bodies.append(samples[0]["body"])
    assert torch.equal(bodies[0], bodies[1])
    assert not torch.equal(bodies[0], bodies[2])


def test_crops_stay_inside_large_tiles(tile_set):
    samples = TrainingSamples([(tile_set("a", (200, 240)), 1.0)], SPEC)
    rng = np.random.default_rng(0)
    for crop in (samples._draw(rng, (200, 240), 0.3) for _ in range(200)):
        assert 1.0 <= crop.zoom <= 5 / 3
        half = crop.zoom * 64 / 2
        assert half <= crop.row <= 200 - half
        assert half <= crop.col <= 240 - half


def test_tiles_without_separate_buildings_have_no_contact(tile_set):
    samples = TrainingSamples([(tile_set("a", (128, 128), separate=False), 1.0)], SPEC)
    assert (samples[0]["contact"] == IGNORE).all()


def test_validation_covers_every_pixel(tile_set):
    samples = ValidationSamples([tile_set("a", (150, 64), (20, 100))], SPEC)
    covered = {"t0": np.zeros((150, 64), int), "t1": np.zeros((20, 100), int)}
    for _, record, source, crop in samples.crops:
        assert source == "a"
        assert (crop.angle, crop.mirror, crop.zoom) == (0.0, False, 1.0)
        top, left = round(crop.row - 32), round(crop.col - 32)
        covered[record.name][max(top, 0) : top + 64, max(left, 0) : left + 64] += 1
    assert all(count.min() == 1 for count in covered.values())
    assert len(samples) == 3 + 2


def test_validation_keeps_the_pixels(tile_set):
    samples = ValidationSamples([tile_set("a", (64, 64))], SPEC)
    item = samples[0]
    check({name: value for name, value in item.items() if name != "source"}, 64, 2)
    assert item["image"][0, 16:32, 16:32].eq(220).all()
    assert item["body"].sum() == 32 * 32
    assert item["body"][32:64, 32:64].all()


def test_fine_tiles_are_validated_at_the_networks_gsd(tile_set):
    samples = ValidationSamples([tile_set("a", (192, 192), gsd_m=0.1)], SPEC)
    assert len(samples) == 1
    assert samples.crops[0][3].zoom == pytest.approx(3.0)
    share = (samples[0]["body"] == 1).float().mean().item()
    assert share == pytest.approx(1 / 16, abs=0.005)


def test_missing_folder(tmp_path):
    with pytest.raises(LabelError, match="no tile set at"):
        TrainingSamples([(tmp_path / "none", 1.0)], SPEC)
    with pytest.raises(LabelError, match="no tile set at"):
        ValidationSamples([tmp_path / "none"], SPEC)


def test_loaders(tile_set):
    path = tile_set("a", (64, 64), (64, 64), (64, 64))
    training = training_loader(TrainingSamples([(path, 1.0)], SPEC), batches=5, batch_size=2, workers=0)
    assert [len(batch["image"]) for batch in training] == [2] * 5
    validation = validation_loader(ValidationSamples([path], SPEC), batch_size=2, workers=0)
    assert [batch["source"] for batch in validation] == [["a", "a"], ["a"]]
