"""Targets from instance labels: body, edge, contact and orientation, with widths in metres."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

UNLABELLED = 65535
IGNORE = 255
ORIENTATION_STRIDE = 4


@dataclass(frozen=True)
class Targets:
    """Targets of one tile on the super-resolved grid.

    body, edge, contact: uint8 (H, W), 0, 1 or IGNORE. orientation: float32 (2, H/4, W/4), cos 4t and sin 4t
    of the direction t of the walls nearby, from columns towards rows, times its certainty (0 without walls).
    """

    body: NDArray[np.uint8]
    edge: NDArray[np.uint8]
    contact: NDArray[np.uint8]
    orientation: NDArray[np.float32]


def make_targets(
    instances: NDArray[np.uint16],
    *,
    gsd_m: float,
    separate: bool = True,
    edge_m: float = 0.5,
    contact_m: float = 1.2,
) -> Targets:
    """Targets from instance numbers (H, W), H and W multiples of 4, of ground sampling distance `gsd_m`.

    0 is background and UNLABELLED is ignored. `edge_m` and `contact_m` are the half widths of edges and of
    contacts (pixels near two buildings). Where `separate` is false touching buildings share a number, so
    nothing is said about contacts.
    """
    unlabelled = instances == UNLABELLED
    known = np.where(unlabelled, np.uint16(0), instances)
    body = (known > 0).astype(np.uint8)
    contact = _contact(known, radius_px=contact_m / gsd_m) if separate else np.full_like(body, IGNORE)
    edge = _edge(known, radius_px=edge_m / gsd_m)
    for target in (body, edge, contact):
        target[unlabelled] = IGNORE
    return Targets(body, edge, contact, _orientation(known > 0, sigma_px=3.0 / gsd_m))


def _disk(radius_px: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _edge(instances: NDArray[np.uint16], radius_px: float) -> NDArray[np.uint8]:
    """Pixels within the radius of a place where the instance number changes."""
    change = np.zeros(instances.shape, np.uint8)
    change[:, 1:] |= instances[:, 1:] != instances[:, :-1]
    change[1:] |= instances[1:] != instances[:-1]
    return np.asarray(cv2.dilate(change, _disk(radius_px)), np.uint8)


def _contact(instances: NDArray[np.uint16], radius_px: float) -> NDArray[np.uint8]:
    """Pixels with two different buildings within the radius."""
    disk = _disk(radius_px)
    highest = cv2.dilate(instances, disk)
    lowest = cv2.erode(np.where(instances == 0, np.uint16(UNLABELLED), instances), disk)
    return np.asarray((highest > 0) & (highest != lowest), np.uint8)


def _orientation(body: NDArray[np.bool_], sigma_px: float) -> NDArray[np.float32]:
    """Fourfold direction of the walls around, smoothed over `sigma_px`, at a quarter of the grid."""
    height, width = (size // ORIENTATION_STRIDE for size in body.shape)
    coarse = cv2.resize(body.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    gradient = cv2.Sobel(coarse, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(coarse, cv2.CV_32F, 0, 1)
    strength = np.abs(gradient)
    fourfold = gradient**4 / np.maximum(strength, 1e-3) ** 3
    sigma = sigma_px / ORIENTATION_STRIDE
    smooth = [cv2.GaussianBlur(part, (0, 0), sigma) for part in (fourfold.real, fourfold.imag, strength)]
    inside = cv2.dilate(coarse, np.ones((3, 3), np.uint8)) > 0
    certain = np.stack(smooth[:2]) / np.maximum(smooth[2], 1e-2) * inside
    return certain.astype(np.float32)
