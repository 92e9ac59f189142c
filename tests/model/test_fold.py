"""The folded network computes what the network computes."""

import copy

import pytest
import torch
from torch.nn.functional import pixel_shuffle

from geoconvnext.model.fold import CHANNELS, LEVELS, _group_subpixels, fold, shuffle
from geoconvnext.model.net import NetSpec, build_net


def scramble(net: torch.nn.Module) -> None:
    """Give all parameters values that matter, so that nothing is folded into a one or a zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        ("convnext_atto", "fpn"),
        ("convnextv2_atto", "fpn"),
        ("convnext_tiny", "fpn"),
        ("convnext_atto", "upernet"),
    ],
)
def test_same_probabilities(encoder: str, decoder: str, scale: int) -> None:
    torch.manual_seed(0)
    net = build_net(NetSpec(encoder=encoder, decoder=decoder, decoder_channels=16, scale=4)).eval()  # type: ignore[arg-type]
    scramble(net)
    windows = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        logits = net(windows, scale)
        expected = torch.cat([logits[name] for name in CHANNELS], dim=1).sigmoid() * LEVELS
        found = fold(copy.deepcopy(net), scale, torch.float32)(windows)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert expected.std() > 10
    assert (found - expected).abs().max() < 0.52


def test_shuffle_of_grouped_subpixels() -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 20, 3, padding=1)
    features = torch.randn(2, 3, 5, 7)
    with torch.no_grad():
        found = shuffle(_group_subpixels(conv)(features))
        assert torch.allclose(found, pixel_shuffle(conv(features), 2), atol=1e-6)
