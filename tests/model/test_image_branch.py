"""The image branch: shapes, what it learns, and that it is no part of the network."""

import pytest
import torch

from geoconvnext.model.image_branch import ImageBranch
from geoconvnext.model.losses import LossWeights, building_loss
from geoconvnext.model.net import NetSpec, build_net

SPEC = NetSpec(
    encoder="convnext_atto", decoder_channels=16, scale=2, bands=4, mean=(90.0,) * 4, std=(50.0,) * 4
)


@pytest.mark.parametrize("scale", [1, 2])
def test_shapes(scale: int) -> None:
    outputs = ImageBranch(SPEC)(torch.randn(2, 16, 8, 4), scale)
    assert outputs["image"].shape == (2, 4, 32 * scale, 16 * scale)
    assert outputs["image_features"].shape == (2, 16, 32 * scale, 16 * scale)


def test_an_untrained_branch_paints_grey_values_like_the_mean() -> None:
    torch.manual_seed(0)
    image = ImageBranch(SPEC)(0.1 * torch.randn(2, 16, 8, 8), 2)["image"]
    assert (image - 90 / 255).abs().max() < 0.3


def test_its_loss_trains_the_encoder_and_nothing_of_it_is_in_the_network() -> None:
    torch.manual_seed(0)
    net, branch, weights = build_net(SPEC).train(), ImageBranch(SPEC), LossWeights(image=1.0)
    names = set(net.state_dict())
    image = torch.randint(0, 256, (2, 4, 32, 32), dtype=torch.uint8)
    batch = {"body": torch.zeros(2, 64, 64, dtype=torch.uint8)}
    batch |= {"edge": batch["body"], "contact": batch["body"], "orientation": torch.zeros(2, 2, 16, 16)}
    batch |= {"fine": image.repeat_interleave(2, -1).repeat_interleave(2, -2), "fine_known": torch.ones(2)}
    outputs = net(image)
    outputs |= branch(outputs["decoded"], 2)
    parts = building_loss(outputs, batch, weights)
    torch.autograd.backward(parts["image"])
    stem = net.get_parameter("encoder.trunk.stem.0.weight").grad
    assert stem is not None
    assert stem.any()
    assert weights.image_branch
    assert not LossWeights().image_branch
    assert set(net.state_dict()) == names


def test_it_can_learn_an_image() -> None:
    """The branch alone, from fixed features: an image of two halves within some steps."""
    torch.manual_seed(0)
    branch, decoded = ImageBranch(SPEC), torch.zeros(1, 16, 4, 4)
    decoded[..., 2:] = 1
    truth = torch.full((1, 4, 16, 16), 0.2)
    truth[..., 8:] = 0.9
    optimizer = torch.optim.Adam(branch.parameters(), lr=0.01)
    for _ in range(100):
        error = (branch(decoded, 1)["image"] - truth).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert error < 0.05
