"""Compiled networks, kept between runs in the user's cache folder."""

import hashlib
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from geoconvnext.model.cache import cache_folder, processor_name
from geoconvnext.model.native import NativeNet, is_callable

SUFFIX = ".pt2"
OPTIONS = {"cpu": {"freezing": True}, "cuda": {"freezing": True, "max_autotune": True}}


class CompilableNet:
    """A network traced for one shape of its windows, which can be compiled to a file of machine code.

    threads: of a processor that one run uses.
    """

    def __init__(self, net: nn.Module, windows: Tensor, threads: int = 1) -> None:
        with torch.no_grad():
            self.traced = torch.export.export(net, (windows,))
        self.device = windows.device
        self.options = OPTIONS[self.device.type] | {"cpp.threads": threads}
        self.path = cache_folder() / f"{self._key()}{SUFFIX}"

    def is_cached(self) -> bool:
        """Whether an earlier run compiled the same."""
        return self.path.is_file()

    def load(self, at_once: int = 1) -> Callable[[Tensor], Tensor]:
        """Load what was compiled, for up to so many threads that run it."""
        if self.device.type == "cpu" and is_callable(self.path):
            return NativeNet(self.path, at_once)
        loaded: Callable[[Tensor], Tensor] = torch._inductor.aoti_load_package(  # noqa: SLF001
            str(self.path), num_runners=at_once
        )
        return loaded

    def compile(self) -> None:
        """Compile; the file appears complete or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
            draft = Path(folder) / self.path.name
            with torch.no_grad():
                torch._inductor.aoti_compile_and_package(  # noqa: SLF001
                    self.traced, package_path=str(draft), inductor_configs=self.options
                )
            draft.replace(self.path)

    def _key(self) -> str:
        """Digest of all that the machine code depends on."""
        parts = (self.traced.graph_module.code, torch.__version__, self.options)
        digest = hashlib.sha256(repr((*parts, processor_name(self.device), platform.platform())).encode())
        for name, value in sorted(self.traced.state_dict.items()):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:32]
