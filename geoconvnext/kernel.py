"""The one way this room compiles its loops."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

import numba
from numba.core.event import Event, Listener, install_listener

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function with numba: machine code cached on disk, the interpreter's lock released.

    Where neither the package nor the user's home can be written, numba has no place for its cache; the
    function is then compiled anew by every process.
    """
    try:
        compiled: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        compiled = numba.njit(nogil=True)(function)
    return compiled


def announce_compilation(say: Callable[[str], object]) -> AbstractContextManager[object]:
    """Tell the user when a loop has to be compiled: most are, in the first run after an installation."""
    announced: AbstractContextManager[object] = install_listener("numba:compile", _Announcer(say))
    return announced


class _Announcer(Listener):
    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._has_said = False

    def on_start(self, _: Event) -> None:
        if not self._has_said:
            self._has_said = True
            self._say("compiling the loops that draw, about half a minute, only this once")

    def on_end(self, _: Event) -> None:
        """Nothing to say."""
