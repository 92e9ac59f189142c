import threading
import time
from contextlib import closing
from itertools import islice

import pytest

from geoconvnext.ahead import PATIENCE_S, ahead


class Counting:
    """An endless source of numbers that says how many were taken, and where."""

    def __init__(self):
        self.taken = 0
        self.threads = set()
        self.closed = threading.Event()

    def numbers(self):
        try:
            while True:
                self.threads.add(threading.get_ident())
                self.taken += 1
                yield self.taken - 1
        finally:
            self.threads.add(threading.get_ident())
            self.closed.set()


def doubled(items, fail_at=None):
    """A stage in the middle, which closes what it takes from; it may raise KeyError instead of an item."""
    with closing(items):
        for place, item in enumerate(items):
            if place == fail_at:
                raise KeyError(place)
            yield 2 * item


def until(source, taken, *, wait_s=5.0):
    """Whether so many were taken soon."""
    stop = time.monotonic() + wait_s
    while source.taken < taken and time.monotonic() < stop:
        time.sleep(0.001)
    return source.taken >= taken


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


@pytest.mark.parametrize("size", [1, 3, 100])
def test_order_is_kept(size):
    assert list(ahead(iter(range(500)), size)) == list(range(500))
    assert not list(ahead(iter(()), size))


def test_none_and_errors_are_items_too():
    items = [None, KeyError("no error"), (1, 2)]
    assert list(ahead(iter(items), 2)) == items


@pytest.mark.parametrize("size", [1, 4])
def test_it_works_ahead_so_far_and_no_further(size):
    source = Counting()
    with closing(ahead(source.numbers(), size)) as numbers:
        for asked_for in range(1, 4):
            next(numbers)
            most = asked_for + size + 1  # those that wait, and one that finds no room
            assert until(source, most)
            assert not until(source, most + 1, wait_s=2 * PATIENCE_S)


def test_nothing_is_taken_before_the_first_is_asked_for():
    source = Counting()
    numbers = ahead(source.numbers(), 1)
    numbers.close()
    assert source.taken == 0


def test_the_source_runs_in_one_other_thread():
    source = Counting()
    with closing(ahead(source.numbers(), 2)) as numbers:
        assert list(islice(numbers, 10)) == list(range(10))
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_comes_in_its_place(error):
    def source():
        yield from range(3)
        raise error("here")

    seen = []
    with pytest.raises(error, match="here"):
        seen.extend(ahead(source(), 10))
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("size", [1, 10])
def test_closing_ends_the_source(size):
    source = Counting()
    numbers = ahead(source.numbers(), size)
    assert next(numbers) == 0
    numbers.close()
    assert source.closed.is_set()
    assert len(source.threads) == 1


def test_a_chain_closes_as_a_whole():
    source = Counting()
    with closing(ahead(doubled(ahead(source.numbers(), 2)), 3)) as numbers:
        assert list(islice(numbers, 4)) == [0, 2, 4, 6]
    assert source.closed.is_set()


def test_an_error_in_the_middle_closes_the_stages_before_it():
    source, seen = Counting(), []
    stages = ahead(doubled(doubled(ahead(source.numbers(), 2)), fail_at=3), 2)
    with pytest.raises(KeyError):
        seen.extend(stages)
    assert seen == [0, 4, 8]
    assert source.closed.is_set()


def test_an_error_at_the_start_of_a_chain_comes_through_it():
    stages = ahead(doubled(ahead(doubled(Counting().numbers(), fail_at=4), 2)), 2)
    seen = []
    with pytest.raises(KeyError):
        seen.extend(stages)
    assert seen == [0, 4, 8, 12]
