"""The sensor: haze, colour, optical blur, noise, sharpening, compression."""

from math import log, pi, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.kernels import Floats


def expose(image: Floats, dice: Dice) -> NDArray[np.uint8]:
    """Turn reflectance (H, W, 3) in 0..255 into what a camera delivers, uint8 (H, W, 3)."""
    seed = dice.below(2**40)
    image = _optics(image, dice)
    image = _colours(image, dice)
    image = _noise(image, dice, seed)
    if dice.chance(0.35):
        strength = dice.uniform(0.3, 1.5)
        image = image + strength * (image - _blurred(image, dice.uniform(0.8, 1.4)))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return _compressed(pixels, int(100 - 65 * dice.random() ** 1.7)) if dice.chance(0.65) else pixels


def _blurred(image: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.float32)


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Pass through JPEG; OpenCV wants blue first."""
    ok, code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1]


def _optics(image: Floats, dice: Dice) -> Floats:
    """Blur by the modulation at Nyquist (.1 to .35, aerial to .6); some scenes come from a coarser sensor."""
    modulation = dice.uniform(0.1, 0.35) if dice.chance(0.6) else dice.uniform(0.3, 0.6)
    image = _blurred(image, sqrt(-2 * log(modulation)) / pi)
    if not dice.chance(0.2):
        return image
    coarse, method = dice.uniform(1.2, 2.2), dice.pick((cv2.INTER_CUBIC, cv2.INTER_LINEAR))
    height, width = image.shape[:2]
    size = (max(8, int(width / coarse)), max(8, int(height / coarse)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=method), dtype=np.float32)


def _colours(image: Floats, dice: Dice) -> Floats:
    """Apply saturation, white balance, haze, exposure and gamma."""
    keep = dice.uniform(0.4, 1.05)
    third = (1 - keep) / 3
    mix = np.full((3, 3), third, np.float32) + keep * np.eye(3, dtype=np.float32)
    haze = max(0.0, dice.gauss(0.04, 0.06))
    air = np.array((150.0, 165.0, 180.0))
    warm = dice.gauss(0, 0.05)
    balance = (1 + warm, 1 + dice.gauss(0, 0.025), 0.96 - warm + dice.gauss(0, 0.03))
    gain = np.array(balance) * dice.uniform(0.7, 1.3)
    matrix = (mix * gain[:, None] * (1 - haze)).astype(np.float32)
    offset = (air * haze - dice.pick((0.0, 0.0, dice.uniform(0, 25)))).astype(np.float32)
    image = np.asarray(cv2.transform(image, np.hstack([matrix, offset[:, None]])), dtype=np.float32)
    gamma = dice.uniform(0.75, 1.35)
    curve = (255 * (np.arange(1025) / 1024) ** gamma).astype(np.float32)
    index = np.clip(image * (1024 / 255), 0, 1024).astype(np.int16)
    image = curve[index]
    return _stretched(image, dice) if dice.chance(0.55) else image


def _stretched(image: Floats, dice: Dice) -> Floats:
    """Stretch contrast between percentiles of a decimated view, as map makers do."""
    low, high = np.percentile(image[::7, ::7], (dice.uniform(0.1, 3), dice.uniform(97, 99.9)))
    bottom, top = dice.uniform(0, 30), dice.uniform(205, 265)
    factor = (top - bottom) / max(float(high - low), 60.0)
    return np.asarray((image - low) * factor + bottom, dtype=np.float32)


def _noise(image: Floats, dice: Dice, seed: int) -> Floats:
    """Add noise that grows with the signal; sometimes correlated, as after resampling."""
    floor, slope = 0.2 + 2.0 * dice.random() ** 2, 0.22 * dice.random() ** 2
    rng = np.random.Generator(np.random.SFC64(seed))
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    if dice.chance(0.4):
        grain = 1.6 * _blurred(grain, 0.6)
    return np.asarray(image + grain * np.sqrt(floor * floor + slope * np.maximum(image, 0)), dtype=np.float32)
