"""Runs tools side by side: in turn, each run in a fresh process, and the medians as a table and as JSON."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from peers.install import PEERS, interpreter

HERE = Path(__file__).parent
WINDOWS = (512, 128, 4)  # tile, overlap, batch
QUIET = {"TQDM_DISABLE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
Figures = dict[str, float]


def last_line(printed: str) -> Figures:
    """Read what meter.py prints."""
    figures = json.loads(printed.strip().splitlines()[-1])
    return {name: value for name, value in figures.items() if value is not None}


@dataclass(frozen=True)
class Tool:
    """Something to measure.

    command: a process that does the whole job once. read: its figures, from what it prints. check: further
    figures, from what it wrote.
    """

    name: str
    command: Sequence[str]
    read: Callable[[str], Figures] = last_line
    check: Callable[[], Figures] = field(default=dict)

    def run(self, folder: Path) -> Figures:
        """Run once in a folder; RuntimeError with the end of what it said where it fails."""
        done = subprocess.run(
            self.command, cwd=folder, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-3:]) or f"exit {done.returncode}")
        return self.read(done.stdout) | self.check()


@dataclass
class Results:
    """Figures by tool: of a first run, which fills caches and does not count, and of the others; failures."""

    first: dict[str, Figures] = field(default_factory=dict)
    runs: dict[str, list[Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def medians(self) -> dict[str, Figures]:
        """Median of each figure over the rounds, by tool, and the least of the CPU seconds."""
        return {
            name: {figure: median(run[figure] for run in runs) for figure in runs[0]}
            | {"cpu_s_least": min(run["cpu_s"] for run in runs)}
            for name, runs in self.runs.items()
        }

    def write(self, path: Path, **about: object) -> None:
        """Write everything, with what it was measured on, as JSON."""
        everything = {"machine": machine(), **about, "medians": self.medians(), **asdict(self)}
        path.write_text(json.dumps(everything, indent=1) + "\n")


def interleave(tools: Sequence[Tool], rounds: int, folder: Path) -> Results:
    """Run every tool once per round, so that what else the machine does meets all alike."""
    results = Results()
    for number in range(rounds + 1):
        for tool in tools:
            if tool.name in results.failures:
                continue
            print(f"round {number} of {rounds}: {tool.name}", file=sys.stderr, flush=True)
            try:
                figures = tool.run(folder)
            except (RuntimeError, OSError, ValueError) as error:
                results.failures[tool.name] = str(error)
                continue
            if number:
                results.runs.setdefault(tool.name, []).append(figures)
            else:
                results.first[tool.name] = figures
    return results


def script(name: str, *arguments: object, environments: Path | None = None) -> list[str]:
    """Command of `run_NAME.py`, in our environment or in that of a peer. arguments: those of meter.py."""
    python = interpreter(environments, name) if environments else sys.executable
    return [str(python), str(HERE / f"run_{name}.py"), *map(str, arguments)]


def installed_peers(environments: Path | None, wanted: Sequence[str] | None) -> list[str]:
    """Names of peers to run: those that are wanted, by default all that are installed."""
    if environments is None:
        return []
    return [name for name in wanted or PEERS if wanted or interpreter(environments, name).exists()]


def machine() -> dict[str, object]:
    """Say what the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")  # elsewhere than on Linux the name may be missing
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    name = names[0] if names else platform.processor()
    return {"processor": name, "cores": os.cpu_count(), "python": platform.python_version()}


def table(results: Results, columns: dict[str, str], *, ratio: str, reference: str) -> str:
    """Medians as a Markdown table, a line per tool.

    columns: format of each figure. The last column divides the figure `ratio` by that of tool `reference`.
    """
    medians = results.medians()
    unit = medians.get(reference, {}).get(ratio, float("nan"))
    header = ["tool", *columns, f"{ratio} / {reference}"]
    lines = [f"| {' | '.join(header)} |", f"|---|{'---:|' * (len(header) - 1)}"]
    for name, figures in medians.items():
        cells = [format(figures[key], style) if key in figures else "" for key, style in columns.items()]
        lines.append(f"| {name} | {' | '.join(cells)} | {figures[ratio] / unit:.2f} |")
    lines += [f"| {name} | failed: {reason} |" for name, reason in results.failures.items()]
    return "\n".join(lines)
