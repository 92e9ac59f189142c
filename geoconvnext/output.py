"""Where results go: checked before any work, drafted beside their place, there complete or not at all."""

import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geoconvnext.errors import OutputError

SCRATCH = ".scratch"


def check_file(path: Path, suffixes: Collection[str]) -> None:
    """Refuse a file that could not be written, before any work; leaves no trace.

    OutputError: its suffix is none of `suffixes`, it is a folder, its folder cannot be made or written.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"cannot write {path}: its name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        # Asking for permission is not enough: root has it on read-only and foreign file systems too.
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        reason = f"{existing} takes no files ({error.strerror})"
        raise OutputError(f"cannot write {path}: {reason}; choose another folder") from error


def check_places(inputs: Iterable[str | Path], outputs: Iterable[Path]) -> None:
    """Refuse outputs that would replace an input (a file, or an address), or each other; OutputError."""
    read, written = {Path(path).resolve() for path in inputs}, set[Path]()
    for output in outputs:
        place = output.resolve()
        if place in read:
            raise OutputError(f"{output} would replace what is read from there; choose another place")
        if place in written:
            raise OutputError(f"several results would be written to {output}; choose other names")
        written.add(place)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Make a hidden folder beside `path` for what comes before it; the folders above are made where missing.

    It is gone afterwards, after an error also the folders made for it. OutputError: it cannot be made.
    """
    missing = [parent for parent in path.absolute().parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(
            prefix=f".{path.name}.", suffix=SCRATCH, dir=path.parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with scratch as name:
            yield Path(name)
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def remove_scratch(path: Path) -> None:
    """Remove what killed processes left while they wrote `path`; nobody may be writing it now."""
    for folder in path.parent.glob(f".{path.name}.*{SCRATCH}"):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Lend a name to write `path` under; moved into place if the block ends well, else gone.

    OutputError: for any OSError of the block, such as a full disk.
    """
    with scratch_folder(path) as folder:
        try:
            yield folder / path.name
            (folder / path.name).replace(path)
        except OSError as error:
            raise cannot_write(path, error) from error


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Lend a name beside `path` to write it under; moved into place if the block ends well, else gone.

    For the pieces of a run, which have a folder already; results are drafted. Raises OSError.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that is there complete or not at all. Raises OSError."""
    with replacement(path) as part:
        part.write_bytes(content)


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Say why a file or folder could not be written, and what to do."""
    return OutputError(f"cannot write {path}: {error.strerror or error}; make room or choose another folder")
