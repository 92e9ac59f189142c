"""Compiled networks, kept between runs in the user's cache folder."""

import hashlib
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from geoconvnext.model.cache import cache_folder, processor_name
from geoconvnext.model.native import NativeNet, is_callable

SUFFIX = ".pt2"
OPTIONS = {"cpu": {"freezing": True}, "cuda": {"freezing": True, "max_autotune": True}}
PACKAGES = ("torch", "timm", "segmentation_models_pytorch")
"""Of their code the version is known; of other networks' code, the text is looked at."""
PLAIN = (bool, int, float, str, tuple, list, type(None))


class CompilableNet:
    """A network that can be compiled for one shape of its windows, to a file of machine code.

    threads: of a processor that one run uses.
    """

    def __init__(self, net: nn.Module, windows: Tensor, threads: int = 1) -> None:
        self.net = net
        self.windows = windows
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
                traced = torch.export.export(self.net, (self.windows,))
                torch._inductor.aoti_compile_and_package(  # noqa: SLF001
                    traced, package_path=str(draft), inductor_configs=self.options
                )
            draft.replace(self.path)

    def _key(self) -> str:
        """Digest of all that the machine code depends on; to trace the network would take far longer."""
        versions = [(name, version(name)) for name in PACKAGES]
        machine = (processor_name(self.device), platform.platform())
        shape = (tuple(self.windows.shape), self.windows.dtype)
        parts = (*_structure(self.net), *versions, machine, shape, sorted(self.options.items()))
        digest = hashlib.sha256(repr(parts).encode())
        for path in _sources(self.net):
            digest.update(path.read_bytes())
        for name, value in sorted(self.net.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:32]


def _structure(net: nn.Module) -> Iterator[str]:
    """Name every module of a network, its class and its settings."""
    for name, module in net.named_modules():
        settings = {key: value for key, value in sorted(vars(module).items()) if isinstance(value, PLAIN)}
        yield f"{name} {type(module).__module__}.{type(module).__qualname__} {settings}"


def _sources(net: nn.Module) -> list[Path]:
    """List the files with a network's code, and what it may call here."""
    modules = {type(module).__module__ for module in net.modules()}
    others = [name for name in modules if name.split(".", maxsplit=1)[0] not in PACKAGES]
    files = [getattr(sys.modules[name], "__file__", None) for name in others]
    return sorted({*map(Path, filter(None, files)), *Path(__file__).parent.glob("*.py")})
