"""Augmentation: geometry and ground sampling distance by one warp, colour and sensor by albumentations."""

import os
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.targets import UNLABELLED

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
import albumentations as A  # noqa: N812


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Where and how a training sample is cut from a tile.

    row, col: centre in tile pixels; angle: radians; mirror: flip columns; zoom: tile pixels per sample pixel.
    """

    row: float
    col: float
    angle: float = 0.0
    mirror: bool = False
    zoom: float = 1.0

    def matrix(self, size: int) -> NDArray[np.float64]:
        """Affine matrix (2, 3) from pixel indices of a sample (`size` x `size`) to those of the tile."""
        cos, sin = np.cos(self.angle) * self.zoom, np.sin(self.angle) * self.zoom
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if self.mirror else 1.0, 1.0])
        centre = np.array([self.col, self.row]) - 0.5
        return np.column_stack([linear, centre - linear @ np.full(2, size / 2 - 0.5)])


def cut_image(image: NDArray[np.uint8], crop: Crop, size: int) -> NDArray[np.uint8]:
    """Cut a sample (size, size, C) from a tile (H, W, C), blurred where it shrinks, reflected outside."""
    if crop.zoom > 1.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * crop.zoom), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = crop.matrix(size)
    warped = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.uint8)


def cut_labels(
    labels: NDArray[np.uint16], crop: Crop, size: int, *, label_fineness: int, scale: int
) -> NDArray[np.uint16]:
    """Cut (scale*size, scale*size) from labels `label_fineness` finer than the tile; UNLABELLED outside."""
    fine = size * scale
    zoom = crop.zoom * label_fineness / scale
    at_labels = Crop(
        row=crop.row * label_fineness,
        col=crop.col * label_fineness,
        angle=crop.angle,
        mirror=crop.mirror,
        zoom=zoom,
    )
    warped = cv2.warpAffine(
        labels,
        at_labels.matrix(fine),
        (fine, fine),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNLABELLED,
    )
    return np.asarray(warped, np.uint16)


def sensor_augmentation(seed: int | None = None) -> A.Compose:
    """Do to an image=(H, W, 3) uint8 what light, air, optics, electronics and compression do."""
    return A.Compose(
        [
            A.RandomBrightnessContrast(brightness_limit=0.25, contrast_limit=0.35, p=0.7),
            A.HueSaturationValue(hue_shift_limit=12, sat_shift_limit=40, val_shift_limit=0, p=0.5),
            A.RandomGamma(gamma_limit=(65, 150), p=0.4),
            A.RGBShift(r_shift_limit=20, g_shift_limit=20, b_shift_limit=20, p=0.4),
            A.ToGray(p=0.05),
            A.OneOf([A.GaussianBlur(sigma_limit=(0.4, 1.4)), A.Downscale(scale_range=(0.45, 0.8))], p=0.35),
            A.Sharpen(alpha=(0.1, 0.4), p=0.15),
            A.GaussNoise(std_range=(0.01, 0.05), p=0.25),
            A.ImageCompression(quality_range=(45, 95), p=0.3),
        ],
        seed=seed,
    )
