"""What a run keeps beside its output, so that the same command goes on after it was killed."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from geoconvnext.errors import ConfigError, OutputError
from geoconvnext.output import cannot_write, replace_file

RECORD, LOCK = "run.json", "lock"

Facts = dict[str, Any]
"""By name; of JSON's types."""


@dataclass(frozen=True)
class Journal:
    """The folder of a run that is not finished, and what is known of the run."""

    folder: Path
    asked: Facts
    """What the user wants; the same for every continuation."""
    started: str
    """Date and time of the first part."""

    @property
    def has_work(self) -> bool:
        """Whether the folder holds more than the record and the lock."""
        return self.folder.is_dir() and bool({path.name for path in self.folder.iterdir()} - {RECORD, LOCK})

    def chosen(self) -> Facts | None:
        """Return what the first part of the run chose by itself, None before it did."""
        return _read(self.folder).get("chosen")

    def choose(self, facts: Facts) -> None:
        """Keep a choice for those who continue the run. Raises OutputError."""
        _write(self.folder, {"asked": self.asked, "started": self.started, "chosen": facts})


@contextmanager
def open_journal(output: Path, asked: Facts, *, overwrite: bool) -> Iterator[Journal]:
    """Begin or continue the run that makes `output`; its folder is gone when the block ends well.

    After an error, or a kill, it stays if it holds any work. ConfigError: an interrupted run that was asked
    something else lies there, and is not to be overwritten. OutputError: it cannot be written, or another
    run for `output` is at work.
    """
    folder = output.with_name(f".{output.name}.partial")
    made = [parent for parent in folder.absolute().parents if not parent.exists()]
    with _alone(folder):
        earlier = {} if overwrite else _read(folder)
        if earlier:
            _check_same(output, earlier["asked"], asked)
        else:
            _empty(folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        journal = Journal(folder, asked, earlier.get("started", now))
        try:
            if not earlier:
                _write(folder, {"asked": asked, "started": now})
            yield journal
        except BaseException:
            if not journal.has_work:
                shutil.rmtree(folder, ignore_errors=True)
                for parent in made:
                    with suppress(OSError):
                        parent.rmdir()
            raise
    shutil.rmtree(folder)  # not every system removes a lock that is held


def _check_same(output: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changes = [
        f"{name} was {before.get(name)}, is {now.get(name)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changes:
        raise ConfigError(
            f"an interrupted run for {output} was asked something else: {'; '.join(changes)}."
            " Run its command again to go on, or give --overwrite to start afresh"
        )


def _read(folder: Path) -> Facts:
    """Read a folder's record; nothing where there is none, or a damaged one."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and {"asked", "started"} <= record.keys() else {}


def _write(folder: Path, record: Facts) -> None:
    """Write the record; it is there complete or not at all."""
    try:
        replace_file(folder / RECORD, json.dumps(record, indent=1).encode())
    except OSError as error:
        raise cannot_write(folder, error) from error


def _empty(folder: Path) -> None:
    """Remove what an earlier run left, but not the lock of this one."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make a folder and keep other processes out; OutputError where one is in it, or it cannot be made."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another run works in {folder}; wait until it is done, stop it, or choose another output"
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    except NotImplementedError:  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()
