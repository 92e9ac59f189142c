"""Progress of long work: a bar in a terminal, a plain line now and then elsewhere."""

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from geoconvnext.kernel import announce_compilation

SECONDS_BETWEEN_LINES = 15.0


class PixelProgress:
    """Shows what is being done, Mpx/s and the time left; a context manager that is called like Progress.

    Says when loops have to be compiled, too.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %  {task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._shown = ExitStack()
        self._task: TaskID | None = None
        self._what = ""
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._shown.enter_context(announce_compilation(self.say))
        self._shown.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()

    def say(self, line: str) -> None:
        """Print a line beside the bar."""
        if not self._quiet:
            self._console.print(f"  {line}", highlight=False, markup=False)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say that `done` of `total` pixels are done."""
        now = time.monotonic()
        if what != self._what:
            self._begin(what, total, now)
        speed = done / 1e6 / max(now - self._start, 1e-6)
        if self._task is not None:
            self._bar.update(self._task, completed=done, speed=f"{speed:.1f} Mpx/s")
        elif not self._quiet and now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = (total - done) / 1e6 / max(speed, 1e-6)
            line = f"{what}: {done / total:.0%}, {speed:.1f} Mpx/s, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    def _begin(self, what: str, total: int, now: float) -> None:
        self._what, self._start, self._last_line = what, now, now
        if self._bar.disable:
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total, speed="")
