"""Individuals against connected components: what dividing by seeds is worth, with and without contact.

References are drawn or real, seen with noise as in bench/polygons.py. Columns: F1 at IoU 0.5, share of
references that lie in several footprints, share of footprints that hold several references.

Example:  python tools/division.py --synthetic 9 --references labels/*.geojson --noise 0.1
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from polygon_cases import Scene, draw_scenes, perceive, read_scenes

from geoconvnext.metrics.scores import pool, score
from geoconvnext.vector.footprints import find_footprints
from geoconvnext.vector.rules import FootprintRules

RULES = FootprintRules()
NEVER = replace(RULES, min_seed_m2=1e12)
CONTACT = 2
WAYS = {
    "connected components": (NEVER, True),
    "seeds without contact": (RULES, False),
    "seeds": (RULES, True),
}


def main() -> None:
    """Score every way and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="drawn scenes")
    parser.add_argument("--references", type=Path, nargs="+", default=[], help="files of real footprints")
    parser.add_argument("--noise", type=float, default=0.1, help="(share)")
    parser.add_argument("--gsd", type=float, default=0.3, help="of the rasters (m)")
    options = parser.parse_args()
    sets = {"drawn": list(draw_scenes(options.synthetic)), "real": list(read_scenes(options.references))}
    print(f"{'':<28}{'f1':>8}{'split':>8}{'merged':>8}")
    for name, scenes in sets.items():
        for way, (rules, with_contact) in WAYS.items():
            if scenes:
                numbers = measure(scenes, rules, with_contact, options.noise, options.gsd)
                print(f"{name + ', ' + way:<28}" + "".join(f"{number:>8.3f}" for number in numbers))


def measure(
    scenes: list[Scene], rules: FootprintRules, with_contact: bool, noise: float, gsd_m: float
) -> NDArray[np.float64]:
    """Return F1, split rate and merge rate over scenes."""
    scores = []
    for seed, scene in enumerate(scenes):
        raster, transform = perceive(scene, noise=noise, gsd_m=gsd_m, seed=seed)
        if not with_contact:
            raster[CONTACT] = 0
        height, width = raster.shape[1:]
        found = find_footprints(
            [raster], height=height, width=width, transform=transform, crs=scene.crs, rules=rules
        )
        scores.append(score(found.geometry.to_numpy(), scene.truth))
    summary = pool(scores).to_dict()
    return np.array([summary[name] for name in ("f1", "split_rate", "merge_rate")])


if __name__ == "__main__":
    main()
