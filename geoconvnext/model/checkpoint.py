"""Published ConvNeXt checkpoints, loaded into an encoder from a file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.convnext import checkpoint_filter_fn
from torch import Tensor

from geoconvnext.errors import WeightsError
from geoconvnext.model.encoder import ConvNeXtEncoder

NESTS = ("model", "state_dict", "model_ema", "state_dict_ema")
PREFIXES = ("module.", "backbone.", "encoder.")
NOT_OF_THE_TRUNK = ("head.", "norm.", "norm0.", "norm1.", "norm2.", "norm3.", "mask_token", "proj.", "pred.")


def load_encoder_checkpoint(encoder: ConvNeXtEncoder, path: Path) -> None:
    """Load the trunk's weights from a file of the ConvNeXt or ConvNeXt-V2 repositories, timm or mmsegmentation.

    Heads and output norms in the file are left aside. A stem of another number of bands is adapted by
    repeating its kernels over the bands, scaled to keep the response. WeightsError where the file cannot be
    read or does not match the encoder.
    """
    state = _trunk_state(_read(path), path)
    expected = encoder.trunk.state_dict()
    try:
        state = checkpoint_filter_fn(state, encoder.trunk)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{path} holds no ConvNeXt of this size: {error}") from error
    state = {name: value for name, value in state.items() if not name.startswith("head.")}
    if "stem.0.weight" in state:
        state["stem.0.weight"] = _adapt_bands(state["stem.0.weight"], expected["stem.0.weight"].shape[1])
    _check(state, expected, path)
    encoder.trunk.load_state_dict(state)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"no checkpoint at {path}") from error
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise WeightsError(f"checkpoint {path} cannot be read as plain weights: {error}") from error
    for nest in NESTS:
        if isinstance(content, dict) and isinstance(content.get(nest), dict):
            content = content[nest]
    if not isinstance(content, dict):
        raise WeightsError(f"checkpoint {path} holds a {type(content).__name__}; expected named weights")
    return content


def _trunk_state(content: dict[str, Any], path: Path) -> dict[str, Tensor]:
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    state = {name: value for name, value in state.items() if not name.startswith(NOT_OF_THE_TRUNK)}
    if not any(name.startswith(("stem.", "downsample_layers.0.")) for name in state):
        raise WeightsError(f"checkpoint {path} holds no ConvNeXt; expected the names of its authors, timm or mmseg")
    return state


def _adapt_bands(stem: Tensor, bands: int) -> Tensor:
    given = stem.shape[1]
    if given == bands:
        return stem
    repeats = -(-bands // given)
    return stem.repeat(1, repeats, 1, 1)[:, :bands] * (given / bands)


def _check(state: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    missing = sorted(expected.keys() - state.keys())
    surplus = sorted(state.keys() - expected.keys())
    shapes = sorted(n for n in expected.keys() & state.keys() if expected[n].shape != state[n].shape)
    if missing or surplus or shapes:
        found = [
            f"{len(names)} {what} (first: {names[0]})"
            for what, names in (("missing", missing), ("unknown", surplus), ("of another shape", shapes))
            if names
        ]
        raise WeightsError(f"checkpoint {path} does not match this encoder: {', '.join(found)}; choose its encoder")
