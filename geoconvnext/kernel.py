"""The one way this room compiles its loops."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

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
