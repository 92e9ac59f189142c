"""Layers on the AMX tiles of a processor: amx.cpp, compiled once by the system's compiler, and kept.

Features are bfloat16 (N, H, W, channels). A product has 32 inputs and 16 outputs per tile of weights.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from geoconvnext.model.cache import cache_folder
from geoconvnext.model.fold import CHANNELS

DEPTH, LANES = 32, 16
SOURCE = Path(__file__).with_name("amx.cpp")
UNITS = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512bf16", "fma", "amx-tile", "amx-bf16")
OPTIONS = ("-O3", "-std=c++20", "-fPIC", "-shared", "-fopenmp", *(f"-m{unit}" for unit in UNITS))


@functools.cache
def find_code() -> ctypes.CDLL | None:
    """Load the machine code, compiled in a few seconds if need be.

    None where the processor has no AMX, the system does not allow it or no compiler knows it.
    """
    if sys.platform != "linux" or not torch.cpu._is_amx_tile_supported():  # noqa: SLF001
        return None
    try:
        code = ctypes.CDLL(str(_compiled()))
    except (OSError, subprocess.CalledProcessError):
        return None
    return code if code.allow_tiles() else None


class Description(ctypes.Structure):
    """`Convolution` of amx.cpp."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("channels", "outputs", "side", "stride", "padding", "joined")),
        *((name, ctypes.c_int) for name in ("normal_inputs", "normal_outputs", "rectified", "doubling")),
        ("levels", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("weights", "last", "bias", "scale", "shift", "last_bias")),
    )


class AmxConvolution:
    """A convolution with what comes before and after it.

    conv: of square kernels, its outputs a multiple of 16; normal_inputs: LayerNorm without affine part before
    it; norm: LayerNorm after it; rectified: ReLU; doubling: sub-pixels in groups become pixels; output: a
    convolution of single pixels to logits, which are given as bytes.
    """

    def __init__(
        self,
        code: ctypes.CDLL,
        conv: nn.Conv2d,
        *,
        normal_inputs: bool = False,
        norm: nn.LayerNorm | None = None,
        rectified: bool = False,
        doubling: bool = False,
        output: nn.Conv2d | None = None,
        joined: bool = False,
    ) -> None:
        self._code = code
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
        self._code.convolve(
            ctypes.byref(self._description),
            _address(images),
            _address(images if others is None else others),
            *(count, height, width),
            *(_address(result), _address(result)),
            torch.get_num_threads(),
        )
        return result


class BlockDescription(ctypes.Structure):
    """`Block` of amx.cpp."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("channels", "width")),
        *((name, ctypes.c_void_p) for name in ("taps", "taps_bias", "first", "second")),
        *((name, ctypes.c_void_p) for name in ("first_bias", "second_bias")),
    )


class AmxBlock:
    """A folded ConvNeXt block, its channels a multiple of 32."""

    def __init__(self, code: ctypes.CDLL, block: Any) -> None:
        self._code = code
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
        self._code.transform(
            ctypes.byref(self._description),
            _address(features),
            *features.shape[:3],
            _address(result),
            torch.get_num_threads(),
        )
        return result


class AmxTable:
    """Values of bytes, band by band: (bands, 256)."""

    def __init__(self, code: ctypes.CDLL, values: Tensor) -> None:
        self._code = code
        self._values = values.bfloat16().contiguous()

    def __call__(self, images: Tensor) -> Tensor:
        """(N, bands, H, W) uint8 to features (N, H, W, bands)."""
        count, bands, height, width = images.shape
        images = images.contiguous()
        result = torch.empty(count, height, width, bands, dtype=torch.bfloat16)
        pixels = ctypes.c_long(height * width)
        self._code.translate(_address(images), count, bands, pixels, _address(self._values), _address(result))
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


def _compiled() -> Path:
    """Compile, unless that was done; the file appears complete or not at all."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or "g++"
    digest = hashlib.sha256(SOURCE.read_bytes() + repr((compiler, OPTIONS)).encode()).hexdigest()[:32]
    path = cache_folder() / f"{digest}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = Path(folder) / path.name
            command = [*compiler.split(), *OPTIONS, str(SOURCE), "-o", str(draft)]
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            draft.replace(path)
    return path
