"""Division of components into buildings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geoconvnext.vector.instances import divide

RULES = {"seed_threshold": 0.5, "edge_weight": 0.5, "min_seed_px": 4}


def make(height, width, *, contact_col=None):
    """One block of building pixels with a margin, and a party wall if asked for."""
    probabilities = np.zeros((3, height + 2, width + 2), np.uint8)
    probabilities[0, 1:-1, 1:-1] = 240
    if contact_col is not None:
        probabilities[2, 1:-1, contact_col] = 250
    return probabilities, probabilities[0] > 0


def test_one_seed_is_one_building():
    probabilities, mask = make(10, 20)
    labels, count = divide(probabilities, mask, **RULES)
    assert count == 1
    np.testing.assert_array_equal(labels, mask)


def test_a_contact_line_divides():
    probabilities, mask = make(10, 20, contact_col=8)
    labels, count = divide(probabilities, mask, **RULES)
    assert count == 2
    assert (labels[1:-1, 1:8] == 1).all()
    assert (labels[1:-1, 9:-1] == 2).all()
    np.testing.assert_array_equal(labels > 0, mask)


def test_the_front_lies_on_the_contact_line_not_halfway_between_seeds():
    probabilities, mask = make(9, 40, contact_col=30)
    # The right-hand seed is far from the wall: only its outer columns pass the seed threshold.
    probabilities[0, 1:-1, 20:36] = 140
    labels, count = divide(probabilities, mask, **{**RULES, "seed_threshold": 0.6})
    assert count == 2
    assert (labels[1:-1, 1:30] == 1).all()
    assert (labels[1:-1, 31:-1] == 2).all()


def test_edges_divide_as_far_as_they_weigh():
    probabilities, mask = make(10, 20)
    probabilities[1, 1:-1, 10] = 254
    assert divide(probabilities, mask, **{**RULES, "edge_weight": 0.0})[1] == 1
    assert divide(probabilities, mask, **{**RULES, "edge_weight": 1.0})[1] == 2


@pytest.mark.parametrize(("min_seed_px", "expected"), [(6, 2), (7, 1), (10_000, 1)])
def test_small_seeds_do_not_count(min_seed_px, expected):
    probabilities, mask = make(3, 20, contact_col=3)
    labels, count = divide(probabilities, mask, **{**RULES, "min_seed_px": min_seed_px})
    assert count == expected
    np.testing.assert_array_equal(labels > 0, mask)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.sampled_from([0.2, 0.4, 0.6]))
def test_every_pixel_belongs_to_one_connected_building_around_its_seed(seed, level):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random((3, 24, 24)), (0, 1.5, 1.5))
    probabilities = np.clip((noise - 0.35) * 254 * 3.3, 0, 254).astype(np.uint8)
    components, _ = ndimage.label(np.pad(probabilities[0, 1:-1, 1:-1] > 100, 1))
    mask = components == 1
    labels, count = divide(probabilities, mask, seed_threshold=level, edge_weight=0.5, min_seed_px=3)
    np.testing.assert_array_equal(labels > 0, mask)
    assert sorted(np.unique(labels[mask])) == list(range(1, count + 1))[: labels.max()]
    for label in range(1, labels.max() + 1):
        assert ndimage.label(labels == label)[1] == 1
    body, edge, contact = probabilities / 254.0
    score = np.round(body * (1 - contact) * (1 - 0.5 * edge) * 254) * mask
    regions, n = ndimage.label(score > level * 254)
    large = [i for i in range(1, n + 1) if (regions == i).sum() >= 3]
    assert count == max(len(large), 1)
    for i in large:
        assert len(np.unique(labels[regions == i])) == 1
