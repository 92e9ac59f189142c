"""Weights files: one safetensors file is one model, with everything needed to rebuild and to use it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from geoconvnext import __version__
from geoconvnext.errors import ConfigError, OutputError, WeightsError
from geoconvnext.model.net import BuildingNet, NetSpec, build_net

KEY = "geoconvnext"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """What a weights file says of its network.

    spec: its architecture; gsd_range_m: ground sampling distances that it takes; body_threshold: probability from
    which a pixel is building; seed_threshold: from which it is the core of an individual building; edge_damping:
    how much an edge lowers that; tile, halo: of the windows it is run in, in image pixels; seam_error: share of
    pixels that change when the grid of windows is shifted by half a tile; scores: measured ones by data set.
    """

    spec: NetSpec
    gsd_range_m: tuple[float, float]
    body_threshold: float = 0.5
    seed_threshold: float = 0.5
    edge_damping: float = 0.5
    tile: int = 512
    halo: int = 64
    seam_error: float | None = None
    licence: str = ""
    training_data: str = ""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    version: str = __version__

    def __post_init__(self) -> None:
        if not 0 < self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise WeightsError(f"gsd_range_m must be two positive ascending numbers; found {self.gsd_range_m}")
        for name in ("body_threshold", "seed_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise WeightsError(f"{name} must lie between 0 and 1; found {getattr(self, name)}")

    def to_json(self) -> str:
        """Text form, kept in the file's metadata."""
        return json.dumps({"format": FORMAT, **asdict(self), "tile_local": self.spec.tile_local})

    @classmethod
    def from_json(cls, text: str) -> WeightsInfo:
        """Read the text form; ValueError, TypeError or KeyError where it is malformed."""
        values: dict[str, Any] = json.loads(text)
        if values.pop("format") != FORMAT:
            raise ValueError("made by a newer version; update geoconvnext")
        values.pop("tile_local")
        spec = values.pop("spec")
        spec = NetSpec(**{**spec, "mean": tuple(spec["mean"]), "std": tuple(spec["std"])})
        return cls(**{**values, "spec": spec, "gsd_range_m": tuple(values["gsd_range_m"])})


def default_weights_path() -> Path:
    """The weights shipped with the package."""
    return Path(__file__).parent.parent / "weights" / "default.safetensors"


def save_weights(path: Path, net: BuildingNet, info: WeightsInfo) -> None:
    """Write weights in bfloat16, under a temporary name that is moved into place; OutputError if it cannot."""
    state = {name: value.to(torch.bfloat16).contiguous() for name, value in net.state_dict().items()}
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, part, metadata={KEY: info.to_json()})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"cannot write weights {path}: {error}") from error


def read_info(path: Path) -> WeightsInfo:
    """What the file says of its network, without building it; WeightsError if it is not ours or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise WeightsError(f"no weights file at {path}") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is not a weights file, or damaged ({error}); expected a .safetensors file") from error
    if KEY not in metadata:
        raise WeightsError(
            f"{path} holds weights that geoconvnext did not write; only files of `geoconvnext train` can be used here"
        )
    try:
        return WeightsInfo.from_json(metadata[KEY])
    except (ValueError, TypeError, KeyError, AttributeError, ConfigError) as error:
        raise WeightsError(f"{path} has metadata that cannot be understood: {error}") from error


def load_weights(path: Path) -> tuple[BuildingNet, WeightsInfo]:
    """The network in evaluation mode, float32, and what its file says of it."""
    info = read_info(path)
    with torch.device("meta"):
        net = build_net(info.spec)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        net.load_state_dict(state, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} does not match the network that it describes: {error}") from error
    return net.eval(), info


def start_from(net: BuildingNet, path: Path) -> list[str]:
    """Copy all weights of a file that fit by name and shape; returns the names of those that keep a fresh start."""
    source, _ = load_weights(path)
    state = net.state_dict()
    given = {n: v for n, v in source.state_dict().items() if n in state and v.shape == state[n].shape}
    fresh = sorted(state.keys() - given.keys())
    if len(fresh) > len(state) // 2:
        raise WeightsError(f"{path} does not fit this network: {len(fresh)} of {len(state)} weights are not in it")
    net.load_state_dict(given, strict=False)
    return fresh
