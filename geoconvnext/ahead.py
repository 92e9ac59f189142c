"""Stages of a pipeline: an iterator that works ahead in a thread of its own."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 0.05
"""How long a thread waits for room before it looks whether it is still wanted."""


def ahead(items: Iterator[T], size: int) -> Generator[T, None, None]:
    """Take items in a thread; at most `size`, and one more in its hand, wait to be asked for.

    An error of `items` is raised where its item would have come. Closing this closes `items`, in its thread,
    and waits for it; so a chain of stages ends as a whole, whichever of them fails.
    """
    ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(size)
    stop = threading.Event()
    thread = threading.Thread(target=_work, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        while (entry := ready.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        stop.set()
        thread.join()


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
    if isinstance(items, Generator):
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
