"""Weights files: one safetensors file is one model, with everything needed to rebuild and to use it."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from geoconvnext import __version__
from geoconvnext.errors import ConfigError, GeoconvnextError, OutputError, WeightsError
from geoconvnext.model.net import NORMALISATION, BuildingNet, NetSpec, build_net
from geoconvnext.model.state import describe_mismatch
from geoconvnext.output import replace_file

KEY = "geoconvnext"
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class View:
    """A way in which a network was trained to look at scenes.

    scale: mask pixels per image pixel along an axis.
    gsd_range_m: finest and coarsest ground sampling distance of the image that it takes, in metres.
    """

    scale: int
    gsd_range_m: tuple[float, float]

    def __post_init__(self) -> None:
        if len(self.gsd_range_m) != 2 or not 0 < self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise WeightsError(
                f"gsd_range_m must be two positive ascending numbers; found {self.gsd_range_m}"
            )


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """What a weights file says of its network.

    spec: its architecture.
    views: how it was trained to look at scenes; the first is the default.
    body_threshold: probability from which a pixel is building, in 0..1.
    seed_threshold: seed score from which a pixel is the heart of an individual building, in 0..1.
    edge_weight: how much the edge probability lowers the seed score, in 0..1.
    min_area_m2: smaller buildings are dropped.
    confidence: calibration of the buildings' confidence, in JSON's types; None: not calibrated.
    tile, halo: of the windows it is run in, in image pixels, multiples of 32.
    seam_error: share of pixels that change when the windows are shifted by half a tile; None: not measured.
    licence, training_data: what its user must know.
    scores: measured ones by data set.
    version: of the package that made it.
    """

    spec: NetSpec
    views: tuple[View, ...]
    body_threshold: float = 0.5
    seed_threshold: float = 0.3
    edge_weight: float = 0.5
    min_area_m2: float = 16.0
    confidence: dict[str, Any] | None = None
    tile: int = 1024
    halo: int = 128
    seam_error: float | None = None
    licence: str = ""
    training_data: str = ""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    version: str = __version__

    def __post_init__(self) -> None:
        scales = [view.scale for view in self.views]
        if not scales or not set(scales) <= set(self.spec.scales):
            raise WeightsError(f"views must be of scales {self.spec.scales}, at least one; found {scales}")
        for name in ("body_threshold", "seed_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise WeightsError(f"{name} must lie between 0 and 1; found {getattr(self, name)}")
        if not 0 <= self.edge_weight <= 1:
            raise WeightsError(f"edge_weight must be 0 to 1; found {self.edge_weight}")
        if not 0 <= self.min_area_m2 < math.inf:
            raise WeightsError(f"min_area_m2 must be 0 or more; found {self.min_area_m2}")
        if self.tile % 32 or self.halo % 32 or not 0 <= 2 * self.halo < self.tile:
            raise WeightsError(
                "tile and halo must be multiples of 32 and the tile larger than two halos;"
                f" found tile {self.tile} and halo {self.halo}"
            )

    @property
    def scale(self) -> int:
        """Scale of the default view."""
        return self.views[0].scale

    @property
    def gsd_range_m(self) -> tuple[float, float]:
        """Ground sampling distances of the default view, in metres."""
        return self.views[0].gsd_range_m

    def to_json(self) -> str:
        """Text form, kept in the file's metadata."""
        return json.dumps({"format": FORMAT, **asdict(self), "tile_local": self.spec.tile_local})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text form; ValueError, TypeError, LookupError, AttributeError or ours if malformed."""
        values: dict[str, Any] = json.loads(text)
        if (found := values.pop("format")) != FORMAT:
            raise ValueError(
                f"it has format {found}, this version reads format {FORMAT};"
                " get the weights again, or the version of geoconvnext that made them"
            )
        values.pop("tile_local")
        spec = values.pop("spec")
        spec = NetSpec(**{**spec, "mean": tuple(spec["mean"]), "std": tuple(spec["std"])})
        views = tuple(
            View(scale=view["scale"], gsd_range_m=tuple(view["gsd_range_m"])) for view in values.pop("views")
        )
        return cls(**values, spec=spec, views=views)


def default_weights_path() -> Path:
    """Tell where the weights shipped with the package are."""
    return Path(__file__).parent.parent / "weights" / "default.safetensors"


def save_weights(path: Path, net: BuildingNet, info: WeightsInfo) -> None:
    """Write weights under a temporary name that is moved into place; OutputError if it cannot.

    Parameters are stored in bfloat16; normalisation and running statistics stay as they are.
    """
    parameters = dict(net.named_parameters())
    state = {
        name: (value.to(torch.bfloat16) if name in parameters else value).contiguous()
        for name, value in net.state_dict().items()
    }
    content = save(state, metadata={KEY: info.to_json()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise OutputError(
            f"cannot write weights {path}: {error}; choose a place that can be written, with"
            f" {len(content) / 1e6:.0f} MB free"
        ) from error


def read_info(path: Path) -> WeightsInfo:
    """Read what the file says of its network; WeightsError if it is not ours or damaged."""
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}; give the path of a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is not a weights file, or damaged ({error}); expected a .safetensors file"
        ) from error
    if KEY not in metadata:
        raise WeightsError(
            f"{path} holds weights that geoconvnext did not write; give a file that `geoconvnext train` wrote"
        )
    try:
        return WeightsInfo.from_json(metadata[KEY])
    except (ValueError, TypeError, LookupError, AttributeError, GeoconvnextError) as error:
        raise WeightsError(f"{path} has metadata that cannot be understood: {error}") from error


def load_weights(path: Path) -> tuple[BuildingNet, WeightsInfo]:
    """Load the network, in evaluation mode and float32, and what its file says; WeightsError as above."""
    info = read_info(path)
    try:
        with torch.device("meta"):  # no time is lost on fresh weights
            net = build_net(info.spec)
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (ConfigError, OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be loaded: {error}") from error
    expected = net.state_dict()
    if mismatch := describe_mismatch(state, expected):
        raise WeightsError(
            f"{path} does not match the network that it describes: {mismatch}; get the file again"
        )
    state = {name: value.to(expected[name].dtype, copy=True) for name, value in state.items()}
    net.load_state_dict(state, assign=True)
    return net.eval(), info


def start_from(net: BuildingNet, path: Path) -> list[str]:
    """Copy all weights of a file that fit by name and shape; normalisation stays that of the network's spec.

    Outputs finer than those of the file start as its finest ones. Returns the names of the weights that keep
    a fresh start; WeightsError if these are more than half.
    """
    source, _ = load_weights(path)
    state = {name: value for name, value in net.state_dict().items() if name not in NORMALISATION}
    offered = _offered_weights(source, levels=len(net.spec.scales))
    given = {n: v for n, v in offered.items() if n in state and v.shape == state[n].shape}
    fresh = sorted(state.keys() - given.keys())
    if len(fresh) > len(state) // 2:
        raise WeightsError(
            f"{path} does not fit this network: {len(fresh)} of {len(state)} weights are not in it;"
            " choose weights of the same encoder and decoder"
        )
    net.load_state_dict(given, strict=False)
    return fresh


def _offered_weights(source: BuildingNet, *, levels: int) -> dict[str, Tensor]:
    """Weights of a network, its finest outputs standing in for those of the levels that it lacks."""
    state: dict[str, Tensor] = source.state_dict()
    there = len(source.spec.scales)
    for level in range(there, levels):  # fits where a doubling keeps the width, and starts as a copy
        for kind in ("weight", "bias"):
            state[f"head.outputs.{level}.{kind}"] = state[f"head.outputs.{there - 1}.{kind}"]
    return state
