"""Pixel measures of building masks."""

import cv2
import numpy as np
from numpy.typing import NDArray

from geoconvnext.metrics.counts import Counts

Mask = NDArray[np.bool_]


def count_pixels(predicted: Mask, reference: Mask, *, ignore: Mask | None = None) -> Counts:
    """Compare two masks of one shape; pixels where `ignore` is True count nowhere."""
    assert predicted.shape == reference.shape, f"masks of {predicted.shape} and {reference.shape}"
    code = predicted.astype(np.uint8) + 2 * reference.astype(np.uint8)
    counted = code.ravel() if ignore is None else code[~ignore]
    _, false_positive, false_negative, true_positive = np.bincount(counted, minlength=4).tolist()
    return Counts(true_positive, false_positive, false_negative)


def count_boundary_pixels(
    predicted: Mask, reference: Mask, *, distance_px: int, ignore: Mask | None = None
) -> Counts:
    """Compare the boundaries of two masks (height, width): their IoU is Boundary IoU (arXiv 2103.16562).

    The boundary of a mask are its pixels at most distance_px, rows or columns, from a pixel outside it; the
    border of the image counts as outside. The paper takes 2% of an image's diagonal; for buildings a distance
    on the ground says more.
    """
    bands = [boundary_band(mask, distance_px) for mask in (predicted, reference)]
    return count_pixels(*bands, ignore=ignore)


def boundary_band(mask: Mask, distance_px: int) -> Mask:
    """Return the pixels of a mask (height, width) that lie at most distance_px from a pixel outside it."""
    side = 2 * distance_px + 1
    kernel = np.ones((side, side), np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    band: Mask = mask & (inner == 0)
    return band
