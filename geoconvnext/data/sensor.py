"""What a sensor does to a sharp image, at any loss of resolution: optics, detector and electronics."""

from math import log, pi, sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8s = NDArray[np.uint8]

MODULATION = (0.1, 0.35)
"""What optics leave of the contrast of the finest pattern that the detector can show (its Nyquist)."""
BLUR_AGAIN, SHIFT_BANDS, NOISE = 0.35, 0.15, 0.35
"""How often an image that becomes no coarser, and so had its optics before, is blurred once more; how often
bands are shifted and noise is added."""


def degrade(image: UInt8s, factor: int, rng: np.random.Generator) -> UInt8s:
    """See an image (H, W, C) with a sensor whose pixels are `factor` times as large."""
    if factor > 1 or rng.random() < BLUR_AGAIN:
        image = _blur(image, factor * gaussian_sigma(rng.uniform(*MODULATION)))
    if rng.random() < SHIFT_BANDS:
        image = _shift_bands(image, rng.normal(0, 0.2 * factor, (image.shape[2], 2)))
    image = shrink(image, factor)
    return _add_noise(image, rng) if rng.random() < NOISE else image


def gaussian_sigma(modulation: float) -> float:
    """Find the standard deviation in pixels of a Gaussian that leaves so much of the finest pattern."""
    return sqrt(-2 * log(modulation)) / pi


def shrink(image: UInt8s, factor: int) -> UInt8s:
    """Area average of factor x factor pixels."""
    if factor == 1:
        return image
    height, width, bands = image.shape
    size = (width // factor, height // factor)
    return _as_bands(cv2.resize(image, size, interpolation=cv2.INTER_AREA), bands)


def _blur(image: UInt8s, sigma: float) -> UInt8s:
    return _as_bands(cv2.GaussianBlur(image, (0, 0), sigma), image.shape[2])


def _shift_bands(image: UInt8s, shifts: NDArray[np.float64]) -> UInt8s:
    """Move band after band by (x, y) pixels."""
    moved = [
        cv2.warpAffine(
            np.ascontiguousarray(image[..., band]),
            np.column_stack([np.eye(2), shift]),
            image.shape[1::-1],
            borderMode=cv2.BORDER_REFLECT_101,
        )
        for band, shift in enumerate(shifts)
    ]
    return np.dstack(moved)


def _add_noise(image: UInt8s, rng: np.random.Generator) -> UInt8s:
    """Add noise of the electronics and of the light, whose variance grows with the signal."""
    read, light = rng.uniform(0.005, 0.03), rng.uniform(0, 0.04)
    strength = 255 * np.sqrt(read**2 + light**2 * np.linspace(0, 1, 256, dtype=np.float32))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * strength[image]
    return np.asarray(np.clip(np.rint(image + noise), 0, 255), np.uint8)


def _as_bands(image: Any, bands: int) -> UInt8s:
    """Give a single band its axis back, which OpenCV drops."""
    return np.asarray(image, np.uint8).reshape(*image.shape[:2], bands)
