"""Masked encoding against loops that know the visible pixels alone, and against masks in dense layers."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from geoconvnext.errors import ConfigError
from geoconvnext.model.encoder import ConvNeXtEncoder
from geoconvnext.model.fcmae import (
    MaskedAutoencoder,
    VisiblePatches,
    encode_visible,
    masked_loss,
    reconstruct,
)

V1, V2 = "convnext_atto", "convnextv2_atto"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_encoder(name, bands=3):
    """An encoder in float64 all of whose parameters matter: GRN starts with zeros."""
    torch.manual_seed(3)
    encoder = ConvNeXtEncoder(name, bands=bands).double()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return encoder


def make_visible(*rows):
    """Patches of each image, from strings such as "#./.#" with # for a visible one."""
    return torch.tensor([[[cell == "#" for cell in line] for line in text.split("/")] for text in rows])


VISIBLE = make_visible("#.#/..#", "..#/##.")


def make_image(bands=3):
    return torch.randn(2, bands, 64, 96, dtype=torch.float64, generator=torch.manual_seed(4))


def gelu(x):
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])


def layer_norm(x, norm):
    weight, bias = (p.detach().numpy() for p in (norm.weight, norm.bias))
    return (x - x.mean()) / math.sqrt(x.var() + norm.eps) * weight + bias


def affine(x, layer):
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return weight.reshape(len(weight), -1) @ x + bias


def loop_block(block, features):
    """A block over a dictionary of the visible positions (row, col) and their features."""
    kernel, bias = block.conv_dw.weight.detach().numpy()[:, 0], block.conv_dw.bias.detach().numpy()
    hidden = {}
    for row, col in features:
        total = bias.copy()
        for i in range(7):
            for j in range(7):
                near = features.get((row + i - 3, col + j - 3))
                if near is not None:
                    total += kernel[:, i, j] * near
        hidden[row, col] = gelu(affine(layer_norm(total, block.norm), block.mlp.fc1))
    if hasattr(block.mlp, "grn"):
        norms = np.sqrt(sum(x**2 for x in hidden.values()))
        shares = norms / (norms.mean() + 1e-6)
        gamma, beta = (p.detach().numpy() for p in (block.mlp.grn.weight, block.mlp.grn.bias))
        hidden = {at: x + gamma * x * shares + beta for at, x in hidden.items()}
    scale = 1 if block.gamma is None else block.gamma.detach().numpy()
    return {at: features[at] + scale * affine(x, block.mlp.fc2) for at, x in hidden.items()}


def loop_encoder(encoder, image, visible):
    """Stage features of one image by visible position."""
    trunk, image = encoder.trunk, image.numpy()
    rows, cols = (axis.tolist() for axis in visible.numpy().repeat(8, 0).repeat(8, 1).nonzero())
    features = {
        (r, c): layer_norm(
            affine(image[:, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].ravel(), trunk.stem[0]), trunk.stem[1]
        )
        for r, c in zip(rows, cols, strict=True)
    }
    stages = []
    for number, stage in enumerate(trunk.stages):
        if number:
            norm, conv = stage.downsample
            corners = sorted({(r // 2, c // 2) for r, c in features})
            squares = {(r, c): [(2 * r + i, 2 * c + j) for i in (0, 1) for j in (0, 1)] for r, c in corners}
            normed = {at: layer_norm(x, norm) for at, x in features.items()}
            features = {
                at: affine(np.stack([normed[part] for part in parts], axis=1).ravel(), conv)
                for at, parts in squares.items()
            }
        for block in stage.blocks:
            features = loop_block(block, features)
        stages.append(features)
    return stages


@pytest.mark.parametrize(("name", "bands"), [(V1, 1), (V2, 5)])
def test_visible_positions_are_what_a_network_of_visible_positions_gives(name, bands):
    encoder, image = make_encoder(name, bands), make_image(bands)
    patches = VisiblePatches(VISIBLE)
    with torch.no_grad():
        stages = [patches.lay_out(strip).numpy() for strip in encode_visible(encoder, image, patches)]
    for n in range(2):
        for plane, expected in zip(stages, loop_encoder(encoder, image[n], VISIBLE[n]), strict=True):
            found = plane[n].copy()
            for (row, col), value in expected.items():
                assert np.abs(found[:, row, col] - value).max() < 1e-12 * max(1, np.abs(value).max())
                found[:, row, col] = 0
            assert not found.any()  # nothing stands where it is hidden


def dense_stages(encoder, image, visible, *, norm_over_visible=True):
    """Stage features as FACTS of sparse-free FCMAE say: dense layers, masked blocks, masked statistics."""
    features, stages = encoder.trunk.stem(image), []
    for stage in encoder.trunk.stages:
        features = stage.downsample(features)
        mask = functional.interpolate(visible[:, None].double(), features.shape[-2:], mode="nearest")
        for block in stage.blocks:
            features = features * mask
            x = block.mlp.act(block.mlp.fc1(block.norm(block.conv_dw(features))))
            counted = x * mask if norm_over_visible else x
            norms = counted.square().sum((2, 3), keepdim=True).sqrt()
            shares = norms / (norms.mean(1, keepdim=True) + 1e-6)
            grn = block.mlp.grn
            x = x + grn.weight.view(1, -1, 1, 1) * x * shares + grn.bias.view(1, -1, 1, 1)
            features = features + block.mlp.fc2(x)
        stages.append(features * mask)
    return stages


def test_response_normalisation_over_hidden_positions_would_be_noticed():
    encoder, image, patches = make_encoder(V2), make_image(), VisiblePatches(VISIBLE)
    with torch.no_grad():
        found = [patches.lay_out(strip) for strip in encode_visible(encoder, image, patches)]
        right = dense_stages(encoder, image, VISIBLE)
        wrong = dense_stages(encoder, image, VISIBLE, norm_over_visible=False)
    for own, expected, other in zip(found, right, wrong, strict=True):
        assert (own - expected).abs().max() < 1e-12 * expected.abs().max()
        assert (own - other).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.parametrize("name", [V1, V2])
def test_hidden_pixels_change_nothing(name):
    encoder, image, patches = make_encoder(name), make_image(), VisiblePatches(VISIBLE)
    pixels = VISIBLE.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, None]
    with torch.no_grad():
        before = encode_visible(encoder, image, patches)
        after = encode_visible(encoder, image.where(pixels, math.nan), patches)
        seen = encode_visible(encoder, image.where(~pixels, image + 1), patches)
    for one, two, other in zip(before, after, seen, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, other)


def test_without_a_mask_it_is_the_encoder():
    encoder, image = make_encoder(V2), make_image()
    patches = VisiblePatches(torch.ones(2, 2, 3, dtype=torch.bool))
    with torch.no_grad():
        found, expected = encode_visible(encoder, image, patches), encoder(image)
    for strip, stage in zip(found, expected, strict=True):
        assert (patches.lay_out(strip) - stage).abs().max() < 1e-12 * stage.abs().max()


def test_the_encoder_is_left_as_it_was():
    encoder, image = make_encoder(V2), make_image()
    names = list(encoder.state_dict())
    with torch.no_grad():
        before = encoder(image)
        with pytest.raises(RuntimeError):
            encode_visible(encoder, image[:, :2], VisiblePatches(VISIBLE))
        encode_visible(encoder, image, VisiblePatches(VISIBLE))
        assert all(torch.equal(one, two) for one, two in zip(before, encoder(image), strict=True))
    assert list(encoder.state_dict()) == names


def make_autoencoder(name=V2, bands=3):
    torch.manual_seed(5)
    encoder = ConvNeXtEncoder(name, bands=bands)
    return MaskedAutoencoder(encoder, decoder_channels=16, mean=(100.0,) * bands, std=(50.0,) * bands)


@pytest.mark.parametrize(("name", "bands"), [(V1, 1), (V2, 4)])
def test_hidden_pixels_are_not_known_to_the_prediction(name, bands):
    net = make_autoencoder(name, bands).double()
    image = 100 + 50 * make_image(bands)
    pixels = VISIBLE.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, None]
    with torch.no_grad():
        found = net(image, VISIBLE)
        assert found.shape == (2, bands * 32 * 32, 2, 3)
        assert torch.equal(found, net(image.where(pixels, math.nan), VISIBLE))
        # The neighbours of a hidden patch say something about it.
        assert not torch.equal(found, net(image.where(~pixels, image + 9), VISIBLE))


def test_every_parameter_learns():
    net, image = make_autoencoder(), 100 + 50 * make_image().float()
    torch.nn.init.ones_(net.block.mlp.grn.weight)
    masked_loss(net(image, VISIBLE), image, ~VISIBLE).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert net.token.grad.abs().max() > 0
    assert net.encoder.trunk.stem[0].weight.grad.abs().max() > 0


def test_statistics_stay_in_full_precision_under_autocast():
    net, image = make_autoencoder(), 100 + 50 * make_image().float()
    seen = []
    for block in net.encoder.trunk.stages[0].blocks:
        block.mlp.fc1.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
        block.mlp.act.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
        block.mlp.fc2.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].dtype))
    with torch.no_grad():
        exact = net(image, VISIBLE)
        seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(image, VISIBLE)
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32] * 2
    assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_an_overlapping_stem_is_refused():
    with pytest.raises(ConfigError, match="choose the one without _ols"):
        make_autoencoder("convnext_atto_ols")


def normalised(patch):
    return (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 1e-6)


def test_loss_by_hand():
    """One wanted patch of each image; the error of a patch does not depend on its brightness and contrast."""
    image = 100 + 50 * make_image(2)
    wanted = make_visible("#../...", ".../.#.")
    prediction = torch.randn(2, 2 * 32 * 32, 2, 3, dtype=torch.float64)
    errors = []
    for n, row, col in ((0, 0, 0), (1, 1, 1)):
        patch = image[n, :, 32 * row : 32 * row + 32, 32 * col : 32 * col + 32].numpy()
        guess = functional.pixel_shuffle(prediction, 32)[n, :, 32 * row :, 32 * col :][:, :32, :32].numpy()
        errors.append(((guess - normalised(patch)) ** 2).mean())
    loss = masked_loss(prediction, image, wanted)
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-12)
    assert masked_loss(prediction, 3 * image + 5, wanted).item() == pytest.approx(loss.item(), rel=1e-6)


def test_a_batch_without_wanted_patches_has_no_loss():
    prediction = torch.randn(1, 32 * 32, 2, 2, requires_grad=True)
    loss = masked_loss(prediction, torch.rand(1, 1, 64, 64), make_visible("../.."))
    loss.backward()
    assert loss.item() == 0
    assert not prediction.grad.any()


def test_a_perfect_prediction_is_reconstructed():
    image = 100 + 50 * make_image()
    patches = image.reshape(2, 3, 2, 32, 3, 32).transpose(3, 4)
    mean, deviation = (getattr(patches, what)((1, 4, 5), keepdim=True) for what in ("mean", "std"))
    scaled = ((patches - mean) / deviation).transpose(3, 4).reshape(image.shape)
    prediction = functional.pixel_unshuffle(scaled, 32)
    assert masked_loss(prediction, image, ~VISIBLE).item() < 1e-12
    assert (reconstruct(prediction, image, VISIBLE) - image).abs().max() < 1e-4
    # Visible patches are shown as they are, whatever is predicted for them.
    blank = reconstruct(torch.zeros_like(prediction), image, VISIBLE)
    pixels = VISIBLE.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, None].expand_as(image)
    assert torch.equal(blank[pixels], image[pixels])
    assert (blank[~pixels] - image[~pixels]).abs().max() > 10
