import logging
import warnings

import pytest
import torch

from geoconvnext.errors import ConfigError
from geoconvnext.training.devices import Devices, choose_devices, quiet_lightning


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs, where torchrun has started so many processes on so many nodes."""

    def make(gpus, processes=None, nodes=1):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
        if processes:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
            monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
            monkeypatch.setenv("WORLD_SIZE", str(processes * nodes))

    return make


@pytest.mark.parametrize(
    ("gpus", "processes", "nodes", "expected"),
    [
        (0, None, 1, Devices("cpu", 1)),
        (4, None, 1, Devices("gpu", 4)),
        (4, 2, 1, Devices("gpu", 2)),
        (8, 8, 3, Devices("gpu", 8, 3)),
        (0, 2, 1, Devices("cpu", 2)),
    ],
)
def test_what_is_there_is_used(machine, gpus, processes, nodes, expected):
    machine(gpus, processes, nodes)
    assert choose_devices() == expected
    assert expected.world == (processes or max(gpus, 1)) * nodes


def test_more_processes_than_gpus(machine):
    machine(2, 4)
    with pytest.raises(ConfigError, match="torchrun started 4 processes, but there are 2 GPUs"):
        choose_devices()


def test_devices_are_described():
    assert Devices("cpu", 1).describe() == f"CPU ({torch.get_num_threads()} threads)"
    assert Devices("cpu", 2).describe().startswith("2 x CPU")


def test_lightning_is_quiet_for_a_while(caplog, recwarn):
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with quiet_lightning():
        logger.info("buy our product")
        warnings.warn_explicit("num_workers", UserWarning, "x.py", 1, module="lightning.pytorch.loops")
        warnings.warn_explicit("ours", UserWarning, "y.py", 1, module="geoconvnext.train")
    assert not caplog.records
    assert [str(warning.message) for warning in recwarn] == ["ours"]
    assert logger.level == level
