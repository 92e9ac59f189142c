"""Two processes with half of the batch each have the loss and the gradient of one process with all of it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.functional import avg_pool2d
from torch.nn.parallel import DistributedDataParallel

from geoconvnext.model.losses import IGNORE, LossWeights, building_loss

WEIGHTS = LossWeights(focus=2.0, image=0.5, affinity=0.5)
CHANNELS = {"body": 1, "edge": 1, "contact": 1, "orientation": 2, "image": 3}
SIZE = 32


class TinyNet(nn.Module):
    """All outputs of a network in training, from one convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, sum(CHANNELS.values()), 3, padding=1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = self.conv(image.float() / 255)
        outputs = dict(zip(CHANNELS, found.split(list(CHANNELS.values()), dim=1), strict=True))
        return outputs | {
            "auxiliary": avg_pool2d(outputs["body"], 16),
            "mask_features": found[:, :4],
            "image_features": outputs["image"],
        }


def made_up_batch() -> dict[str, Tensor]:
    """Of each sample another part is unlabelled, so that no count is the same in both processes."""
    generator = torch.Generator().manual_seed(1)
    draw = {"generator": generator, "dtype": torch.uint8}
    batch = {"image": torch.randint(0, 256, (4, 3, SIZE, SIZE), **draw)}
    for name, top in (("body", 254), ("edge", 1), ("contact", 1)):
        batch[name] = torch.randint(0, top + 1, (4, SIZE, SIZE), **draw)
    for sample, rows in enumerate((0, 10, 25, SIZE)):
        batch["body"][sample, :rows] = IGNORE
    batch["orientation"] = torch.randn(4, 2, SIZE // 4, SIZE // 4, generator=generator)
    return batch | {"fine": batch["image"].flip(0), "fine_known": torch.tensor([True, False, False, False])}


def loss_and_gradient(net: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    parts = building_loss(net(batch["image"]), batch, WEIGHTS)
    torch.autograd.backward(parts["loss"])
    gradients = {name.removeprefix("module."): p.grad for name, p in net.named_parameters()}
    return {name: value.detach() for name, value in {**parts, **gradients}.items() if value is not None}


def run_half(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    arguments: dict[str, Any] = {"init_method": f"file://{folder / 'meeting'}", "rank": rank, "world_size": 2}
    distributed.init_process_group("gloo", **arguments)
    half = {name: value[2 * rank : 2 * rank + 2] for name, value in made_up_batch().items()}
    torch.save(loss_and_gradient(DistributedDataParallel(TinyNet()), half), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    multiprocessing.spawn(run_half, args=(tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    expected = loss_and_gradient(TinyNet(), made_up_batch())
    assert {"body", "dice", "image", "affinity", "loss", "conv.weight"} < expected.keys()
    assert all(value.any() for value in expected.values())
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
