"""Kill `geoconvnext predict` at random moments, run the same command again, compare with an undisturbed run.

Every kill is SIGKILL, somewhere between the start and the time that the undisturbed run took. Footprints,
their metadata (but for the date) and the bytes of the probabilities must be equal in the end; exit code 1
where they are not. Without --scene a synthetic one is made. Further options go to `predict`.

    python tools/bench/kills.py --kills 20
    python tools/bench/kills.py --scene scene.tif --kills 20 --seed 3 --tile-size 512
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyogrio

from geoconvnext.synth import write_synthetic
from geoconvnext.vector.files import read_footprints


def main() -> None:
    """Run once undisturbed, then with kills, compare."""
    options, passed_on = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = options.scene or make_scene(folder / "scene.tif", options.size)
        command = [sys.executable, "-m", "geoconvnext", "predict", str(scene), "--quiet", *passed_on]
        start = time.monotonic()
        run(command, folder / "whole", limit_s=None)
        seconds = time.monotonic() - start
        print(f"undisturbed: {seconds:.1f} s", flush=True)
        survived = kill_and_resume(command, folder / "killed", options, seconds)
        problems = compare(folder / "whole", folder / "killed")
    print(f"{survived} kills and as many resumes: {'; '.join(problems) or 'identical outputs'}")
    sys.exit(bool(problems))


def parse() -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; what is not ours is for `predict`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--size", type=int, default=3000, help="of the synthetic scene (px)")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_known_args()


def make_scene(path: Path, size: int) -> Path:
    """Make a synthetic scene."""
    return write_synthetic(path, seed=1, height=size, width=size, gsd_m=0.4, style="suburb").scene


def run(command: list[str], place: Path, limit_s: float | None) -> bool:
    """Run until the end, or kill after `limit_s`; whether the end was reached."""
    outputs = ["-o", f"{place}.gpkg", "--probabilities", f"{place}.tif"]
    process = subprocess.Popen([*command, *outputs])
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    if code:
        sys.exit(f"predict failed with exit code {code}")
    return True


def kill_and_resume(command: list[str], place: Path, options: argparse.Namespace, seconds: float) -> int:
    """Kill as often as wanted; a run that ends before its kill starts from the beginning again."""
    chance = random.Random(options.seed)
    for number in range(1, options.kills + 1):
        while run(command, place, limit_s := chance.uniform(0.1, 1.0) * seconds):
            pass
        strips = len(list(place.parent.glob(f".{place.name}.gpkg.partial/strip_*")))
        print(f"kill {number} after {limit_s:.1f} s, {strips} strips done", flush=True)
    run(command, place, limit_s=None)
    return options.kills


def compare(whole: Path, killed: Path) -> list[str]:
    """Say what differs."""
    problems = []
    ours, other = (read_footprints(Path(f"{path}.gpkg")) for path in (whole, killed))
    if not ours.equals(other):
        problems.append(f"footprints differ ({len(ours)} and {len(other)})")
    facts = [pyogrio.read_info(f"{path}.gpkg", layer=0)["layer_metadata"] for path in (whole, killed)]
    if facts[0] | {"date": ""} != facts[1] | {"date": ""}:
        problems.append(f"metadata differ: {facts}")
    if Path(f"{whole}.tif").read_bytes() != Path(f"{killed}.tif").read_bytes():
        problems.append("probabilities differ")
    return problems


if __name__ == "__main__":
    main()
