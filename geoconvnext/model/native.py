"""Machine code of compiled networks, called without Python's lock.

torch's loader holds the lock while a network runs, so that no other thread can read, write or draw. This
calls the C interface of the code (torch/csrc/inductor/aoti_runtime/interface.h) by ctypes, which lets go.
"""

import ctypes
import sys
import tempfile
import weakref
import zipfile
from pathlib import Path

import torch
from torch import Tensor

CAPSULE_POINTER = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
NEW_CAPSULE = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)


def is_callable(package: Path) -> bool:
    """Whether the code of a package can be called: it is for this system, and needs no help of torch's."""
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
    return sys.platform == "linux" and not any(name.endswith((".wrapper.json", ".blob")) for name in names)


class NativeNet:
    """A network of one input and one output on a processor; up to `at_once` threads may run it."""

    def __init__(self, package: Path, at_once: int) -> None:
        self._to_capsules = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors  # noqa: SLF001
        self._to_tensors = torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs  # noqa: SLF001
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(package) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".so"))
            self._code = ctypes.CDLL(archive.extract(name, folder))
        self._container = ctypes.c_void_p()
        self._do("CreateWithDevice", ctypes.byref(self._container), at_once, b"cpu", None)
        weakref.finalize(self, self._code.AOTInductorModelContainerDelete, self._container)

    def __call__(self, windows: Tensor) -> Tensor:
        """Run it; RuntimeError where it fails."""
        (given,) = self._to_capsules([windows])
        inputs, outputs = (ctypes.c_void_p * 1)(CAPSULE_POINTER(given, None)), (ctypes.c_void_p * 1)()
        self._do("Run", self._container, inputs, 1, outputs, 1, None, None)
        (result,) = self._to_tensors([NEW_CAPSULE(outputs[0], None, None)])
        return result

    def _do(self, what: str, *arguments: object) -> None:
        passed = [ctypes.c_size_t(each) if isinstance(each, int) else each for each in arguments]
        if self._code[f"AOTInductorModelContainer{what}"](*passed):
            raise RuntimeError("the compiled network failed")
