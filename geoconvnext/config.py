"""Training configuration: read from YAML, typed and validated."""

from pathlib import Path
from typing import Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from geoconvnext.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


ConfigT = TypeVar("ConfigT", bound=_Section)


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
    encoder_weights: str | None = None  # file, or `hub` or `hub:NAME`: timm's, downloaded
    start_from: Path | Literal["default"] | None = None  # `default`: the shipped weights

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


class SampleConfig(_Section):
    """Samples of one output scale: image pixels on a side, metres per pixel, share of the batches."""

    scale: Literal[1, 2, 4]
    size: int = Field(default=256, ge=64, multiple_of=32)
    gsd_range_m: tuple[float, float] = (0.3, 0.5)
    share: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 < self.gsd_range_m[0] <= self.gsd_range_m[1]:
            raise ValueError(f"gsd_range_m must be two positive ascending numbers; found {self.gsd_range_m}")
        return self


class DataConfig(_Section):
    """Tile sets and how samples are cut from them; the first of `samples` is validated and predicted with."""

    train: list[TileSetConfig] = Field(min_length=1)
    val: list[Path] = Field(min_length=1)
    samples: list[SampleConfig] = Field(default=[SampleConfig(scale=2)], min_length=1)
    workers: int = Field(default=1, ge=0)


class AugmentConfig(_Section):
    """How often each augmentation is done, 0..1; see `data.augment.Augmentation`."""

    rotate: float = Field(default=0.5, ge=0, le=1)
    colour: float = Field(default=1.0, ge=0, le=1)
    haze: float = Field(default=0.15, ge=0, le=1)
    sensor: float = Field(default=1.0, ge=0, le=1)
    copy_paste: float = Field(default=0.0, ge=0, le=1)


class LossConfig(_Section):
    """Weight of each part of the loss; see `model.losses.LossWeights`."""

    body: float = Field(default=1.0, ge=0)
    focus: float = Field(default=0.0, ge=0)
    dice: float = Field(default=1.0, ge=0)
    edge: float = Field(default=0.5, ge=0)
    contact: float = Field(default=0.3, ge=0)
    orientation: float = Field(default=0.1, ge=0)
    auxiliary: float = Field(default=0.4, ge=0)
    image: float = Field(default=0.0, ge=0)
    affinity: float = Field(default=0.0, ge=0)


class OptimConfig(_Section):
    """Optimiser with linear warm-up and decay, and the average of the weights that is kept.

    muon (orthogonalised momentum) learns far faster from scratch, adamw is the published choice for
    fine-tuning, with layer_decay 0.9 and schedule linear. A step sees `accumulate` batches of each device.
    """

    optimizer: Literal["muon", "adamw"] = "muon"
    steps: int = Field(default=20000, ge=1)
    batch_size: int = Field(default=8, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["cosine", "linear"] = "cosine"
    warmup_steps: int = Field(default=500, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)


class TrainConfig(_Section):
    """Everything that a training run needs."""

    output: Path
    seed: int = Field(default=0, ge=0)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    val_every_steps: int = Field(default=1000, ge=1)
    net: NetConfig = NetConfig()
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()


class PretrainConfig(_Section):
    """Masked pretraining of an encoder on unlabelled scenes (FCMAE, arXiv 2301.00808)."""

    output: Path
    seed: int = Field(default=0, ge=0)
    precision: Literal["bf16-mixed", "32-true"] = "32-true"
    save_every_steps: int = Field(default=500, ge=1)
    encoder: str = "convnextv2_atto"
    bands: int = Field(default=3, ge=1)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scenes: list[str] = Field(min_length=1)  # files, folders or globs
    leave_out: Path | None = None  # vector file: no sample touches its areas
    gsd_range_m: tuple[float, float] = (0.2, 0.6)
    sample_size: int = Field(default=224, ge=64, multiple_of=32)
    mask_share: float = Field(default=0.6, gt=0, lt=1)
    decoder_channels: int = Field(default=512, ge=16)
    workers: int = Field(default=1, ge=0)
    steps: int = Field(default=20000, ge=1)
    batch_size: int = Field(default=32, ge=1)
    base_learning_rate: float = Field(default=1.5e-4, gt=0)  # of a batch of 256
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_steps: int = Field(default=500, ge=0)


def read_config(path: Path) -> TrainConfig:
    """Read a training configuration; ConfigError names every unknown, missing or invalid key."""
    return _read(path, TrainConfig)


def read_pretrain_config(path: Path) -> PretrainConfig:
    """Read a configuration of masked pretraining; ConfigError as above."""
    return _read(path, PretrainConfig)


def _read(path: Path, kind: type[ConfigT]) -> ConfigT:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read configuration {path}: {error}; name a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"configuration {path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"configuration {path} has no keys; configs/small.yaml shows them all")
    try:
        return kind.model_validate(values)
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
