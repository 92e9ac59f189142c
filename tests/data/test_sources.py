from pathlib import Path

import pytest

from geoconvnext.data.sources import distinct_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []),
        (["/tiles/town"], ["town"]),
        (["/tiles/town", "/tiles/village"], ["town", "village"]),
        (["/a/town", "/b/town"], ["a/town", "b/town"]),
        (["/a/x/val", "/b/x/val", "/b/y/val"], ["a/x/val", "b/x/val", "b/y/val"]),
        (["/a/town", "/a/town"], ["town", "town"]),
        (["/a/town/../town", "/b/town"], ["a/town", "b/town"]),
    ],
)
def test_names_as_short_as_they_can_be(paths, names):
    assert distinct_names([Path(path) for path in paths]) == names
