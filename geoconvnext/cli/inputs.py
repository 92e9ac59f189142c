"""What several verbs read from the command line: scenes as files, folders, globs or addresses, and bands."""

import glob
from collections.abc import Sequence
from pathlib import Path

from geoconvnext.errors import ConfigError, SceneError

SCENE_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2", ".jpg", ".jpeg", ".png", ".img"}


def expand_scenes(arguments: Sequence[str]) -> list[str]:
    """Scenes in the order given; folders and globs in alphabetical order. SceneError where one has none."""
    scenes = [scene for argument in arguments for scene in _expand(argument)]
    return list(dict.fromkeys(scenes))


def _expand(argument: str) -> list[str]:
    if "://" in argument or argument.startswith("/vsi"):
        return [argument]
    path = Path(argument)
    if path.is_dir():
        found = [str(file) for file in sorted(path.iterdir()) if file.suffix.lower() in SCENE_SUFFIXES]
        if not found:
            raise SceneError(f"folder {argument} has no scenes ({', '.join(sorted(SCENE_SUFFIXES))})")
        return found
    if not path.exists() and glob.has_magic(argument):
        found = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207, Path.glob takes no absolute pattern
        if not found:
            raise SceneError(f"no scene matches {argument}")
        return found
    return [argument]


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """`5,3,2` as numbers; SceneError where it is something else."""
    if text is None:
        return None
    try:
        bands = tuple(int(part) for part in text.split(","))
    except ValueError:
        bands = ()
    if not bands or min(bands) < 1:
        raise SceneError(f"--bands {text} is not a list of band numbers from 1, such as 5,3,2")
    return bands


def parse_numbers(option: str, text: str) -> tuple[float, ...]:
    """`0.2,0.4` as positive numbers; ConfigError, naming the option, where it is something else."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) <= 0:
        raise ConfigError(f"{option} {text} is not a list of positive numbers, such as 0.2,0.4")
    return numbers
