"""Does masked pretraining help where labels are few? Trains on shares of the tiles, with and without it.

For each share of the training tiles and each seed, a network with an FPN decoder is trained twice on the same
tiles, batches and steps: from a random encoder, and from the one that `geoconvnext pretrain` made. Smaller
shares of a seed are parts of the larger ones. Prints the validation IoU at the end, mean and standard
deviation over the seeds, and what pretraining adds; OUTPUT/results.json has every run. Finished runs are not
repeated, so that it can be stopped and started again.

Example:  python tools/label_fractions.py encoder.safetensors --train tiles/train/* --val tiles/val/*
"""

from __future__ import annotations

import argparse
import csv
import glob
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from geoconvnext.config import TrainConfig
from geoconvnext.data.tiles import MANIFEST
from geoconvnext.model.checkpoint import ENCODER_KEY
from geoconvnext.model.weights import read_info
from geoconvnext.train import WEIGHTS_NAME, train
from geoconvnext.training.checkpoints import FOLDER, LAST_NAME

STARTS = ("random", "pretrained")
RESULTS = "results.json"
FREE = {"fractions", "seeds", "workers"}  # settings that may change between two starts
Run = dict[str, Any]


def main() -> None:
    """Train what is not trained yet; write the results after each run, print the table at the end."""
    options = _parse()
    _check_settings(options)
    runs: list[Run] = []
    for seed in range(options.seeds):
        for fraction in options.fractions:
            tiles = options.output / "tiles" / f"{fraction:g}_seed{seed}"
            count = sum(shorten(path, tiles / path.name, fraction, seed) for path in options.train)
            for start in STARTS:
                began = time.monotonic()
                output = options.output / "runs" / f"{fraction:g}_seed{seed}_{start}"
                scores = scores_of(config_of(options, tiles, output, seed, start))
                runs.append(
                    {"fraction": fraction, "seed": seed, "start": start, "tiles": count, "iou": scores}
                )
                print(
                    f"== {output.name}: IoU {scores['mean']:.3f}, {time.monotonic() - began:.0f} s",
                    flush=True,
                )
                _write(options, runs)
    print(table(runs))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoder", type=Path, help="what `geoconvnext pretrain` wrote")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="tile sets")
    parser.add_argument("--val", type=Path, nargs="+", required=True, help="tile sets")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/label_fractions"))
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.05, 0.2, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=128, help="of the samples, pixels")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--gsd", type=float, nargs=2, default=[0.3, 0.5], help="metres, finest and coarsest")
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--precision", choices=["bf16-mixed", "32-true"], default="bf16-mixed")
    return parser.parse_args()


def shorten(source: Path, target: Path, fraction: float, seed: int) -> int:
    """Make a tile set of links to a share of the tiles of another one, at least one; returns their number.

    The order in which a seed draws the tiles is the same for every fraction.
    """
    with (source / MANIFEST).open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    order = np.random.default_rng(seed).permutation(len(rows))
    kept = [rows[i] for i in sorted(order[: max(1, round(fraction * len(rows)))])]
    target.mkdir(parents=True, exist_ok=True)
    for row in kept:
        for path in source.glob(f"{glob.escape(row[header.index('name')])}.*"):
            if not (target / path.name).is_symlink():
                (target / path.name).symlink_to(path.resolve())
    with (target / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *kept])
    return len(kept)


def config_of(options: argparse.Namespace, tiles: Path, output: Path, seed: int, start: str) -> TrainConfig:
    """Configure one run, which is validated at its end alone."""
    with safe_open(options.encoder, framework="pt") as file:
        encoder = file.metadata()[ENCODER_KEY]
    net = {"encoder": encoder, "decoder": "fpn", "decoder_channels": 64, "scale": 1}
    if start == "pretrained":
        net["encoder_weights"] = str(options.encoder)
    return TrainConfig.model_validate(
        {
            "output": output,
            "seed": seed,
            "precision": options.precision,
            "val_every_steps": options.steps,
            "net": net,
            "data": {
                "train": [{"path": tiles / path.name} for path in options.train],
                "val": options.val,
                "samples": [{"scale": 1, "size": options.size, "gsd_range_m": options.gsd}],
                "workers": options.workers,
            },
            "optim": {
                "optimizer": options.optimizer,
                "steps": options.steps,
                "batch_size": options.batch_size,
                "learning_rate": options.learning_rate,
                "warmup_steps": options.steps // 10,
                "ema_decay": max(0.0, 1 - 10 / options.steps),  # the average of the last tenth, roughly
            },
        }
    )


def scores_of(config: TrainConfig) -> dict[str, float]:
    """Train, or go on, where that is not done yet; validation IoU by set with buildings, and their `mean`."""
    weights = config.output / WEIGHTS_NAME
    if not weights.exists():
        train(config, resume=(config.output / FOLDER / LAST_NAME).exists())
    scores = read_info(weights).scores
    ious = {name: score["iou"] for name, score in scores.items() if not math.isnan(score["iou"])}
    return {**ious, "mean": statistics.fmean(ious.values())}


def table(runs: list[Run]) -> str:
    """Markdown: a row for each share and start, and one for what pretraining adds with the same seed."""
    sets = list(runs[0]["iou"])
    lines = ["| labelled tiles | encoder | " + " | ".join(sets) + " |", "|---" * (len(sets) + 2) + "|"]
    for fraction in sorted({run["fraction"] for run in runs}):
        of_start = {
            start: {r["seed"]: r for r in runs if (r["fraction"], r["start"]) == (fraction, start)}
            for start in STARTS
        }
        for start, chosen in of_start.items():
            if chosen:
                tiles = round(statistics.fmean(run["tiles"] for run in chosen.values()))
                cells = [_spread([run["iou"][name] for run in chosen.values()]) for name in sets]
                lines.append(_row(f"{fraction:.0%} ({tiles})", start, cells))
        old, new = (of_start[start] for start in STARTS)
        both = old.keys() & new.keys()
        if both:
            gains = [[new[seed]["iou"][name] - old[seed]["iou"][name] for seed in both] for name in sets]
            lines.append(_row("", "gain", [_spread(gain, sign="+") for gain in gains]))
    return "\n".join(lines)


def _row(first: str, second: str, cells: list[str]) -> str:
    return f"| {first} | {second} | {' | '.join(cells)} |"


def _spread(values: list[float], sign: str = "") -> str:
    """Mean, and standard deviation over the seeds where there are several."""
    mean = f"{statistics.fmean(values):{sign}.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return json.loads(json.dumps(vars(options), default=str))


def _check_settings(options: argparse.Namespace) -> None:
    """Stop where finished runs were made with other settings than these."""
    if not (options.output / RESULTS).exists():
        return
    before = json.loads((options.output / RESULTS).read_text(encoding="utf-8"))["settings"]
    if changed := [k for k, v in _settings(options).items() if k not in FREE and before.get(k) != v]:
        sys.exit(f"{options.output} has runs with another {', '.join(changed)}; name another --output")


def _write(options: argparse.Namespace, runs: list[Run]) -> None:
    content = {"settings": _settings(options), "runs": runs}
    (options.output / RESULTS).write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
