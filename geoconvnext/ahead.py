"""Stages of a pipeline: an iterator that works ahead in a thread of its own."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 0.05
"""How long a thread waits for room before it looks whether it is still wanted."""


class Ahead(Iterator[T]):
    """Takes items in a thread, from now on; at most `size`, and one more in its hand, wait to be asked for.

    An error of `items` is raised where its item would have come. Closing this closes `items`, in its thread,
    and waits for it; so a chain of stages ends as a whole, whichever of them fails.
    """

    def __init__(self, items: Iterator[T], size: int) -> None:
        self._ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(size)
        self._stop = threading.Event()
        work = (items, self._ready, self._stop)
        self._thread = threading.Thread(target=_work, args=work, daemon=True)
        self._thread.start()

    def __next__(self) -> T:
        entry = None if self._stop.is_set() else self._ready.get()
        if isinstance(entry, tuple):
            return entry[0]
        self.close()
        raise entry or StopIteration

    def close(self) -> None:
        """End the work, wherever it is; what waits is lost."""
        self._stop.set()
        self._thread.join()


def _work(
    items: Iterator[T], ready: "queue.Queue[tuple[T] | BaseException | None]", stop: threading.Event
) -> None:
    """Pass items on in tuples, then an error, or None for the end."""
    end = None
    try:
        for item in items:
            if not _put(ready, (item,), stop):
                break
    except BaseException as error:  # noqa: BLE001 - raised again by whoever takes the items
        end = error
    if isinstance(items, Generator | Ahead):
        items.close()
    _put(ready, end, stop)


def _put(
    ready: "queue.Queue[tuple[T] | BaseException | None]",
    entry: tuple[T] | BaseException | None,
    stop: threading.Event,
) -> bool:
    """Hand an entry over; False where nobody wants it any more."""
    while not stop.is_set():
        try:
            ready.put(entry, timeout=PATIENCE_S)
        except queue.Full:
            continue
        return True
    return False
