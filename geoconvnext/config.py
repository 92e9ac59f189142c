"""Training configuration: read from YAML, typed and validated."""

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from geoconvnext.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetConfig(_Section):
    """The network; see `model.net.NetSpec`."""

    encoder: str = "convnext_pico"
    decoder: Literal["fpn", "upernet"] = "fpn"
    decoder_channels: int = Field(default=64, ge=16)
    bands: int = Field(default=3, ge=1)
    scale: Literal[1, 2, 4] = 2
    drop_path: float = Field(default=0.05, ge=0, lt=1)
    mean: tuple[float, ...] | None = None  # None: NetSpec's, for red, green, blue
    std: tuple[float, ...] | None = None
    encoder_weights: Path | None = None
    start_from: Path | None = None

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.encoder_weights and self.start_from:
            raise ValueError(
                "give encoder_weights (a published checkpoint) or start_from (our weights), not both"
            )
        return self


class TileSetConfig(_Section):
    """A tile set and its share of the training samples (shares need not add up to 1)."""

    path: Path
    share: float = Field(default=1.0, gt=0)


class DataConfig(_Section):
    """Tile sets and how samples are cut from them."""

    train: list[TileSetConfig] = Field(min_length=1)
    val: list[Path] = Field(min_length=1)
    gsd_range_m: tuple[float, float] = (0.3, 0.5)
    sample_size: int = Field(default=256, ge=64, multiple_of=32)
    workers: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 < self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise ValueError(f"gsd_range_m must be two positive ascending numbers; found {self.gsd_range_m}")
        return self


class LossConfig(_Section):
    """Weight of each part of the loss; see `model.losses.LossWeights`."""

    body: float = Field(default=1.0, ge=0)
    dice: float = Field(default=1.0, ge=0)
    edge: float = Field(default=0.5, ge=0)
    contact: float = Field(default=0.3, ge=0)
    orientation: float = Field(default=0.1, ge=0)
    auxiliary: float = Field(default=0.4, ge=0)


class OptimConfig(_Section):
    """Optimiser with linear warm-up and cosine decay, and the average of the weights that is kept.

    muon (orthogonalised momentum) learns far faster from scratch, adamw is the published choice for
    fine-tuning.
    """

    optimizer: Literal["muon", "adamw"] = "muon"
    steps: int = Field(default=20000, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_steps: int = Field(default=500, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)


class TrainConfig(_Section):
    """Everything that a training run needs."""

    output: Path
    seed: int = 0
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    val_every_steps: int = Field(default=1000, ge=1)
    net: NetConfig = NetConfig()
    data: DataConfig
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()


def read_config(path: Path) -> TrainConfig:
    """Read a training configuration; ConfigError names every unknown, missing or invalid key."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read configuration {path}: {error}; name a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"configuration {path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"configuration {path} has no keys; configs/default.yaml shows them all")
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        problems = "".join(f"\n  {_problem(item)}" for item in error.errors())
        raise ConfigError(f"configuration {path} is not valid:{problems}") from error


def _problem(item: ErrorDetails) -> str:
    """One line: the key, and what is wrong with it."""
    key = ".".join(map(str, item["loc"])) or "(top)"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if item["type"] == "missing":
        return f"{key}: missing"
    found = "" if isinstance(item["input"], dict) else f"; found {item['input']!r}"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}{found}"
