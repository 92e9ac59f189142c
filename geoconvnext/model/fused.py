"""Layers whose parts run together, in the caches.

fused.cpp is compiled once by the system's compiler, and kept. Features are bfloat16 (N, H, W, channels). A
tile of weights has 32 inputs and 16 outputs.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from geoconvnext.model.cache import cache_folder
from geoconvnext.model.fold import CHANNELS
from geoconvnext.model.placement import Unit, find_units

DEPTH, LANES = 32, 16
SOURCE = Path(__file__).with_name("fused.cpp")
OPTIONS = ("-O3", "-std=c++20", "-fPIC", "-shared", "-fopenmp")

AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma")
UNITS: Mapping[Unit, tuple[str, ...]] = {"amx": (*AVX512, "-mamx-tile", "-mamx-bf16"), "avx512": AVX512}
"""Options of the compiler."""


@dataclass(frozen=True)
class Code:
    """The machine code for a unit."""

    unit: Unit
    library: ctypes.CDLL


def find_code() -> Code | None:
    """Load the machine code for the fastest unit of this processor, compiled in a few seconds if need be.

    None where it has none of them, or no compiler knows one.
    """
    return next(filter(None, map(load_code, find_units())), None)


@functools.cache
def load_code(unit: Unit) -> Code | None:
    """Load the machine code for a unit; None where that is absent or not allowed, or has no compiler."""
    if sys.platform != "linux" or unit not in find_units():
        return None
    try:
        library = ctypes.CDLL(str(_compiled(unit)))
    except (OSError, subprocess.CalledProcessError):
        return None
    return Code(unit, library) if library.allow() else None


class Description(ctypes.Structure):
    """`Convolution` of fused.cpp."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("channels", "outputs", "side", "stride", "padding", "joined")),
        *((name, ctypes.c_int) for name in ("normal_inputs", "normal_outputs", "rectified", "doubling")),
        ("levels", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("weights", "last", "bias", "scale", "shift", "last_bias")),
    )


class FusedConvolution:
    """A convolution with what comes before and after it.

    conv: of square kernels, its outputs a multiple of 16; normal_inputs: LayerNorm without affine part before
    it; norm: LayerNorm after it; rectified: ReLU; doubling: sub-pixels in groups become pixels; output: a
    convolution of single pixels to logits, which are given as bytes.
    """

    def __init__(
        self,
        code: Code,
        conv: nn.Conv2d,
        *,
        normal_inputs: bool = False,
        norm: nn.LayerNorm | None = None,
        rectified: bool = False,
        doubling: bool = False,
        output: nn.Conv2d | None = None,
        joined: bool = False,
    ) -> None:
        self._library = code.library
        self._stride, self._side, self._padding = conv.stride[0], conv.kernel_size[0], int(conv.padding[0])
        self._outputs, self._levels = conv.out_channels, output.out_channels if output else 0
        self._finer = 2 if doubling or self._levels > len(CHANNELS) else 1
        self._kept = {
            "weights": pack(conv.weight),
            "bias": _numbers(conv.bias, conv.out_channels),
            "scale": _numbers(norm.weight if norm else None, conv.out_channels),
            "shift": _numbers(norm.bias if norm else None, conv.out_channels),
            "last": pack(output.weight) if output else torch.empty(0),
            "last_bias": _numbers(output.bias if output else None, LANES),
        }
        self._description = Description(
            channels=conv.in_channels,
            outputs=conv.out_channels,
            side=self._side,
            stride=self._stride,
            padding=self._padding,
            joined=joined,
            normal_inputs=normal_inputs,
            normal_outputs=norm is not None,
            rectified=rectified,
            doubling=doubling,
            levels=self._levels,
            **{name: tensor.data_ptr() for name, tensor in self._kept.items()},
        )

    def __call__(self, images: Tensor, others: Tensor | None = None) -> Tensor:
        """Features (N, H, W, channels) to such, or to bytes (N, 3, H, W); others: joined to the channels."""
        count, height, width, _ = images.shape
        rows, columns = (
            (extent + 2 * self._padding - self._side) // self._stride + 1 for extent in (height, width)
        )
        rows, columns = rows * self._finer, columns * self._finer
        if self._levels:
            result = torch.empty(count, len(CHANNELS), rows, columns, dtype=torch.uint8)
        else:
            result = torch.empty(count, rows, columns, self._outputs // self._finer**2, dtype=torch.bfloat16)
        self._library.convolve(
            ctypes.byref(self._description),
            _address(images),
            _address(images if others is None else others),
            *(count, height, width),
            *(_address(result), _address(result)),
            torch.get_num_threads(),
        )
        return result


class BlockDescription(ctypes.Structure):
    """`Block` of fused.cpp."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("channels", "width")),
        *((name, ctypes.c_void_p) for name in ("taps", "taps_bias", "first", "second")),
        *((name, ctypes.c_void_p) for name in ("first_bias", "second_bias")),
    )


class FusedBlock:
    """A folded ConvNeXt block, its channels a multiple of 32."""

    def __init__(self, code: Code, block: Any) -> None:
        self._library = code.library
        first, second, filters = block.mlp.fc1, block.mlp.fc2, block.conv_dw
        width, channels = first.weight.shape[:2]
        self._kept = {
            "taps": filters.weight.detach().float().view(channels // LANES, LANES, -1).mT.contiguous(),
            "taps_bias": _numbers(filters.bias, channels),
            "first": pack(first.weight),
            "second": pack(second.weight),
            "first_bias": _numbers(first.bias, width),
            "second_bias": _numbers(second.bias, channels),
        }
        addresses = {name: tensor.data_ptr() for name, tensor in self._kept.items()}
        self._description = BlockDescription(channels=channels, width=width, **addresses)

    def __call__(self, features: Tensor) -> Tensor:
        """Features (N, H, W, channels) to such."""
        result = torch.empty_like(features)
        self._library.transform(
            ctypes.byref(self._description),
            _address(features),
            *features.shape[:3],
            _address(result),
            torch.get_num_threads(),
        )
        return result


class FusedTable:
    """Values of bytes, band by band: (bands, 256)."""

    def __init__(self, code: Code, values: Tensor) -> None:
        self._library = code.library
        self._values = values.bfloat16().contiguous()

    def __call__(self, images: Tensor) -> Tensor:
        """(N, bands, H, W) uint8 to features (N, H, W, bands)."""
        count, bands, height, width = images.shape
        images = images.contiguous()
        result = torch.empty(count, height, width, bands, dtype=torch.bfloat16)
        pixels = ctypes.c_long(height * width)
        self._library.translate(
            _address(images), count, bands, pixels, _address(self._values), _address(result)
        )
        return result


def pack(weight: Tensor) -> Tensor:
    """Order weights (outputs, inputs[, side, side]) as tiles [outputs / 16][side][side * inputs / 32].

    A tile has 16 rows of pairs of inputs, 16 outputs each; zeros where there are no weights.
    """
    outputs, inputs, side, _ = (*weight.shape, 1, 1)[:4]
    rows = weight.detach().float().reshape(outputs, inputs, side, side).permute(0, 2, 3, 1)
    missing = (0, -side * inputs % DEPTH, 0, 0, 0, -outputs % LANES)
    tiles = pad(rows.flatten(2), missing).reshape(-(-outputs // LANES), LANES, -1, LANES, 2)
    return tiles.permute(0, 2, 3, 1, 4).bfloat16().contiguous()


def _numbers(values: Tensor | None, count: int) -> Tensor:
    """At least so many numbers, zeros where there are no values."""
    numbers = torch.zeros(0) if values is None else values.detach().float()
    return pad(numbers, (0, max(0, count - len(numbers)))).contiguous()


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _compiled(unit: Unit) -> Path:
    """Compile for a unit, unless that was done; the file appears complete or not at all."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or "g++"
    command = (*compiler.split(), *OPTIONS, *UNITS[unit])
    digest = hashlib.sha256(SOURCE.read_bytes() + repr(command).encode()).hexdigest()[:32]
    path = cache_folder() / f"{digest}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = Path(folder) / path.name
            subprocess.run([*command, str(SOURCE), "-o", str(draft)], check=True, capture_output=True)  # noqa: S603
            draft.replace(path)
    return path
