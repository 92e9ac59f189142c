r"""Train variants of a configuration with several seeds: what is each part of the recipe worth.

A variant changes some values of the configuration, by dotted keys; the first is the configuration as it is.
They come from a YAML file, name -> {key: value}, or from the command line:

    python tools/ablation.py configs/small.yaml --seeds 3 --output runs/ablation \
        --variant no_dice loss.dice=0 --variant coarse data.samples.0.size=128 loss.edge=0

The table has the mean validation IoU over the seeds, the lowest and the highest, the gain on the first
variant (seed by seed) and the mean of each validation set; OUTPUT/ablation.json has every run. Runs that are
done are not repeated, and interrupted ones go on.
"""

import argparse
import copy
import json
import math
import statistics
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from geoconvnext.config import TrainConfig
from geoconvnext.errors import ConfigError
from geoconvnext.model.weights import read_info
from geoconvnext.train import WEIGHTS_NAME, train
from geoconvnext.training.checkpoints import FOLDER, LAST_NAME

FIRST = "as it is"
SETTINGS_NAME = "settings.yaml"
Values = dict[str, Any]
Runs = dict[str, list[dict[str, float]]]


def override(values: Values, key: str, value: Any) -> None:
    """Set the value of a dotted key; numbers count the entries of lists. Missing sections are made."""
    *sections, name = key.split(".")
    place: Any = values
    for section in sections:
        place = place[int(section)] if isinstance(place, list) else place.setdefault(section, {})
    if isinstance(place, list):
        place[int(name)] = value
    else:
        place[name] = value


def configure(values: Values, changes: Values, *, output: Path, seed: int) -> TrainConfig:
    """Make the configuration of a run; ConfigError where the changes make none."""
    changed = copy.deepcopy(values)
    for key, value in {**changes, "output": str(output), "seed": seed}.items():
        override(changed, key, value)
    try:
        return TrainConfig.model_validate(changed)
    except ValidationError as error:
        raise ConfigError(f"the variant of {output.name} is no configuration: {error}") from error


def scores_of(config: TrainConfig) -> dict[str, float]:
    """IoU of each validation set, and their `mean`; trains only what is not trained yet."""
    settings, path = config.output / SETTINGS_NAME, config.output / WEIGHTS_NAME
    text = yaml.safe_dump(config.model_dump(mode="json"))
    if settings.exists() and settings.read_text() != text:
        raise ConfigError(
            f"{config.output} was trained with other settings; remove it, or name another output"
        )
    config.output.mkdir(parents=True, exist_ok=True)
    settings.write_text(text)
    if not path.exists():
        train(config, resume=(config.output / FOLDER / LAST_NAME).exists())
    scores = {name: values["iou"] for name, values in read_info(path).scores.items()}
    return {"mean": mean(scores.values()), **scores}


def mean(values: Any) -> float:
    """Mean of the values that are defined."""
    return statistics.fmean([value for value in values if not math.isnan(value)] or [math.nan])


def table(runs: Runs) -> str:
    """Rows of variants that have a run at least, columns of the measures."""
    first = next(iter(runs.values()))
    sets = [name for name in first[0] if name != "mean"]
    rows = [["variant", "seeds", "mean IoU", "from", "to", "gain", "from", "to", *sets]]
    for name, scores in runs.items():
        ious = [each["mean"] for each in scores]
        gains = [each["mean"] - base["mean"] for each, base in zip(scores, first, strict=False)]
        measured = [f"{value:.4f}" for value in (mean(ious), min(ious), max(ious))]
        measured += [f"{value:+.4f}" for value in (mean(gains), min(gains), max(gains))]
        measured += [f"{mean(each[key] for each in scores):.4f}" for key in sets]
        rows.append([name, str(len(scores)), *measured])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="configuration of a training")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs and of ablation.json")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant")
    parser.add_argument("--variants", type=Path, help="YAML file: name -> {key: value}")
    parser.add_argument("--variant", nargs="+", action="append", default=[], metavar="NAME KEY=VALUE")
    return parser.parse_args()


def read_variants(arguments: argparse.Namespace) -> dict[str, Values]:
    """Read the changes of each variant by its name."""
    variants: dict[str, Values] = {FIRST: {}}
    if arguments.variants:
        variants |= yaml.safe_load(arguments.variants.read_text())
    for name, *changes in arguments.variant:
        pairs = (change.partition("=") for change in changes)
        variants[name] = {key: yaml.safe_load(value) for key, _, value in pairs}
    return variants


def main() -> None:
    """Train all variants, seed by seed, and print the table after each run."""
    arguments = read_arguments()
    values, variants = yaml.safe_load(arguments.config.read_text()), read_variants(arguments)
    runs: Runs = {}
    for seed in range(arguments.seeds):
        for name, changes in variants.items():
            output = arguments.output / f"{name.replace(' ', '_')}_seed{seed}"
            config = configure(values, changes, output=output, seed=seed)
            runs.setdefault(name, []).append(scores_of(config))
            content = json.dumps({"variants": variants, "runs": runs}, indent=1)
            (arguments.output / "ablation.json").write_text(content)
            print(table(runs), flush=True)


if __name__ == "__main__":
    main()
