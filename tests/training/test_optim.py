import math

import pytest
import torch

from geoconvnext.model.net import NetSpec, build_net
from geoconvnext.training.optim import (
    Recipe,
    make_optimizer,
    optimizer_state,
    parameter_groups,
    restore_optimizer,
)


def recipe(**values):
    return Recipe(**{"optimizer": "adamw", "steps": 100, "learning_rate": 0.1, **values})


@pytest.fixture(scope="module")
def net():
    return build_net(NetSpec(encoder="convnext_atto", decoder_channels=16, scale=1))


def test_the_rate_warms_up_linearly():
    plan = recipe(warmup_steps=10)
    assert [plan.rate_factor(step) for step in range(11)] == pytest.approx(
        [*(n / 10 for n in range(1, 11)), 1]
    )


@pytest.mark.parametrize(("schedule", "half"), [("cosine", 0.5), ("linear", 0.5)])
def test_the_rate_falls_to_nothing(schedule, half):
    plan = recipe(warmup_steps=20, schedule=schedule)
    factors = [plan.rate_factor(step) for step in range(20, 120)]
    assert factors == sorted(factors, reverse=True)
    assert factors[40] == pytest.approx(half)
    assert plan.rate_factor(100) == plan.rate_factor(1000) == pytest.approx(0, abs=1e-12)


def test_schedules_have_their_shapes():
    quarter = {kind: recipe(schedule=kind).rate_factor(25) for kind in ("cosine", "linear")}
    assert quarter == pytest.approx({"cosine": 0.5 + math.sqrt(2) / 4, "linear": 0.75})


def test_every_parameter_is_in_one_group(net):
    groups = parameter_groups(net.named_parameters(), net.encoder.depths, recipe(layer_decay=0.9))
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(members) == sorted(map(id, net.parameters()))


def test_norms_scales_and_biases_do_not_decay(net):
    groups = parameter_groups(net.named_parameters(), net.encoder.depths, recipe(weight_decay=0.3))
    for group in groups:
        assert all((parameter.ndim > 1) == (group["weight_decay"] == 0.3) for parameter in group["params"])
    assert {group["weight_decay"] for group in groups} == {0.0, 0.3}


def rate_of(groups, parameter):
    return next(group["lr"] for group in groups if any(parameter is member for member in group["params"]))


def test_layers_learn_the_slower_the_nearer_they_are_to_the_image(net):
    groups = parameter_groups(net.named_parameters(), net.encoder.depths, recipe(layer_decay=0.5))
    stages = net.encoder.trunk.stages
    places = [net.encoder.trunk.stem[0].weight, stages[0].blocks[0].conv_dw.weight]
    places += [stages[3].blocks[0].conv_dw.weight, net.head.detail.weight]
    rates = [rate_of(groups, place) for place in places]
    assert rates == sorted(rates)
    assert len(set(rates)) == 4
    assert rates[-1] == 0.1


def test_frozen_parameters_are_left_out():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    (group,) = parameter_groups(layer.named_parameters(), (1, 1, 3, 1), recipe())
    assert group["params"] == [layer.weight]


def learn(layer, optimizer, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.ones(1, 4)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_state_goes_to_a_like_optimizer_with_other_settings(optimizer):
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 4)
    old = make_optimizer(layer.named_parameters(), (1, 1, 3, 1), recipe(optimizer=optimizer))
    learn(layer, old, 3)
    state = optimizer_state(old, layer.named_parameters())
    # Without weight decay all parameters are in one group, in another order.
    other = recipe(optimizer=optimizer, learning_rate=0.01, weight_decay=0.0)
    new = make_optimizer(layer.named_parameters(), (1, 1, 3, 1), other)
    restore_optimizer(new, layer.named_parameters(), state)
    assert [group["lr"] for group in new.param_groups] == [0.01]
    for parameter in layer.parameters():
        assert old.state[parameter].keys() == new.state[parameter].keys()
        for name, value in old.state[parameter].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(new.state[parameter][name])), name
