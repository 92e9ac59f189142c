"""The building network: encoder, decoder and super-resolution head, with normalisation inside."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from geoconvnext.errors import ConfigError
from geoconvnext.model.decoder import AuxiliaryHead, FPNDecoder, UPerNetDecoder
from geoconvnext.model.encoder import ConvNeXtEncoder
from geoconvnext.model.superres import SuperResolutionHead

OUTPUTS = {"body": 1, "edge": 1, "contact": 1, "orientation": 2}
SCALES = (1, 2, 4)
AUXILIARY_STAGE = 2
NORMALISATION = ("mean", "std")


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """Everything that is needed to build a network.

    encoder: timm's name of a ConvNeXt.
    decoder: `fpn` (tile-local) or `upernet` (the papers').
    decoder_channels: width of the decoder.
    bands: bands of the image.
    scale: finest one, in mask pixels per image pixel along an axis; coarser ones are served too.
    drop_path: stochastic depth while training.
    mean, std: per band, in grey values 0..255.
    """

    encoder: str = "convnext_pico"
    decoder: Literal["fpn", "upernet"] = "fpn"
    decoder_channels: int = 64
    bands: int = 3
    scale: int = 2
    drop_path: float = 0.1
    mean: tuple[float, ...] = (110.0, 110.0, 105.0)
    std: tuple[float, ...] = (55.0, 52.0, 52.0)

    def __post_init__(self) -> None:
        if self.decoder not in {"fpn", "upernet"}:
            raise ConfigError(f"decoder {self.decoder!r} is unknown; choose fpn or upernet")
        if self.decoder_channels < 1:
            raise ConfigError(f"decoder_channels must be 1 or more; found {self.decoder_channels}")
        if self.scale not in SCALES:
            raise ConfigError(f"scale {self.scale} is not possible; choose 1, 2 or 4")
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"drop_path must be 0 or more and less than 1; found {self.drop_path}")
        self._check_normalisation()

    def _check_normalisation(self) -> None:
        if self.bands < 1 or len(self.mean) != self.bands or len(self.std) != self.bands:
            raise ConfigError(
                f"a network for {self.bands} bands needs as many values of mean and std, at least one;"
                f" found {len(self.mean)} and {len(self.std)}"
            )
        if min(self.std) <= 0 or not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise ConfigError(
                f"mean and std must be finite and std positive; found mean {self.mean} and std {self.std}"
            )

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales at which the network has outputs, coarsest first."""
        return tuple(scale for scale in SCALES if scale <= self.scale)

    @property
    def tile_local(self) -> bool:
        """Whether a pixel's result depends on its surroundings alone, whatever tile it is read in."""
        return self.decoder == "fpn" and not self.encoder.startswith("convnextv2")


class BuildingNet(nn.Module):
    """Logits of building body, edge, contact and orientation on a grid up to `scale` times the image's."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        spec: NetSpec,
        encoder: ConvNeXtEncoder,
        decoder: nn.Module,
        head: nn.Module,
        auxiliary: nn.Module,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1))
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.auxiliary = auxiliary

    def forward(
        self, image: Tensor, scale: int | None = None, *, auxiliary: bool = True
    ) -> dict[str, Tensor]:
        """Logits by name, at `scale` (None: the finest); ConfigError where the network has no such scale.

        `image`: (N, bands, H, W) grey values 0..255, H and W multiples of 32. Each output is
        (N, 1, scale*H, scale*W), orientation (N, 2, ...) holds cos 4t and sin 4t of the walls' direction t.

        While training there are also `decoded` (N, C, H/4, W/4) and `mask_features` (N, F, scale*H, scale*W)
        for an image branch (`model.image_branch`), and, unless it is switched off, `auxiliary`
        (N, 1, H/16, W/16), the body at stride 16.
        """
        scale = self.spec.scale if scale is None else scale
        if scale not in self.spec.scales:
            raise ConfigError(f"scale {scale} was asked of a network that has {self.spec.scales}; choose one")
        image = (image - self.mean) / self.std
        image = image.to(dtype=next(self.encoder.parameters()).dtype)
        stages = self.encoder(image)
        decoded = self.decoder(stages)
        logits, features = self.head(decoded, image, scale)
        outputs = dict(zip(OUTPUTS, logits.split(list(OUTPUTS.values()), dim=1), strict=True))
        if self.training:
            outputs |= {"decoded": decoded, "mask_features": features}
            if auxiliary:
                outputs["auxiliary"] = self.auxiliary(stages[AUXILIARY_STAGE])
        return outputs


def build_net(spec: NetSpec) -> BuildingNet:
    """Assemble a network with fresh weights; ConfigError where there is no such encoder."""
    encoder = ConvNeXtEncoder(spec.encoder, bands=spec.bands, drop_path=spec.drop_path)
    decoders = {"fpn": FPNDecoder, "upernet": UPerNetDecoder}
    decoder = decoders[spec.decoder](encoder.channels, spec.decoder_channels)
    head = SuperResolutionHead(
        spec.decoder_channels, bands=spec.bands, outputs=sum(OUTPUTS.values()), scale=spec.scale
    )
    auxiliary = AuxiliaryHead(encoder.channels[AUXILIARY_STAGE], classes=1)
    return BuildingNet(spec, encoder, decoder, head, auxiliary)
