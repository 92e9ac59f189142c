"""Augmentation of what a sample shows: light, air and sensor. Its geometry is the crop's."""

import os
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.sensor import degrade, shrink

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
import albumentations as A  # noqa: N812

UInt8s = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How often each augmentation is done, 0..1.

    rotate: tilt by any angle; quarter turns and mirroring come without asking. colour: brightness, contrast,
    hue. haze: air between. sensor: optics, noise, sharpening, compression. copy_paste: buildings of another
    sample on empty ground.
    """

    rotate: float = 0.5
    colour: float = 1.0
    haze: float = 0.15
    sensor: float = 1.0
    copy_paste: float = 0.0

    def light(self, image: UInt8s, rng: np.random.Generator) -> UInt8s:
        """Change light, colours and air of an image (H, W, C)."""
        if rng.random() < self.colour:
            image = _apply(_colours(rgb=image.shape[2] == 3), image, rng)
        if rng.random() < self.haze:
            image = add_haze(image, rng)
        return image

    def view(self, image: UInt8s, factor: int, rng: np.random.Generator) -> UInt8s:
        """See an image (H, W, C) with pixels `factor` times as large: (H/factor, W/factor, C)."""
        if rng.random() >= self.sensor:
            return shrink(image, factor)
        seen = degrade(image, factor, rng)
        return _apply(_processing(jpeg=image.shape[2] in {1, 3}), seen, rng)


def add_haze(image: UInt8s, rng: np.random.Generator) -> UInt8s:
    """Blend with the airlight, as much as a smooth random thickness of the air says (Koschmieder's model)."""
    height, width, bands = image.shape
    thickness = np.float32(rng.uniform(0.1, 0.5)) * rng.uniform(0.5, 1, (4, 4)).astype(np.float32)
    veil = cv2.resize(thickness, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    airlight = rng.uniform(170, 245) + rng.uniform(-10, 10, (bands,)).astype(np.float32)
    return np.asarray(np.rint(image + veil * (airlight - image)), np.uint8)


def _apply(transform: A.Compose, image: UInt8s, rng: np.random.Generator) -> UInt8s:
    transform.set_random_seed(int(rng.integers(2**31)))
    return np.asarray(transform(image=image)["image"], np.uint8)


@cache
def _colours(*, rgb: bool) -> A.Compose:
    """Any bands can change in brightness and contrast, only red, green and blue in hue."""
    tone = [
        A.RandomBrightnessContrast(0.25, 0.35, brightness_by_max=False, p=0.7),
        A.RandomGamma(gamma_limit=(65, 150), p=0.4),
    ]
    hue = [
        A.HueSaturationValue(hue_shift_limit=12, sat_shift_limit=40, val_shift_limit=0, p=0.5),
        A.RGBShift(r_shift_limit=20, g_shift_limit=20, b_shift_limit=20, p=0.4),
        A.ToGray(p=0.05),
    ]
    return A.Compose([*tone, *hue] if rgb else tone)


@cache
def _processing(*, jpeg: bool) -> A.Compose:
    compression = [A.ImageCompression(quality_range=(45, 95), p=0.3)] if jpeg else []
    return A.Compose([A.Sharpen(alpha=(0.1, 0.4), p=0.15), *compression])
