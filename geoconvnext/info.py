"""What a scene or a weights file is, and whether they fit each other."""

from pathlib import Path

from geoconvnext.model.weights import WeightsInfo, default_weights_path, read_info
from geoconvnext.raster.scene import Scene


def describe_weights(path: Path) -> dict[str, str]:
    """Read what a weights file says of its network, as lines of a table; WeightsError."""
    info = read_info(path)
    spec = info.spec
    lines = {
        "weights": str(path),
        "network": f"{spec.encoder}, {spec.decoder} of {spec.decoder_channels} channels",
        "bands": str(spec.bands),
        "pixels": _range(info),
        "mask": f"{spec.scale} x as fine as the image",
        "tile-local": "yes" if spec.tile_local else "no",
        "windows": f"{info.tile} px, halo {info.halo} px",
        "thresholds": f"body {info.body_threshold}, seed {info.seed_threshold}",
        "version": info.version,
        "licence": info.licence or "not stated",
        "trained on": info.training_data or "not stated",
    }
    for name, scores in info.scores.items():
        lines[f"scores {name}"] = ", ".join(f"{measure} {value:.3f}" for measure, value in scores.items())
    return lines


def describe_scene(path: str, *, bands: tuple[int, ...] | None, gsd_m: float | None) -> dict[str, str]:
    """Say what a scene is, as lines of a table; SceneError."""
    with Scene.open(path, bands=bands, gsd_m=gsd_m) as scene:
        return {
            "scene": path,
            "size": f"{scene.width} x {scene.height} px",
            "bands": ", ".join(map(str, scene.bands)),
            "CRS": scene.crs.to_string() if scene.crs else "none",
            "pixels": f"{scene.source_gsd_m:.3f} m" if scene.source_gsd_m else "size unknown",
        }


def describe_fit(
    path: str, weights: Path | None, *, bands: tuple[int, ...] | None, gsd_m: float | None
) -> dict[str, str]:
    """Say how a network (None: the one shipped) reads a scene; SceneError, WeightsError where it cannot."""
    weights = weights or default_weights_path()
    info = read_info(weights)
    with Scene.open(
        path, bands=bands, band_count=info.spec.bands, gsd_range_m=info.gsd_range_m, gsd_m=gsd_m
    ) as scene:
        read = f"bands {', '.join(map(str, scene.bands))}, {scene.width} x {scene.height} px"
        if scene.gsd_m:
            read += f" of {scene.gsd_m:.3f} m"
        lines = {"weights": f"{weights.name}, made for pixels of {_range(info)}", "read as": read}
        return lines | {f"note {i}": note for i, note in enumerate(scene.warnings, start=1)}


def _range(info: WeightsInfo) -> str:
    finest, coarsest = info.gsd_range_m
    return f"{finest} to {coarsest} m"
