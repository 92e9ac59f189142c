"""Environments of the tools that geoconvnext is compared with: one per tool, of pinned versions.

Made with uv (`pip install uv`), which links files instead of copying them, so that torch lies on the disk
once: about 7 GB in all. What was installed is written to `FOLDER/NAME/versions.txt`. The tools need Python
3.12, which uv finds on the PATH or fetches.

    python tools/bench/peers/install.py environments torchgeo rastervision
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

PYTHON = "3.12"
NEWEST = "2026-11-15"  # no package from after this day, so that what is not named below is pinned, too
SHARED = ("torch==2.15.0", "rasterio==1.5.2", "numpy==2.5.5", "psutil==7.2.2")
PEERS = {
    "torchgeo": "torchgeo==0.10.1",
    "geoai": "geoai-py==0.43.1",
    "rastervision": "rastervision==0.31.1",
    "samgeo": "segment-geospatial==1.4.2",
    "geoinference": "geo-inference==3.2.4",
}
REGULARISERS = {"buildingregulariser": "buildingregulariser==0.2.5"}
"""Tools that make polygons regular, without a network; geoai does that, too."""
TOOLS = PEERS | REGULARISERS


def main() -> None:
    """Parse, and make those that were named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the environments go")
    parser.add_argument("names", nargs="*", choices=[[], *TOOLS], default=[], help="default: all")
    options = parser.parse_args()
    failed = [name for name in options.names or TOOLS if not install(options.folder, name)]
    if failed:
        sys.exit(f"not installed: {', '.join(failed)}")


def install(folder: Path, name: str) -> bool:
    """Make the environment of one peer; False where uv cannot, whose reason is on the screen."""
    place, python = folder / name, str(interpreter(folder, name))
    pins = ["--exclude-newer", NEWEST, *(SHARED if name in PEERS else ()), TOOLS[name]]
    try:
        uv(folder, "venv", "--clear", "--python", PYTHON, str(place))
        uv(folder, "pip", "install", "--python", python, *pins)
        versions = uv(folder, "pip", "freeze", "--python", python, stdout=subprocess.PIPE)
    except subprocess.CalledProcessError:
        return False
    (place / "versions.txt").write_bytes(versions)
    return True


def uv(folder: Path, *arguments: str, stdout: int | None = None) -> bytes:
    """Run uv, with its cache beside the environments so that it can link to it."""
    environment = {**os.environ, "UV_CACHE_DIR": str(folder / "cache"), "UV_LINK_MODE": "hardlink"}
    command = [sys.executable, "-m", "uv", *arguments]
    return subprocess.run(command, env=environment, stdout=stdout, check=True).stdout


def interpreter(folder: Path, name: str) -> Path:
    """Return the Python of a peer's environment, whether it was made or not."""
    return folder / name / "bin" / "python"


if __name__ == "__main__":
    main()
