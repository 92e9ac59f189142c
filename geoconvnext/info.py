"""What a scene or a weights file is, and whether they fit each other."""

from pathlib import Path

from geoconvnext.inference import choose_view, read_confidence
from geoconvnext.model.weights import View, WeightsInfo, default_weights_path, read_info
from geoconvnext.raster.scene import Scene
from geoconvnext.scenes import PredictOptions, open_scene


def describe_weights(path: Path) -> dict[str, str]:
    """Read what a weights file says of its network, as lines of a table; WeightsError."""
    info = read_info(path)
    spec, view = info.spec, info.views[0]
    lines = {
        "weights": str(path),
        "network": f"{spec.encoder}, {spec.decoder} of {spec.decoder_channels} channels",
        "bands": str(spec.bands),
        "pixels": _range(view),
        "mask": f"{view.scale} x as fine as the image",
        "other views": "; ".join(f"{_range(other)}: {other.scale} x as fine" for other in info.views[1:]),
        "tile-local": "yes" if spec.tile_local else "no",
        "windows": f"{info.tile} px, halo {info.halo} px",
        "thresholds": f"body {info.body_threshold}, seed {info.seed_threshold}, from {info.min_area_m2:g} m2",
        "version": info.version,
        "licence": info.licence or "not stated",
        "trained on": info.training_data or "not stated",
    }
    for name, scores in info.scores.items():
        lines[f"scores {name}"] = ", ".join(f"{measure} {value:.3f}" for measure, value in scores.items())
    for scale in dict.fromkeys(other.scale for other in info.views):
        lines |= _describe_confidence(info, scale)
    return {name: value for name, value in lines.items() if value}


def _describe_confidence(info: WeightsInfo, scale: int) -> dict[str, str]:
    """Say what keeping the footprints from a confidence on means, as lines of a table."""
    confidence = read_confidence(info, scale)
    if confidence is None:
        return {f"confidence at {scale} x": "mean probability of the pixels, not calibrated"}
    lines = {f"confidence at {scale} x": "probability of being right, calibrated"}
    for point in confidence.table:
        kept = f"precision {point.precision:.3f}, recall {point.recall:.3f}"
        lines[f"  from {point.threshold:.2f} at {scale} x"] = kept
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
    options = PredictOptions(bands=bands, gsd_m=gsd_m)
    with open_scene(path, info, options) as scene:
        view = choose_view(info, scene.source_gsd_m)
        read = f"bands {', '.join(map(str, scene.bands))}, {scene.width} x {scene.height} px"
        if scene.gsd_m:
            read += f" of {scene.gsd_m:.3f} m"
        lines = {
            "weights": f"{weights.name}, made for pixels of {_range(view)}",
            "read as": f"{read}, mask {view.scale} x as fine",
        }
        return lines | {f"note {i}": note for i, note in enumerate(scene.warnings, start=1)}


def _range(view: View) -> str:
    finest, coarsest = view.gsd_range_m
    return f"{finest} to {coarsest} m"
