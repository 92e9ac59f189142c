"""Make trained weights the default ones: add what was measured on them, and put them into the package.

Example:  python tools/ship_weights.py runs/default/model.safetensors --scores scores.json --seam-error 0.001
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from geoconvnext.model.weights import default_weights_path, load_weights, save_weights


def main() -> None:
    """Parse, complete the description, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("--scores", type=Path, required=True, help="JSON of tools/validate.py")
    parser.add_argument("--seam-error", type=float, required=True, help="share of pixels, of tools/seam.py")
    parser.add_argument("--body-threshold", type=float, default=0.5)
    parser.add_argument("--seed-threshold", type=float, default=0.3)
    parser.add_argument("--edge-weight", type=float, default=0.9)
    parser.add_argument("--halo", type=int, default=96, help="of the windows, image pixels")
    parser.add_argument("--output", type=Path, default=default_weights_path())
    arguments = parser.parse_args()
    net, info = load_weights(arguments.weights)
    measures = ("pixel_iou", "f1", "precision", "recall")
    scores = {
        name: {measure: round(row[measure], 4) for measure in measures}
        for name, row in json.loads(arguments.scores.read_text()).items()
    }
    info = replace(
        info,
        scores=scores,
        seam_error=arguments.seam_error,
        halo=arguments.halo,
        body_threshold=arguments.body_threshold,
        seed_threshold=arguments.seed_threshold,
        edge_weight=arguments.edge_weight,
    )
    save_weights(arguments.output, net, info)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
