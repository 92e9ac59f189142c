"""Published ConvNeXt checkpoints, loaded into an encoder from a file."""

import argparse
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import convnext
from torch import Tensor, nn

from geoconvnext.errors import WeightsError
from geoconvnext.model.encoder import ConvNeXtEncoder
from geoconvnext.model.state import describe_mismatch

NESTS = ("model", "state_dict", "model_ema", "state_dict_ema")
PREFIXES = ("module.", "backbone.", "encoder.")
NOT_OF_THE_TRUNK = ("head.", "norm.", "norm0.", "norm1.", "norm2.", "norm3.")
AUTHORS_NAMES = {"depthwise_conv": "dwconv", "pointwise_conv": "pwconv"}  # mmsegmentation 1.x renamed them
# What torch's restricted unpickler raises on damaged files, found by feeding it some.
UNREADABLE = (
    OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    struct.error, pickle.PickleError, SafetensorError,
)  # fmt: skip

_to_timm_names: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] = convnext.checkpoint_filter_fn


def load_encoder_checkpoint(encoder: ConvNeXtEncoder, path: Path) -> None:
    """Load the trunk's weights from a file of ConvNeXt's or ConvNeXt V2's authors, timm or mmsegmentation.

    Heads and output norms in the file are left aside. The stem's kernels are shared out over another number
    of bands such that a grey image keeps its response. WeightsError where the file cannot be read or does not
    match the encoder.
    """
    state = _trunk_state(_read(path), path)
    expected: dict[str, Tensor] = encoder.trunk.state_dict()
    try:
        state = _to_timm_names(state, encoder.trunk)
    except (LookupError, RuntimeError) as error:
        raise WeightsError(
            f"checkpoint {path} is a ConvNeXt of another size than this encoder: {error} does not fit;"
            " choose the encoder it was made for"
        ) from error
    stem = state.get("stem.0.weight")
    if stem is not None and stem.ndim == 4:
        state["stem.0.weight"] = _adapt_bands(stem, expected["stem.0.weight"].shape[1])
    if mismatch := describe_mismatch(state, expected):
        raise WeightsError(
            f"checkpoint {path} does not match this encoder: {mismatch}; choose the encoder it was made for"
        )
    encoder.trunk.load_state_dict(state)


def _read(path: Path) -> dict[str, Any]:
    """Named values of a checkpoint; nothing in the file is executed."""
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}; give the path of a .pth, .pt or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals([argparse.Namespace]):  # the authors keep their arguments in it
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise WeightsError(
            f"checkpoint {path} cannot be read as plain weights: it is damaged, holds code or is none"
            f" ({_first_sentence(error)}); get it again, or save its state dict alone"
        ) from error
    for nest in NESTS:
        if isinstance(content, dict) and isinstance(content.get(nest), dict):
            content = content[nest]
    if not isinstance(content, dict):
        raise WeightsError(f"checkpoint {path} holds a {type(content).__name__}; expected named weights")
    return content


def _first_sentence(error: Exception) -> str:
    """Drop torch's advice to load the file unsafely."""
    return (str(error) or type(error).__name__).split(". ")[0].splitlines()[0]


def _trunk_state(content: dict[str, Any], path: Path) -> dict[str, Tensor]:
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    state = {_authors_name(n): value for n, value in state.items() if not n.startswith(NOT_OF_THE_TRUNK)}
    if not any(name.startswith(("stem.", "downsample_layers.0.")) for name in state):
        raise WeightsError(
            f"checkpoint {path} holds no ConvNeXt; expected a file of its authors, timm or mmsegmentation"
        )
    return state


def _authors_name(name: str) -> str:
    for other, authors in AUTHORS_NAMES.items():
        name = name.replace(other, authors)
    return name


def _adapt_bands(stem: Tensor, bands: int) -> Tensor:
    """Share kernels (out, given, h, w) out over `bands` in turns; the sum over the bands is kept."""
    given = stem.shape[1]
    if bands <= given:
        merged = stem.new_zeros(stem.shape[0], bands, *stem.shape[2:])
        return merged.index_add_(1, torch.arange(given) % bands, stem)
    source = torch.arange(bands) % given
    return stem[:, source] / source.bincount()[source].view(1, -1, 1, 1)
