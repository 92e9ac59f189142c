"""Average precision against pycocotools, on buildings drawn on whole pixels so that IoUs are equal."""

import contextlib
import io

import numpy as np
import pytest
import shapely
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from geoconvnext.metrics.overlap import find_overlaps
from geoconvnext.metrics.ranking import pool, rank

SIDE = 128
RANGES = {"all": (0.0, np.inf), "small": (0.0, 99.5), "medium": (99.5, 200.5), "large": (200.5, np.inf)}


def draw_scene(rng, count):
    """Reference boxes, and predictions near them: moved, doubled, left out, invented; coarsely ranked."""
    cells = rng.permutation(25)[:count]
    corner = np.stack([cells % 5, cells // 5], axis=1) * 25 + rng.integers(0, 5, (count, 2))
    size = rng.integers(6, 19, (count, 2))
    reference = np.concatenate([corner, corner + size], axis=1)
    moved = reference + np.tile(rng.integers(-3, 4, (count, 2)), 2) + rng.integers(-1, 2, (count, 4))
    chosen = np.concatenate([moved[rng.random(count) < 0.8], moved[rng.random(count) < 0.3] + 1])
    ghosts = rng.integers(0, 100, (3, 2))
    predicted = np.clip(np.concatenate([chosen, np.concatenate([ghosts, ghosts + 12], axis=1)]), 0, SIDE)
    return reference, predicted, rng.integers(0, 8, len(predicted)) / 8


def encode(box):
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = 1
    return coco_mask.encode(mask)


def area(box):
    return float((box[2] - box[0]) * (box[3] - box[1]))


def ask_pycocotools(scenes):
    """Precisions (IoU threshold) in each of RANGES; -1 without references."""
    truth, found = [], []
    for image, (reference, predicted, confidence) in enumerate(scenes, start=1):
        for box in reference:
            entry = {"id": len(truth) + 1, "image_id": image, "category_id": 1, "iscrowd": 0}
            truth.append({**entry, "area": area(box), "segmentation": encode(box)})
        for box, score in zip(predicted, confidence, strict=True):
            entry = {"image_id": image, "category_id": 1, "score": float(score)}
            found.append({**entry, "segmentation": encode(box)})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image, "height": SIDE, "width": SIDE} for image in range(1, len(scenes) + 1)],
            "categories": [{"id": 1}],
            "annotations": truth,
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), "segm")
        judge.params.areaRng = [[low, min(high, 1e9)] for low, high in RANGES.values()]
        judge.params.areaRngLbl = list(RANGES)
        judge.params.maxDets = [10_000]
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][:, :, 0, :, 0].mean(axis=1).T


@pytest.mark.parametrize("seed", range(6))
def test_equals_pycocotools(seed):
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(rng, count) for count in (20, 9, 3)]
    expected = ask_pycocotools(scenes)
    overlaps = [(find_overlaps(shapely.box(*ours.T), shapely.box(*theirs.T)), confidence)
                for theirs, ours, confidence in scenes]  # fmt: skip
    for limits, theirs in zip(RANGES.values(), expected, strict=True):
        ranking = pool([rank(pairs, confidence, area_range=limits) for pairs, confidence in overlaps])
        assert ranking.average_precision == pytest.approx(np.where(theirs < 0, np.nan, theirs), nan_ok=True)
    assert 0.2 < expected[0, 0] < 1


def test_confidence_decides():
    """One right footprint of two: ranked first it gives precision 1 up to recall 1, ranked last one half."""
    truth, ghost = shapely.box(0, 0, 10, 10), shapely.box(50, 0, 60, 10)
    overlaps = find_overlaps([ghost, truth], [truth])
    assert rank(overlaps, np.array([0.2, 0.9])).average_precision[0] == 1
    assert rank(overlaps, np.array([0.9, 0.2])).average_precision[0] == 0.5
    assert np.isnan(rank(overlaps, np.array([0.9, np.nan])).average_precision).all()


def test_without_buildings():
    box = shapely.box(0, 0, 10, 10)
    assert np.isnan(rank(find_overlaps([box], []), np.ones(1)).average_precision).all()
    assert (rank(find_overlaps([], [box]), np.empty(0)).average_precision == 0).all()
    assert np.isnan(rank(find_overlaps([], []), np.empty(0)).average_precision).all()
