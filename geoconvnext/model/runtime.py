"""How a network is run: device, precision, memory format, compilation."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoconvnext.errors import ConfigError
from geoconvnext.heap import keep_freed_memory
from geoconvnext.model import tuning
from geoconvnext.model.cache import processor_name
from geoconvnext.model.compiled import CompilableNet
from geoconvnext.model.fold import CHANNELS, LEVELS, fold
from geoconvnext.model.fused import UNITS
from geoconvnext.model.fused_net import FusedNet, fuse
from geoconvnext.model.placement import Placement, Unit, choose_placement
from geoconvnext.model.symmetry import mean_over_symmetries
from geoconvnext.model.tuning import Size

__all__ = ["CHANNELS", "LEVELS", "Placement", "Runner", "choose_placement"]

CHECKED_PX = 512
DIFFERENT_SHARE = 0.01
"""Share of pixels that bfloat16 may decide otherwise than float32."""

COMPILE_SECONDS = 30.0
GAIN = 0.4
"""Share of the time that a compiled network saves (tools/bench/network.py)."""
RUNS = 2
"""How many runs a compiled network is expected to serve."""

FEW_WINDOWS = 4
"""Fewer are not worth the question whether compiling pays."""

IN_FLIGHT = 2
"""Batches that a GPU has been given and not returned."""

Engine = Unit | Literal["compiled", "plain"]
"""What runs a network: fused layers on a unit, code of torch's compiler, or torch operation by operation."""


class Runner:
    """Runs a network over batches of windows; grey values in, probabilities out, both as bytes.

    The network is copied, folded and put in place on first use; itself it is not changed, so that runners of
    several scales can share it. scale: of the probabilities, None for the network's finest; tta: the mean
    over the 8 symmetries of the square, for 8 times the work.
    """

    def __init__(
        self, net: nn.Module, placement: Placement, scale: int | None = None, *, tta: bool = False
    ) -> None:
        self.placement = placement
        self.scale = scale
        self.tta = tta
        self._source = net
        self._threads = torch.get_num_threads()
        self._folded: nn.Module | None = None
        self._compiled: Callable[[Tensor], Tensor] | None = None
        self._compiled_shape: tuple[int, ...] = ()
        self._largest_batch: int | None = None
        if placement.device.type == "cpu":
            keep_freed_memory()

    def __call__(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Probabilities * 254 of body, edge and contact.

        `windows`: (N, bands, H, W) grey values, H and W multiples of 32; returns (N, 3, scale*H, scale*W).
        Where the device's memory is too small for N windows they run in parts; ConfigError where it is too
        small for one.
        """
        size = self._largest_batch or len(windows)
        try:
            parts = [self._run(windows[start : start + size]) for start in range(0, len(windows), size)]
        except torch.OutOfMemoryError as error:
            if min(size, len(windows)) == 1:
                raise ConfigError(
                    f"a window of {windows.shape[2]} px does not fit into the memory of"
                    f" {self.placement.describe()}; lower --tile-size"
                ) from error
            self._largest_batch = min(size, len(windows)) // 2
            self._compiled = None  # for the larger batch
        else:
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self(windows)

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """Results of batches, in their order.

        A GPU is given the next batch before the last one is back. The cores of a processor are shared among
        lanes, which run a batch each: a core that does something else holds up none but its own.
        """
        kind = self.placement.device.type
        if kind == "cuda":
            yield from _in_order(self._launch, batches, IN_FLIGHT)
        elif kind == "cpu":
            yield from self._stream_in_lanes(iter(batches))
        else:
            yield from map(self, batches)

    @property
    def dtype(self) -> str:
        """Name of the precision in which it runs: bfloat16 or float32."""
        return str(self.placement.dtype).removeprefix("torch.")

    @property
    def engine(self) -> Engine:
        """What runs windows of the shape prepared for."""
        if self._compiled:
            return "compiled"
        net = self._net()
        return net.unit if isinstance(net, FusedNet) else "plain"

    def use(self, dtype: str) -> None:
        """Run in the precision of an earlier part of a run; before `prepare`."""
        if dtype != self.dtype:
            self.placement = replace(self.placement, dtype=getattr(torch, dtype))
            self._folded = self._compiled = None

    def choose_windows(self, height: int, width: int, halo: int) -> Size:
        """Tile and batch that run a scene of `height` x `width` fastest.

        Results of a network that is not tile-local depend on the tile: do not ask for one.
        """
        device, tiles = self.placement.device, tuning.FINE_TILES if self._is_fused else tuning.TILES
        sizes = tuning.sizes_that_fit(device, self._needed_bytes, tiles)
        lanes = {size: self._lanes(size)[0] for size in sizes}
        if height * width < tuning.SMALL_PX:
            alone = {size: lanes[size] == 1 < self._threads for size in sizes}
            rates = {size: tuning.ALONE if alone[size] else 1.0 for size in sizes}
            return tuning.fastest(height, width, halo, rates, lanes)
        key = (
            f"{processor_name(device)}, torch {torch.__version__}, {self.dtype}, {self.engine},"
            f" scale {self._scale}, {getattr(self._source, 'spec', None)}"
        )
        rates = tuning.known_rates(key, sizes, self._rate)
        return tuning.fastest(height, width, halo, rates, lanes)

    def prepare(
        self,
        tile: int,
        batch: int,
        count: int,
        say: Callable[[str], object],
        *,
        engine: Engine | None = None,
    ) -> None:
        """Compile for batches of `tile` x `tile` windows, if that saves time over RUNS times `count` windows.

        say: gets a line for the user before a compilation, and if it fails. engine: what to use, whatever it
        saves, as for a resumed run that has to give the same bytes.
        """
        if engine is not None and engine in UNITS and engine != self.engine:
            begun = f"without {engine.upper()}, with which this run was begun"
            say(f"the network runs {begun}; probabilities may differ a bit")
            engine = None
        if self._is_fused:
            if engine in {None, self.engine}:
                return
            self._folded = self._fold()
        pays_never = engine is None and count < FEW_WINDOWS
        if engine == "plain" or pays_never or self.placement.device.type == "mps":
            return
        shape = (batch, self._bands, tile, tile)
        lanes, threads = self._lanes((tile, batch))
        try:
            windows = torch.zeros(shape, dtype=torch.uint8).to(self.placement.device)
            made = CompilableNet(self._net(), windows, threads)
            if not made.is_cached():
                if engine is None and RUNS * self._saved_by_compiling(count, tile) < COMPILE_SECONDS:
                    return
                say(f"compiling the network, about {COMPILE_SECONDS:.0f} s, once for windows of {tile} px")
                made.compile()
            self._compiled, self._compiled_shape = made.load(lanes), shape
        except Exception as error:  # noqa: BLE001  # whatever a compiler does, the network runs without it
            reason = str(error).strip() or type(error).__name__
            say(f"the network runs uncompiled: {reason.splitlines()[0]}")

    def verify(self, windows: NDArray[np.uint8], level: int) -> str | None:
        """Compare bfloat16 with float32 on windows, at most 512 x 512 px of each; before `prepare`.

        If more than DIFFERENT_SHARE of the pixels are on the other side of `level` (body, 0..254), the runner
        goes on in float32 and returns a line for the user; otherwise None.
        """
        if self.placement.dtype == torch.float32:
            return None
        crops = torch.from_numpy(windows[:, :, :CHECKED_PX, :CHECKED_PX]).to(self.placement.device)
        exact = fold(self._source, self.scale, torch.float32).to(self.placement.device)
        with torch.inference_mode():
            differ = [
                ((self._net()(crop)[:, 0] >= level) != (exact(crop)[:, 0] >= level)).float().mean()
                for crop in torch.split(crops, 1)
            ]
        share = float(torch.stack(differ).mean())
        if share <= DIFFERENT_SHARE:
            return None
        self.placement = replace(self.placement, dtype=torch.float32)
        self._folded, self._compiled = exact, None
        return f"float32 from here on: in bfloat16 {share:.1%} of the pixels are decided otherwise"

    def _saved_by_compiling(self, count: int, tile: int) -> float:
        """Seconds that a compiled network would save over a run."""
        return GAIN * count * tile**2 / self._rate((CHECKED_PX, 1))

    @property
    def _is_fused(self) -> bool:
        return self.engine in UNITS

    @property
    def _scale(self) -> int:
        """Probabilities per pixel along an axis."""
        finest: int = getattr(getattr(self._source, "spec", None), "scale", 1)
        return finest if self.scale is None else self.scale

    @property
    def _width(self) -> int:
        """Channels of the decoder."""
        channels: int = getattr(getattr(self._source, "spec", None), "decoder_channels", 64)
        return channels

    @property
    def _bands(self) -> int:
        return int(self._source.get_buffer("mean").shape[1])

    def _net(self) -> nn.Module:
        """Fold the network on first use, and fuse its layers where that can be."""
        if self._folded is None:
            folded = self._fold()
            on_cpu = self.placement.device.type == "cpu"
            self._folded = (fuse(folded) if on_cpu else None) or folded
        return self._folded

    def _fold(self) -> nn.Module:
        return fold(self._source, self.scale, self.placement.dtype).to(self.placement.device)

    def _run(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            return self._levels(torch.from_numpy(windows).to(self.placement.device)).cpu().numpy()

    def _levels(self, windows: Tensor) -> Tensor:
        return mean_over_symmetries(self._forward, windows) if self.tta else self._forward(windows)

    def _forward(self, windows: Tensor) -> Tensor:
        """Run compiled where the shape is the compiled one; a last batch that is not full is filled up."""
        shape, count = self._compiled_shape, len(windows)
        run: Callable[[Tensor], Tensor] = self._net()
        if self._compiled and windows.shape[1:] == shape[1:] and count <= shape[0]:
            run = self._compiled
            windows = torch.cat([windows, windows[:1].expand(shape[0] - count, *shape[1:])])
        return run(windows)[:count]

    def _stream_in_lanes(self, batches: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        first = next(batches, None)
        if first is None:
            return
        self._net()
        lanes, threads = self._lanes((first.shape[2], len(first)))
        batches = itertools.chain([first], batches)
        try:
            with ThreadPoolExecutor(lanes, "lane", torch.set_num_threads, (threads,)) as pool:
                yield from _in_order(lambda windows: pool.submit(self, windows).result, batches, lanes + 1)
        finally:
            torch.set_num_threads(self._threads)  # which new threads start with

    def _lanes(self, size: Size) -> tuple[int, int]:
        """How many batches are run at once, and by how many threads of a processor each."""
        if self.placement.device.type != "cpu":
            return 1, 1
        lanes = tuning.count_lanes(self._needed_bytes(size), self._threads)
        return lanes, self._threads // lanes

    def _needed_bytes(self, size: Size) -> float:
        """Memory for the activations of a batch."""
        each = tuning.FUSED_BYTES_PER_PX if self._is_fused else tuning.BYTES_PER_PX
        return tuning.needed_bytes(size, self.placement.dtype, self._scale, self._width, each)

    def _launch(self, windows: NDArray[np.uint8]) -> Callable[[], NDArray[np.uint8]]:
        """Give a batch to the GPU; the result waits for it."""
        if self._largest_batch is not None:
            return partial(self, windows)
        try:
            with torch.inference_mode():
                pinned = torch.from_numpy(windows).pin_memory()
                levels = self._levels(pinned.to(self.placement.device, non_blocking=True))
                host = torch.empty(levels.shape, dtype=levels.dtype, pin_memory=True)
                host.copy_(levels, non_blocking=True)
                done = torch.cuda.current_stream(self.placement.device).record_event()
        except torch.OutOfMemoryError:
            return partial(self, windows)  # which halves the batch
        return partial(_wait, done, host)

    def _rate(self, size: Size) -> float:
        """Pixels per second, uncompiled; hardly any where the memory is too small."""
        tile, batch = size
        windows = np.random.default_rng(0).integers(0, 256, (batch, self._bands, tile, tile), np.uint8)
        count, _ = self._lanes(size)
        run = partial(self._run, windows) if count == 1 else lambda: deque(self.stream([windows] * count), 0)
        try:
            return count * batch * tile**2 / tuning.seconds_per_run(run)
        except (ConfigError, torch.OutOfMemoryError):
            return 1.0


def _in_order(
    start: Callable[[NDArray[np.uint8]], Callable[[], NDArray[np.uint8]]],
    batches: Iterable[NDArray[np.uint8]],
    under_way: int,
) -> Iterator[NDArray[np.uint8]]:
    """Start batches, so many ahead of the one whose result is waited for."""
    waiting: deque[Callable[[], NDArray[np.uint8]]] = deque()
    for windows in batches:
        waiting.append(start(windows))
        if len(waiting) == under_way:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def _wait(done: torch.cuda.Event, host: Tensor) -> NDArray[np.uint8]:
    done.synchronize()
    return host.numpy()
