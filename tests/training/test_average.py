import pytest
import torch
from torch import nn

from geoconvnext.training.average import make_average, update_average


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.norm = nn.BatchNorm1d(1)
        self.register_buffer("mean", torch.tensor([1 / 3]))


def fill(net, value):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)
    net.norm.running_mean.fill_(value)
    net.norm.running_var.fill_(value)


@pytest.fixture
def net():
    net = Net()
    fill(net, 0.0)
    return net


def test_an_average_is_not_trained(net):
    average = make_average(net.train())
    assert not average.training
    assert net.training
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_weights_and_statistics_move_by_the_decay(net):
    average = make_average(net)
    fill(net, 1.0)
    for _ in range(2):
        update_average(average, net, step=100_000, decay=0.9)
    for value in (
        average.layer.weight,
        average.norm.weight,
        average.norm.running_mean,
        average.norm.running_var,
    ):
        assert value.item() == pytest.approx(1 - 0.9**2)


def test_the_start_is_soon_forgotten(net):
    average = make_average(net)
    fill(net, 1.0)
    for step in range(1, 31):
        update_average(average, net, step=step, decay=0.999)
    assert average.layer.weight.item() > 0.99


def test_other_buffers_are_copied_bit_by_bit(net):
    average = make_average(net)
    net.norm.num_batches_tracked.fill_(7)
    for step in range(1, 1000):
        update_average(average, net, step=step, decay=0.99)
    assert torch.equal(average.mean, net.mean)
    assert average.norm.num_batches_tracked == 7


def test_no_decay_is_the_network_itself(net):
    average = make_average(net)
    fill(net, 0.7)
    update_average(average, net, step=5, decay=0.0)
    assert torch.equal(average.layer.weight, net.layer.weight)
