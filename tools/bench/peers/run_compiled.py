"""The bare network of a weights file, compiled by torch, over as many windows as a scene has."""

import geoconvnext.heap  # noqa: F401 - first, as the command does

# isort: split
from meter import measure
from run_bare import Bare, run

from geoconvnext.model.runtime import Engine


class Compiled(Bare):
    """The network as torch compiles it."""

    engine: Engine | None = "compiled"


if __name__ == "__main__":
    measure(run, Compiled)
