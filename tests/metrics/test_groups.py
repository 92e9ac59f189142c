"""Groups of buildings against distances taken pair by pair."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvnext.metrics.groups import ADJACENCIES, SIZES, adjacency_class, size_class


def test_sizes():
    areas = np.array([1, 99.9, 100, 499, 500, 1e6])
    names = [list(SIZES)[number] for number in size_class(areas)]
    assert names == ["small", "small", "medium", "medium", "large", "large"]


@pytest.mark.parametrize(
    ("gap", "name"), [(0, "touching"), (0.2, "touching"), (0.4, "near"), (3.5, "isolated")]
)
def test_adjacency(gap, name):
    pair = [shapely.box(0, 0, 10, 10), shapely.box(10 + gap, 0, 20, 10)]
    assert [ADJACENCIES[number] for number in adjacency_class(pair)] == [name, name]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12))
def test_nearest_by_brute_force(seed, count):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 30, (count, 2))
    boxes = shapely.box(*np.concatenate([corner, corner + 3], axis=1).T)
    names = [ADJACENCIES[number] for number in adjacency_class(boxes)]
    for i, name in enumerate(names):
        nearest = min((boxes[i].distance(other) for k, other in enumerate(boxes) if k != i), default=np.inf)
        assert name == ("touching" if nearest < 0.3 else "near" if nearest < 3 else "isolated")
