"""The network: shapes, normalisation, what a pixel's result depends on, its start."""

from itertools import product
from typing import Any

import pytest
import torch
from timm.layers.grn import GlobalResponseNorm
from torch import Tensor, nn

from geoconvnext.errors import ConfigError
from geoconvnext.model.net import BuildingNet, NetSpec, build_net
from geoconvnext.model.superres import Doubling

DEPTHS = (2, 2, 6, 2)  # of ConvNeXt-Atto
STRIDES = (4, 8, 16, 32)


def small_net(**changes: Any) -> BuildingNet:
    torch.manual_seed(0)
    return build_net(
        NetSpec(**{"encoder": "convnext_atto", "decoder_channels": 16, "scale": 1, **changes})
    ).eval()


def grey_values(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("encoder", "decoder", "scale", "bands"),
    [
        (encoder, decoder, scale, bands)
        for (encoder, decoder), (scale, bands) in product(
            product(("convnext_atto", "convnextv2_atto"), ("fpn", "upernet")), ((1, 8), (2, 3), (4, 1))
        )
    ],
)
def test_output_shapes(encoder: str, decoder: str, scale: int, bands: int) -> None:
    statistics = {"mean": (100.0,) * bands, "std": (50.0,) * bands}
    net = small_net(encoder=encoder, decoder=decoder, scale=scale, bands=bands, **statistics)
    with torch.no_grad():
        outputs = net(grey_values(1, bands, 32, 64))
    size = (32 * scale, 64 * scale)
    one, two = (1, 1, *size), (1, 2, *size)
    shapes = {name: tuple(logits.shape) for name, logits in outputs.items()}
    assert shapes == {"body": one, "edge": one, "contact": one, "orientation": two}
    assert all(logits.isfinite().all() for logits in outputs.values())


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_every_scale_is_served_and_no_finer_level_is_run(scale: int) -> None:
    net, run = small_net(scale=4), []
    for name, module in net.head.named_modules():
        module.register_forward_hook(lambda *_, name=name: run.append(name))
    with torch.no_grad():
        outputs = net(grey_values(1, 3, 32, 64), scale)
    assert outputs["orientation"].shape == (1, 2, 32 * scale, 64 * scale)
    level = {1: 0, 2: 1, 4: 2}[scale]
    assert [name for name in run if name.startswith("outputs")] == [f"outputs.{level}"]
    doublings = {name.split(".")[1] for name in run if name.startswith("beyond_image")}
    assert doublings == set(map(str, range(level)))


def test_a_coarse_output_is_that_of_the_network_without_finer_levels() -> None:
    fine, coarse, image = small_net(scale=4), small_net(scale=1), grey_values(1, 3, 32, 32)
    coarse.load_state_dict({name: fine.state_dict()[name] for name in coarse.state_dict()})
    with torch.no_grad():
        assert torch.equal(fine(image, 1)["edge"], coarse(image)["edge"])


@pytest.mark.parametrize("scale", [0, 3, 4])
def test_a_scale_that_is_not_there(scale: int) -> None:
    with pytest.raises(ConfigError, match=rf"scale {scale} .* has \(1, 2\); choose one"):
        small_net(scale=2)(grey_values(1, 3, 32, 32), scale)


@pytest.mark.parametrize("decoder", ["fpn", "upernet"])
def test_outputs_of_training(decoder: str) -> None:
    net = small_net(decoder=decoder, scale=2).train()
    outputs = net(grey_values(2, 3, 64, 32), 1)
    assert outputs["auxiliary"].shape == (2, 1, 4, 2)
    assert outputs["decoded"].shape == (2, 16, 16, 8)
    assert outputs["mask_features"].shape == (2, 16, 64, 32)
    masks = {"body", "edge", "contact", "orientation"}
    assert set(outputs) == masks | {"auxiliary", "decoded", "mask_features"}
    assert "auxiliary" not in net(grey_values(2, 3, 64, 32), auxiliary=False)
    assert set(net.eval()(grey_values(2, 3, 64, 32))) == masks


def test_upernet_cannot_be_trained_with_single_images() -> None:
    net, image = small_net(decoder="upernet"), grey_values(1, 3, 64, 64)
    with pytest.raises(ConfigError, match=r"batch size of 2 or more per device, or the decoder fpn"):
        net.train()(image)
    assert net.eval()(image)["body"].isfinite().all()


def test_grey_values_are_normalised_inside() -> None:
    net, plain = small_net(mean=(90.0, 100.0, 110.0), std=(40.0, 50.0, 60.0)), small_net()
    plain.load_state_dict(
        {**net.state_dict(), "mean": torch.zeros_like(net.mean), "std": torch.ones_like(net.std)}
    )
    image = grey_values(1, 3, 32, 32)
    normalised = (image.double() - net.mean) / net.std
    with torch.no_grad():
        expected, found, as_float = plain(normalised.float()), net(image), net(image.float())
    for name, logits in found.items():
        torch.testing.assert_close(logits, expected[name])
        assert torch.equal(logits, as_float[name])
        assert logits.std() > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decoder": "unet"}, "choose fpn or upernet"),
        ({"decoder_channels": 0}, "decoder_channels"),
        ({"scale": 3}, "choose 1, 2 or 4"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"bands": 4}, "found 3 and 3"),
        ({"bands": 0, "mean": (), "std": ()}, "at least one"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"std": (1.0, float("nan"), 1.0)}, "std"),
        ({"mean": (1.0, float("inf"), 1.0)}, "finite"),
        ({"encoder": "resnet50"}, r"resnet50.*choose one of:.*convnext_tiny"),
        ({"encoder": "convnext_gigantic"}, "convnext_gigantic"),
    ],
)
def test_impossible_specs(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_net(NetSpec(**values))


def reach_px() -> int:
    """How far from a pixel of the network's grid the farthest pixel lies that its result depends on."""
    blocks = sum(3 * depth * stride for depth, stride in zip(DEPTHS, STRIDES, strict=True))
    patches = 3 + sum(STRIDES[:3])  # the stem's and the downsamplings' kernels, next to one another
    smoothing = sum(STRIDES)
    upsampling = sum(STRIDES[1:])
    head = 4 + 2 + 1 + 1
    return blocks + patches + smoothing + upsampling + head


def wake_response_norms(net: nn.Module) -> None:
    """GRN starts as identity; here it acts, as after training."""
    for module in net.modules():
        if isinstance(module, GlobalResponseNorm):
            nn.init.ones_(module.weight)


def body(net: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = net(image)["body"]
    return logits


@pytest.mark.parametrize(
    ("encoder", "decoder", "local"),
    [
        ("convnext_atto", "fpn", True),
        ("convnext_atto", "upernet", False),
        ("convnextv2_atto", "fpn", False),
    ],
)
def test_a_far_change_reaches_only_networks_that_are_not_tile_local(
    encoder: str, decoder: str, local: bool
) -> None:
    net = small_net(encoder=encoder, decoder=decoder)
    wake_response_norms(net)
    assert net.spec.tile_local is local
    changed_from, untouched = 800, 800 - reach_px()
    image = grey_values(1, 3, 32, 1024)
    changed = image.clone()
    changed[..., changed_from:] = 255 - changed[..., changed_from:]
    before, after = body(net, image), body(net, changed)
    assert untouched > 64
    assert torch.equal(before[..., :untouched], after[..., :untouched]) is local
    assert not torch.equal(before[..., changed_from:], after[..., changed_from:])


def test_a_pixel_is_the_same_in_every_window() -> None:
    """Farther from the borders than the reach, windows agree, wherever they start on the grid of 32."""
    net, scene, width, shift = small_net(), grey_values(1, 3, 32, 1632), 1536, 96
    first, second = body(net, scene[..., :width]), body(net, scene[..., shift:])
    left, right = shift + reach_px() + 1, width - reach_px() - 1
    assert right - left > 16
    torch.testing.assert_close(
        first[..., left:right], second[..., left - shift : right - shift], rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(first[..., shift : shift + 32], second[..., :32], rtol=1e-4, atol=1e-5)


def test_kernels_start_without_checkerboard() -> None:
    """ICNR: until training separates them, the four sub-pixels of a pixel have one kernel."""
    torch.manual_seed(0)
    doubling = Doubling(8, 4)
    assert doubling.conv.bias is not None
    nn.init.zeros_(doubling.conv.bias)
    fine = doubling(torch.randn(1, 8, 6, 6))
    blocks = fine.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
    assert blocks.std() > 0.1
    torch.testing.assert_close(blocks, blocks[..., :1].expand_as(blocks))


def test_drop_path_acts_in_training_only() -> None:
    net, image = small_net(drop_path=0.5), grey_values(1, 3, 32, 32)
    assert torch.equal(body(net, image), body(net, image))
    assert not torch.equal(body(net.train(), image), body(net, image))
