import ast
import subprocess
import sys
from pathlib import Path

import pytest

import geoconvnext

PACKAGE = Path(geoconvnext.__file__).parent
BASE = ("errors", "output", "kernel", "ahead", "heap")
RUNGS = [BASE, ("raster", "model", "vector", "metrics"), ("data",), ("training",), "verbs", ("cli",)]
VERBS = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "config", *BASE}
HEAVY = {"torch", "numpy", "rasterio", "shapely", "geopandas", "pandas", "cv2", "timm", "lightning", "numba"}
FORBIDDEN = {
    "raster": {"torch", "timm", "lightning", "geopandas", "shapely"},
    "vector": {"torch", "timm", "lightning", "rasterio"},
    "metrics": {"torch", "timm", "lightning", "rasterio", "geopandas"},
    "model": {"rasterio", "shapely", "geopandas"},
    "errors": HEAVY,
    "output": HEAVY,
    "heap": HEAVY,
}


def rung(room):
    """Height on the ladder of imports; None for what belongs to no room."""
    if room in VERBS:
        room = "verbs"
    return next((height for height, rooms in enumerate(RUNGS) if room == rooms or room in rooms), None)


def imports(path):
    """All modules that a file imports, wherever in it; those for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            if node.module == "geoconvnext":
                yield from (f"geoconvnext.{alias.name}" for alias in node.names)


def room_of(module):
    """`raster` for `geoconvnext.raster.scene`; None outside the package and for its root."""
    first, *rest = module.split(".")
    return rest[0] if first == "geoconvnext" and rest and not rest[0].startswith("__") else None


def arrows():
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE).with_suffix("")
        for module in imports(path):
            yield str(path.relative_to(PACKAGE)), relative.parts[0], module


def check(room, module):
    """What is wrong with a room importing a module, or None."""
    other = room_of(module)
    if module.split(".")[0] in FORBIDDEN.get(room, ()):
        return f"{room} must not know {module}"
    if other in {None, room, "config"} or room == "__main__":
        return None
    if rung(other) is None:
        return f"{other} stands on no rung"
    if rung(room) is not None and rung(other) > rung(room):
        return "points up the ladder"
    if rung(room) == rung(other) == 1:
        return "rooms on one rung do not know each other"
    return None


def test_imports_point_down():
    wrong = [(file, module, reason) for file, room, module in arrows() if (reason := check(room, module))]
    assert not wrong


def test_configuration_stays_at_the_edge():
    users = {room for _, room, module in arrows() if room_of(module) == "config"}
    assert users <= VERBS | {"cli"}


@pytest.mark.parametrize(
    ("room", "module", "complaint"),
    [
        ("raster", "geoconvnext.predict", "up"),
        ("data", "geoconvnext.cli.main", "up"),
        ("errors", "geoconvnext.raster.scene", "up"),
        ("raster", "geoconvnext.vector.files", "one rung"),
        ("vector", "torch.nn", "must not know"),
        ("model", "rasterio", "must not know"),
        ("predict", "geoconvnext.unheard_of", "no rung"),
        ("predict", "geoconvnext.raster.scene", None),
        ("cli", "geoconvnext.predict", None),
        ("raster", "geoconvnext.raster.grid", None),
    ],
)
def test_the_rules_themselves(room, module, complaint):
    found = check(room, module)
    assert found is None if complaint is None else complaint in found


@pytest.mark.parametrize("module", ["geoconvnext", "geoconvnext.cli.main"])
def test_starting_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(loaded.split())
