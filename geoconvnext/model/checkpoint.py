"""Pretrained encoders: published ConvNeXt checkpoints, from a file or timm's hub, and our own."""

import argparse
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import PretrainedCfg, convnext
from torch import Tensor, nn

from geoconvnext.errors import WeightsError
from geoconvnext.model.encoder import ConvNeXtEncoder
from geoconvnext.model.state import describe_mismatch

HUB = "hub"
ENCODER_KEY = "geoconvnext-encoder"  # metadata of our own pretraining: the encoder's name
NORMALISATION_KEY = "normalisation"  # and its mean and std in grey values, as JSON
NESTS = ("model", "state_dict", "model_ema", "state_dict_ema")
PREFIXES = ("module.", "backbone.", "encoder.", "trunk.")
NOT_OF_THE_TRUNK = ("head.", "norm.", "norm0.", "norm1.", "norm2.", "norm3.")
AUTHORS_NAMES = {"depthwise_conv": "dwconv", "pointwise_conv": "pwconv"}  # mmsegmentation 1.x renamed them
# What torch's restricted unpickler raises on damaged files, found by feeding it some.
UNREADABLE = (
    OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    struct.error, pickle.PickleError, SafetensorError,
)  # fmt: skip

_to_timm_names: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] = convnext.checkpoint_filter_fn


def load_encoder_checkpoint(encoder: ConvNeXtEncoder, source: str) -> None:
    """Load the trunk's weights from `source`: a file, `hub` (timm's default for the encoder) or `hub:NAME`.

    The file is one of ConvNeXt's or ConvNeXt V2's authors, timm or mmsegmentation, or of our own masked
    pretraining. Heads and output norms are left aside. The stem's kernels of published weights are shared out
    over another number of bands such that a grey image keeps its response. WeightsError where the weights
    cannot be read or fetched, or do not match the encoder.
    """
    if _is_hub(source):
        _load_trunk(encoder, _fetch(_hub_config(encoder.name, source)), source)
        return
    path = Path(source)
    content = _read(path)
    if made_for := _metadata(path).get(ENCODER_KEY):
        _check_pretraining(encoder, content, made_for, path)
    _load_trunk(encoder, content, source)


def pretrained_normalisation(encoder: str, source: str, *, bands: int) -> dict[str, tuple[float, ...]]:
    """Mean and std, in grey values, that weights were pretrained with, as arguments of NetSpec.

    encoder: timm's name; source: as above. Published weights were made with ImageNet's, unless timm says
    otherwise; empty for other bands than its three, for which the user has to say.
    """
    ours = {} if _is_hub(source) else _metadata(Path(source))
    if ENCODER_KEY in ours:
        normalisation = json.loads(ours.get(NORMALISATION_KEY, "{}"))
        return {name: tuple(values) for name, values in normalisation.items()}
    if bands != 3:
        return {}
    stated: dict[str, tuple[float, ...]] = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
    if _is_hub(source):
        config = _hub_config(encoder, source)
        stated = {"mean": config.mean, "std": config.std}
    return {name: tuple(255 * value for value in values) for name, values in stated.items()}


def _is_hub(source: str) -> bool:
    return source == HUB or source.startswith(f"{HUB}:")


def _hub_config(encoder: str, source: str) -> PretrainedCfg:
    """Say what timm knows of the weights; WeightsError where it has none of that name for the encoder."""
    name = source.partition(":")[2] or encoder
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # a tag that it does not know
        config = None
    if config is None or not config.hf_hub_id or config.architecture != encoder:
        known = ", ".join(timm.list_pretrained(f"{encoder}.*")) or "none"
        raise WeightsError(f"timm has no weights {name} for the encoder {encoder}; it has: {known}")
    return config


def _fetch(config: PretrainedCfg) -> dict[str, Tensor]:
    try:
        model = timm.create_model(f"{config.architecture}.{config.tag}", pretrained=True)
    except UNREADABLE as error:
        raise WeightsError(
            f"the weights {config.architecture}.{config.tag} cannot be fetched: {_first_sentence(error)};"
            f" download https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors and give"
            " the path of that file"
        ) from error
    state: dict[str, Tensor] = model.state_dict()
    return state


def _check_pretraining(encoder: ConvNeXtEncoder, content: dict[str, Any], made_for: str, path: Path) -> None:
    """Refuse an encoder of our own pretraining that is another one, or for other bands."""
    bands, stem = encoder.trunk.state_dict()["stem.0.weight"].shape[1], content.get("trunk.stem.0.weight")
    if made_for != encoder.name or (stem is not None and stem.shape[1] != bands):
        found = "no stem" if stem is None else f"{stem.shape[1]} bands"
        raise WeightsError(
            f"{path} was pretrained for {made_for} with {found}, not for {encoder.name} with {bands} bands;"
            " set encoder and bands to those of the file"
        )


def _load_trunk(encoder: ConvNeXtEncoder, content: dict[str, Any], source: str) -> None:
    state = _trunk_state(content, source)
    expected: dict[str, Tensor] = encoder.trunk.state_dict()
    try:
        state = _to_timm_names(state, encoder.trunk)
    except (LookupError, RuntimeError) as error:
        raise WeightsError(
            f"checkpoint {source} is a ConvNeXt of another size than this encoder: {error} does not fit;"
            " choose the encoder it was made for"
        ) from error
    stem = state.get("stem.0.weight")
    if stem is not None and stem.ndim == 4:
        state["stem.0.weight"] = _adapt_bands(stem, expected["stem.0.weight"].shape[1])
    if mismatch := describe_mismatch(state, expected):
        raise WeightsError(
            f"checkpoint {source} does not match this encoder: {mismatch}; choose the encoder it was made for"
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


def _metadata(path: Path) -> dict[str, str]:
    """Texts that a safetensors file carries; none for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def _first_sentence(error: Exception) -> str:
    """Drop torch's advice to load the file unsafely."""
    return (str(error) or type(error).__name__).split(". ")[0].splitlines()[0]


def _trunk_state(content: dict[str, Any], source: str) -> dict[str, Tensor]:
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    state = {_authors_name(n): value for n, value in state.items() if not n.startswith(NOT_OF_THE_TRUNK)}
    if not any(name.startswith(("stem.", "downsample_layers.0.")) for name in state):
        raise WeightsError(
            f"checkpoint {source} holds no ConvNeXt; expected a file of its authors, timm or mmsegmentation"
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
