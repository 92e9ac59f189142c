"""A network ready to run: its weights put in place, its views of scenes, its rules for footprints."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoconvnext.errors import ConfigError, WeightsError
from geoconvnext.model.runtime import Placement, Runner
from geoconvnext.model.weights import View, WeightsInfo, default_weights_path, load_weights
from geoconvnext.vector.confidence import Confidence
from geoconvnext.vector.rules import FootprintRules


@dataclass(frozen=True)
class Model:
    """A network ready to run, what its weights say of it, and what counts as a building.

    runners: by scale of the view; each takes uint8 windows (N, bands, tile, tile), gives uint8 probabilities
    * 254 of CHANNELS, (N, 3, scale * tile, scale * tile).
    precision: share of the footprints that should be right; the calibration says from which confidence on.
    weights, digest: the file and its SHA-256, empty for a network that does not come from one.
    tta: whether the probabilities are the mean over the symmetries of the square.
    """

    runners: Mapping[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]
    info: WeightsInfo
    rules: FootprintRules
    name: str
    precision: float | None = None
    weights: Path | None = None
    digest: str = ""
    tta: bool = False

    def rules_at(self, scale: int) -> FootprintRules:
        """Return the rules in the view of a scale; ConfigError where its precision cannot be reached."""
        if self.precision is None:
            return self.rules
        confidence = read_confidence(self.info, scale)
        if confidence is None:
            raise ConfigError(
                f"a precision of {self.precision:g} was asked for, but {self.name} is not calibrated at scale"
                f" {scale}; run `geoconvnext calibrate` on validation tiles, or give --min-confidence"
            )
        return replace(self.rules, min_confidence=confidence.threshold_for(self.precision))


def load_model(
    weights: Path | None,
    placement: Placement,
    *,
    body_threshold: float | None = None,
    min_area_m2: float | None = None,
    tolerance_m: float | None = None,
    simplify_m: float | None = None,
    min_confidence: float | None = None,
    precision: float | None = None,
    tta: bool = False,
) -> Model:
    """Load weights (None: those shipped) and put the network in place.

    precision, tta: see Model. The others replace those FootprintRules that the weights or defaults give.
    """
    if min_confidence is not None and precision is not None:
        raise ConfigError("a minimal confidence and a precision were given; both say what to keep: give one")
    path = weights or default_weights_path()
    net, info = load_weights(path)
    names = ("body_threshold", "seed_threshold", "edge_weight", "min_area_m2")
    chosen = {
        "body_threshold": body_threshold,
        "min_area_m2": min_area_m2,
        "tolerance_m": tolerance_m,
        "simplify_m": simplify_m,
        "min_confidence": min_confidence,
    }
    rules = {name: getattr(info, name) for name in names}
    rules |= {name: value for name, value in chosen.items() if value is not None}
    # A hole may not be larger than the smallest building, which could lie in it.
    rules["min_hole_m2"] = min(rules["min_area_m2"], FootprintRules.min_hole_m2)
    runners = {view.scale: Runner(net, placement, view.scale, tta=tta) for view in info.views}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return Model(runners, info, FootprintRules(**rules), path.name, precision, path, digest, tta)


def read_confidence(info: WeightsInfo, scale: int) -> Confidence | None:
    """Return the calibration of the view of a scale, None where there is none; WeightsError if malformed."""
    stored = (info.confidence or {}).get(str(scale))
    if stored is None:
        return None
    try:
        return Confidence.from_dict(stored)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise WeightsError(
            f"the weights have a calibration that cannot be understood: {error};"
            " run `geoconvnext calibrate` on them again"
        ) from error


def choose_view(info: WeightsInfo, gsd_m: float | None, scale: int | None = None) -> View:
    """Return the first view, unless a scene's own ground sampling distance is nearer to another's range.

    scale: only views of this scale; ConfigError where there is none.
    """
    views = candidate_views(info, scale)
    return views[0] if gsd_m is None else min(views, key=lambda view: _steps_outside(view, gsd_m))


def candidate_views(info: WeightsInfo, scale: int | None) -> list[View]:
    """Return the views of a scale, or all; ConfigError where there is none."""
    views = [view for view in info.views if scale in {None, view.scale}]
    if not views:
        known = ", ".join(
            f"{view.scale} (pixels of {view.gsd_range_m[0]:g} to {view.gsd_range_m[1]:g} m)"
            for view in info.views
        )
        raise ConfigError(f"these weights were not trained for scale {scale}; they have {known}")
    return views


def _steps_outside(view: View, gsd_m: float) -> float:
    """Logarithm of the factor by which a ground sampling distance misses a view's range; 0 inside."""
    finest, coarsest = view.gsd_range_m
    return max(math.log(finest / gsd_m), math.log(gsd_m / coarsest), 0.0)
