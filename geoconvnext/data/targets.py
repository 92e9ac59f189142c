"""Targets from polygons: body, edge, contact and orientation on a grid of any fineness, widths in metres."""

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from geoconvnext.data.coverage import cover
from geoconvnext.data.rings import Rings
from geoconvnext.data.walls import near_two, near_walls

IGNORE = 255
WHOLE = 254
"""Body of a pixel that buildings cover completely."""
ORIENTATION_STRIDE = 4
EDGE_M, CONTACT_M = 0.5, 1.2
MIN_RADIUS_PX = 1.0
"""Thinner lines would break where they run between the pixels' centres."""
ORIENTATION_SIGMA_M = 3.0
HALF_DIAGONAL_PX = 0.7072


@dataclass(frozen=True)
class Targets:
    """Targets of one sample, its pixels being those of the network's output.

    body: uint8 (H, W), the share that buildings cover in parts of WHOLE. edge, contact: uint8 (H, W), 0 or 1.
    IGNORE in all three where nothing is known. orientation: float32 (2, H/4, W/4), cos 4t and sin 4t of the
    direction t of the walls nearby, from columns towards rows, times its certainty (0 without walls).
    """

    body: NDArray[np.uint8]
    edge: NDArray[np.uint8]
    contact: NDArray[np.uint8]
    orientation: NDArray[np.float32]


def margin_px(gsd_m: float) -> int:
    """How far around a sample `make_targets` wants to know what is known."""
    return ceil(max(EDGE_M, CONTACT_M) / gsd_m)


def make_targets(rings: Rings, known: NDArray[np.bool_], *, gsd_m: float, separate: bool = True) -> Targets:
    """Targets of rings in pixels of `gsd_m`.

    known: (H + 2m, W + 2m) where m is `margin_px(gsd_m)`, and H and W are multiples of 4: false where nobody
    knows of buildings. There and as near to it as an edge or a contact is wide, walls of unknown buildings
    may be, and those of known ones may be where somebody cut them off: both are ignored. Edges are the pixels
    within EDGE_M of a wall, contacts those within CONTACT_M of two buildings. Where `separate` is false
    touching buildings are one polygon, so nothing is said about contacts.
    """
    margin = margin_px(gsd_m)
    clear_px = _distance_to_unknown(known)[margin:-margin, margin:-margin]
    height, width = clear_px.shape
    edge_px, contact_px = (max(metres / gsd_m, MIN_RADIUS_PX) for metres in (EDGE_M, CONTACT_M))
    covered = cover(rings, height=height, width=width)
    body = np.rint(covered.share * WHOLE).astype(np.uint8)
    edge = near_walls(rings, edge_px, height=height, width=width).view(np.uint8)
    if separate:
        contact = near_two(rings, covered.number, contact_px).view(np.uint8)
    else:
        contact = np.full_like(body, IGNORE)
    for target, width_px in ((body, 0), (edge, edge_px), (contact, contact_px)):
        target[clear_px <= width_px] = IGNORE
    return Targets(body, edge, contact, _orientation(covered.share, clear_px > 0, gsd_m))


def _distance_to_unknown(known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """At most the distance from each pixel's centre to unknown ground; 0 where it is unknown itself."""
    if known.all():
        return np.full(known.shape, np.inf, np.float32)
    to_centres = cv2.distanceTransform(known.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.maximum(to_centres - HALF_DIAGONAL_PX, 0), np.float32)


def _orientation(share: NDArray[np.float32], known: NDArray[np.bool_], gsd_m: float) -> NDArray[np.float32]:
    """Fourfold direction of the walls around, from the slope of the coverage, at a quarter of the grid."""
    size = share.shape[1] // ORIENTATION_STRIDE, share.shape[0] // ORIENTATION_STRIDE
    coarse = cv2.resize(share, size, interpolation=cv2.INTER_AREA)
    gradient = cv2.Scharr(coarse, cv2.CV_32F, 1, 0) + 1j * cv2.Scharr(coarse, cv2.CV_32F, 0, 1)
    if not known.all():
        unknown = cv2.resize((~known).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        gradient[cv2.dilate(unknown, np.ones((3, 3), np.uint8)) > 0] = 0
    strength = np.abs(gradient)
    fourfold = gradient**4 / np.maximum(strength, 1e-3) ** 3
    sigma = ORIENTATION_SIGMA_M / gsd_m / ORIENTATION_STRIDE
    smooth = [cv2.GaussianBlur(part, (0, 0), sigma) for part in (fourfold.real, fourfold.imag, strength)]
    inside = cv2.dilate(coarse, np.ones((3, 3), np.uint8)) > 0
    certain = np.stack(smooth[:2]) / np.maximum(smooth[2], 4e-2) * inside
    return certain.astype(np.float32)
