"""What a run says of its network and its tiles before it starts."""

from collections import Counter
from collections.abc import Iterator

from geoconvnext.data.dataset import TrainingSamples, ValidationSamples
from geoconvnext.data.leakage import find_leaks
from geoconvnext.training.module import BuildingTraining


def introduce(
    module: BuildingTraining, training: TrainingSamples, validation: ValidationSamples
) -> Iterator[str]:
    """Lines on what will be trained on what, and on what speaks against it."""
    spec = module.net.spec
    millions = sum(parameter.numel() for parameter in module.net.parameters()) / 1e6
    yield f"network: {spec.encoder}, {spec.decoder}, scale {spec.scale}, {millions:.1f} million parameters"
    tiles = Counter(folder for folder, _ in training.tiles)
    for folder, count in tiles.items():
        yield f"training: {folder.path}, {count} tiles"
    samples = Counter(folder for folder, *_ in validation.crops)
    for folder, count in samples.items():
        names = {record.name for other, record, *_ in validation.crops if other == folder}
        yield f"validation: {folder.path}, {len(names)} tiles, {count} samples"
    if damaged := [*training.damaged(), *validation.damaged]:
        yield f"warning: {len(damaged)} damaged tiles are left out, such as {damaged[0]}"
    if leaks := find_leaks(list(tiles), list(samples)):
        yield (
            f"warning: {len(leaks)} pairs of a training and a validation tile show the same, such as"
            f" {leaks[0].describe()}; the scores will flatter the network"
        )
