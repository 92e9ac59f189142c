import numpy as np
import pytest
import torch
from affine import Affine
from shapely import box

from geoconvnext.data.augment import Augmentation
from geoconvnext.data.dataset import SampleSpec, TrainingSamples, ValidationSamples
from geoconvnext.data.loaders import training_loader, validation_loader
from geoconvnext.data.tiles import TileFolder, TileRecord

SPECS = [
    (SampleSpec(size=64, scale=1, gsd_range_m=(0.3, 0.5)), 1.0),
    (SampleSpec(size=32, scale=2, gsd_range_m=(0.5, 0.7)), 1.0),
]


@pytest.fixture
def folder(tmp_path):
    tiles = TileFolder(tmp_path / "tiles")
    rng = np.random.default_rng(0)
    for i in range(5):
        image = rng.integers(0, 256, (3, 90, 90)).astype(np.uint8)
        record = TileRecord(
            f"t{i}", "scene.tif", 0.3, separate=True, building_share=0.1, licence="", buildings=1
        )
        roof = box(6, -15, 15, -6)
        transform = Affine.scale(0.3, -0.3)
        tiles.write(record, image, [roof], np.ones((90, 90), bool), transform=transform, crs="EPSG:32633")
    return tiles.path


@pytest.fixture
def samples(folder):
    return TrainingSamples([(folder, 1.0)], SPECS, Augmentation(copy_paste=0.3), fine_image=True)


def load(samples, **options):
    return list(
        training_loader(samples, **{"batch_size": 4, "workers": 0, "seed": 7, "batches": 6, **options})
    )


def check_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_batches(samples):
    batches = load(samples)
    assert [len(batch["image"]) for batch in batches] == [4] * 6
    assert {batch["image"].shape[-1] for batch in batches} == {32, 64}
    assert all(batch["body"].shape[-1] == 64 for batch in batches)
    assert len({batch["image"].numpy().tobytes() for batch in batches}) == 6
    assert not torch.equal(load(samples, seed=8)[0]["image"], batches[0]["image"])


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_makes_the_same_batches(samples, workers):
    check_equal(load(samples, workers=workers), load(samples))


def test_a_resumed_run_sees_what_the_uninterrupted_one_would(samples):
    check_equal(load(samples, first_batch=4, batches=2), load(samples)[4:])


def test_a_loader_knows_its_length(samples):
    assert len(training_loader(samples, batch_size=4, workers=0, seed=7, first_batch=9, batches=2)) == 2


def test_processes_share_the_batches_of_one(samples):
    alone = load(samples, batch_size=4)
    shares = [load(samples, batch_size=2, rank=rank, world=2) for rank in (0, 1)]
    together = [
        {name: torch.cat([one[name], other[name]]) for name in one}
        for one, other in zip(*shares, strict=True)
    ]
    check_equal(together, alone)


def test_validation_in_order(folder):
    samples = ValidationSamples([folder], SPECS[0][0])
    batches = list(validation_loader(samples, batch_size=8, workers=1))
    assert [len(batch["image"]) for batch in batches] == [8, 8, 4]
    names = [name for batch in batches for name in batch["name"]]
    assert names == [f"t{i}" for i in range(5) for _ in range(4)]
    assert {source for batch in batches for source in batch["source"]} == {"tiles"}
