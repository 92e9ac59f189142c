"""Several processes share the strips of a scene: one per GPU, or parts of a large processor."""

import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from geoconvnext.area import Area
from geoconvnext.errors import ConfigError, GeoconvnextError
from geoconvnext.inference import Model, load_model
from geoconvnext.model.runtime import Placement, Runner
from geoconvnext.probabilities import Plan, Progress, prepare, run_strips
from geoconvnext.raster.scene import Scene
from geoconvnext.raster.strips import Strips
from geoconvnext.scenes import PredictOptions, open_scene

POLL_S = 0.05


@dataclass(frozen=True)
class Job:
    """What a worker needs to know; it opens scene and weights itself."""

    scene: str
    weights: Path
    options: PredictOptions
    plan: Plan
    folder: Path
    body_level: int | None
    placement: Placement
    tta: bool
    numbers: Sequence[int]
    """Strips to compute."""


def share_strips(
    scene: Scene,
    strips: Strips,
    numbers: Sequence[int],
    model: Model,
    plan: Plan,
    options: PredictOptions,
    progress: Progress = lambda *_: None,
) -> Generator[None]:
    """Compute strips in options.workers processes; advances while they work, ends them when it is closed.

    Raises GeoconvnextError where one of them fails, or dies.
    """
    jobs = _split(scene, strips, numbers, model, plan, options)
    size = scene.height * scene.width
    with closing(_run(jobs)) as running:
        for _ in running:
            done = sum(strips.is_done(number) for number in range(len(strips)))
            progress("finding buildings", size * done // len(strips), size)
            yield


def _split(
    scene: Scene, strips: Strips, numbers: Sequence[int], model: Model, plan: Plan, options: PredictOptions
) -> list[Job]:
    runner = model.runners[plan.scale]
    if model.weights is None or not isinstance(runner, Runner):
        raise ConfigError("only a network from a weights file can be shared among workers")
    count = min(options.workers, len(numbers))
    return [
        Job(
            scene.path,
            model.weights,
            options,
            plan,
            strips.folder,
            strips.body_level,
            _on_device(runner.placement, part),
            model.tta,
            numbers[part::count],
        )
        for part in range(count)
    ]


def _on_device(placement: Placement, number: int) -> Placement:
    """Give workers one GPU after the other."""
    if placement.device.type != "cuda":
        return placement
    return replace(placement, device=torch.device("cuda", number % torch.cuda.device_count()))


def _run(jobs: Sequence[Job]) -> Generator[None]:
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    workers: list[tuple[SpawnProcess, Connection]] = []
    try:
        for job in jobs:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(job, theirs), daemon=True)
            process.start()
            theirs.close()
            workers.append((process, ours))
        while True:
            for process, ours in workers:
                _check(process, ours)
            yield
            time.sleep(POLL_S)
    finally:
        for process, _ in workers:
            process.terminate()
            process.join()


def _check(process: SpawnProcess, messages: Connection) -> None:
    """Raise what a worker failed of."""
    if process.exitcode in {None, 0}:
        return
    try:
        error: BaseException = messages.recv()
    except EOFError:
        raise GeoconvnextError(
            f"a worker died (exit code {process.exitcode}), perhaps for want of memory;"
            " run the same command again with fewer --workers"
        ) from None
    raise error


def _work(job: Job, messages: Connection) -> None:
    """Compute the strips of a job; ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us stops us
    parent = os.getppid()
    try:
        for _ in _compute(job):
            if os.getppid() != parent:
                return
    except BaseException as error:
        messages.send(error)
        raise SystemExit(1) from error


def _compute(job: Job) -> Iterator[int]:
    model = load_model(job.weights, job.placement, tta=job.tta)
    with open_scene(job.scene, model.info, job.options) as scene:
        area = Area.read(job.options.aoi, scene) if job.options.aoi else None
        prepare(scene, model, job.plan, lambda _: None)
        strips = job.plan.strips(scene, job.folder, job.body_level)
        with closing(run_strips(scene, strips, job.numbers, model, job.plan, area)) as done:
            yield from done
