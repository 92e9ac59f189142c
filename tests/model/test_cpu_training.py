"""What makes training on a processor faster."""

import copy

import pytest
import torch
from torch import nn

from geoconvnext.model import cpu_training
from geoconvnext.model.cpu_training import Float32Depthwise, prepare_cpu_training
from geoconvnext.model.net import NetSpec, build_net


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float32_depthwise_gives_the_same_values(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, 7, padding=3, groups=8).to(dtype)
    kept = copy.deepcopy(plain)
    kept.__class__ = Float32Depthwise
    features = torch.randn(2, 8, 16, 16, dtype=dtype)
    assert torch.equal(plain(features), kept(features))


def test_float32_depthwise_under_autocast() -> None:
    torch.manual_seed(0)
    kept = Float32Depthwise(8, 8, 7, padding=3, groups=8)
    features = torch.randn(2, 8, 16, 16).bfloat16()
    expected = nn.functional.conv2d(features.float(), kept.weight, kept.bias, padding=3, groups=8)
    with torch.autocast("cpu", torch.bfloat16):
        found = kept(features)
    assert torch.equal(found, expected.bfloat16())
    found.sum().backward()
    assert kept.weight.grad is not None
    assert kept.weight.grad.dtype == torch.float32


def test_training_on_a_processor_changes_depthwise_convolutions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_training, "keep_freed_memory", lambda: None)
    net = build_net(NetSpec(encoder="convnext_atto", decoder_channels=16, scale=2)).eval()
    prepared = copy.deepcopy(net)
    prepare_cpu_training(prepared)
    before, after = dict(net.named_modules()), dict(prepared.named_modules())
    changed = {name for name in before if type(before[name]) is not type(after[name])}
    assert changed == {name for name in before if name.endswith(".conv_dw")}
    assert len(changed) == 12
    assert all(type(after[name]) is Float32Depthwise for name in changed)
    assert list(prepared.state_dict()) == list(net.state_dict())
    image = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        assert torch.equal(net(image)["body"], prepared(image)["body"])
