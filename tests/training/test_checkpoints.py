import pytest
import torch

from geoconvnext.errors import OutputError, WeightsError
from geoconvnext.training.checkpoints import Checkpoint, load_checkpoint, save_checkpoint


def checkpoint(size=4):
    return Checkpoint(
        3, 0.5, {"layer": torch.arange(size)}, {"layer": {"step": torch.tensor(3.0), "on": True}}
    )


def test_round_trip(tmp_path, listing):
    path = tmp_path / "new" / "last.ckpt"
    save_checkpoint(path, checkpoint())
    save_checkpoint(path, checkpoint())
    found = load_checkpoint(path)
    assert (found.step, found.best) == (3, 0.5)
    assert torch.equal(found.weights["layer"], torch.arange(4))
    assert found.optimizer == {"layer": {"step": torch.tensor(3.0), "on": True}}
    assert listing(tmp_path) == ["new", "new/last.ckpt"]


@pytest.mark.parametrize("content", [b"", b"half of a checkp", None])
def test_a_damaged_checkpoint(tmp_path, content):
    path = tmp_path / "last.ckpt"
    if content is None:
        torch.save({"epoch": 3}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"checkpoint .*last.ckpt is damaged"):
        load_checkpoint(path)


def test_a_full_disk_leaves_the_old_one(small_disk, listing):
    disk = small_disk("1m")
    save_checkpoint(disk / "last.ckpt", checkpoint())
    with pytest.raises(OutputError, match="make room and go on with --resume"):
        save_checkpoint(disk / "last.ckpt", checkpoint(1_000_000))
    assert len(load_checkpoint(disk / "last.ckpt").weights["layer"]) == 4
    assert listing(disk) == ["last.ckpt"]
