"""Training configuration: read from YAML, typed and validated."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geoconvnext.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetConfig(_Section):
    """The network; see `model.net.NetSpec`."""

    encoder: str = "convnext_pico"
    decoder: Literal["fpn", "upernet"] = "fpn"
    decoder_channels: int = Field(64, ge=16)
    bands: int = Field(3, ge=1)
    scale: Literal[1, 2, 4] = 2
    drop_path: float = Field(0.05, ge=0, lt=1)
    encoder_weights: Path | None = None
    start_from: Path | None = None

    @model_validator(mode="after")
    def _one_start(self) -> NetConfig:
        if self.encoder_weights and self.start_from:
            raise ValueError("give either encoder_weights (a published checkpoint) or start_from (our weights)")
        return self


class TileSetConfig(_Section):
    """A tile set and its share of the training samples (shares need not add up to 1)."""

    path: Path
    share: float = Field(1.0, gt=0)


class DataConfig(_Section):
    """Tile sets and how samples are cut from them."""

    train: list[TileSetConfig] = Field(min_length=1)
    val: list[Path] = Field(min_length=1)
    gsd_range_m: tuple[float, float] = (0.3, 0.5)
    sample_size: int = Field(256, ge=64, multiple_of=32)
    workers: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> DataConfig:
        if not 0 < self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise ValueError(f"gsd_range_m must be two positive ascending numbers; found {self.gsd_range_m}")
        return self


class LossConfig(_Section):
    """Weight of each part of the loss; see `model.losses.LossWeights`."""

    body: float = Field(1.0, ge=0)
    dice: float = Field(1.0, ge=0)
    edge: float = Field(0.5, ge=0)
    contact: float = Field(0.3, ge=0)
    orientation: float = Field(0.1, ge=0)
    auxiliary: float = Field(0.4, ge=0)


class OptimConfig(_Section):
    """AdamW with linear warm-up and cosine decay, and the average of the weights that is kept."""

    steps: int = Field(20000, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup_steps: int = Field(500, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)


class TrainConfig(_Section):
    """Everything that a training run needs."""

    output: Path
    seed: int = 0
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    val_every_steps: int = Field(1000, ge=1)
    net: NetConfig = NetConfig()
    data: DataConfig
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()


def read_config(path: Path) -> TrainConfig:
    """Read a training configuration; ConfigError names every unknown, missing or invalid key."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read configuration {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"configuration {path} is not YAML: {error}") from error
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, item['loc'])) or '(top)'}: {item['msg']}" for item in error.errors()]
        raise ConfigError(f"configuration {path} is not valid:\n" + "\n".join(problems)) from error
