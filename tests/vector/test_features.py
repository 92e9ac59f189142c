"""Features of buildings, against definitions spelled out pixel by pixel."""

import numpy as np
import pytest
import shapely
from scipy import ndimage

from geoconvnext.vector.features import RASTER_FEATURES, SHAPE_FEATURES, describe, describe_shapes

NODATA = 255


def make_patch(seed, *, buildings=4):
    """Random probabilities, some of them nodata, and random labels with an empty margin."""
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 255, (3, 18, 22), dtype=np.uint8)
    labels = np.pad(rng.integers(0, buildings + 1, (16, 20), dtype=np.int32), 1)
    probabilities[:, (rng.random(labels.shape) < 0.1) & (labels == 0)] = NODATA
    return probabilities, labels


def expected_features(probabilities, labels, label):
    """What the documentation says, with lists of values instead of sums."""
    body, edge = probabilities[0] / 254.0, np.minimum(probabilities[1] / 254.0, 1.0)
    inside = labels == label
    drops, wall, sides, shared, at_nodata = [], [], 0, 0, False
    for row, col in np.argwhere(inside):
        for other in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            if labels[other] == label:
                continue
            sides += 1
            if labels[other] > 0:
                shared += 1
            elif probabilities[0][other] == NODATA:
                at_nodata = True
            else:
                drops.append(body[row, col] - body[other])
                wall += [(edge[row, col] + edge[other]) / 2]
    mean = lambda values: np.mean(values) if len(values) else 0.0  # noqa: E731
    features = {
        "body": body[inside].mean(),
        "spread": body[inside].std(),
        "contrast": mean(drops),
        "wall_edge": mean(wall),
        "inner_edge": edge[inside].mean(),
        "party_wall": shared / sides,
    }
    return features, at_nodata


@pytest.mark.parametrize("seed", range(5))
def test_random_patches(seed):
    probabilities, labels = make_patch(seed)
    features, touches = describe(probabilities, labels, 4)
    assert features.shape == (4, len(RASTER_FEATURES))
    for label in range(1, 5):
        expected, at_nodata = expected_features(probabilities, labels, label)
        assert dict(zip(RASTER_FEATURES, features[label - 1], strict=True)) == pytest.approx(expected)
        assert touches[label - 1] == at_nodata


def test_a_building_without_free_outline_has_no_contrast():
    probabilities = np.full((3, 5, 5), NODATA, np.uint8)
    labels = np.zeros((5, 5), np.int32)
    labels[2, 2] = 1
    probabilities[:, 2, 2] = 200
    features, touches = describe(probabilities, labels, 1)
    assert dict(zip(RASTER_FEATURES, features[0], strict=True)) == pytest.approx(
        {
            "body": 200 / 254,
            "spread": 0,
            "contrast": 0,
            "wall_edge": 0,
            "inner_edge": 200 / 254,
            "party_wall": 0,
        }
    )
    assert touches.tolist() == [True]


def test_sure_buildings_differ_from_vague_ones():
    sharp = np.zeros((3, 30, 30), np.uint8)
    sharp[0, 8:22, 8:22] = 250
    vague = sharp.copy()
    vague[0] = ndimage.gaussian_filter(sharp[0].astype(float), 4)
    rows = []
    for probabilities in (sharp, vague):
        labels = ndimage.label(probabilities[0] >= 127)[0].astype(np.int32)
        rows.append(dict(zip(RASTER_FEATURES, describe(probabilities, labels, 1)[0][0], strict=True)))
    assert rows[0]["body"] > rows[1]["body"] + 0.1
    assert rows[0]["contrast"] > 10 * rows[1]["contrast"]


def test_shapes():
    polygons = np.array(
        [shapely.box(0, 0, 10, 10), shapely.box(0, 0, 40, 10), shapely.Point(0, 0).buffer(5, 64)]
    )
    features = describe_shapes(polygons, np.array([25.0, 100.0, 1.0]))
    assert features.shape == (3, len(SHAPE_FEATURES))
    np.testing.assert_allclose(features[:, 0], np.log([25, 100, 1]))
    np.testing.assert_allclose(features[:, 1], [np.pi / 4, 4 * np.pi * 400 / 100**2, 1], rtol=1e-3)
