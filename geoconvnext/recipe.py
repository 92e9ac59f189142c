"""How footprints are drawn from probabilities: what a raster of them must carry to be drawn anew."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import geopandas as gpd
from affine import Affine

from geoconvnext import __version__
from geoconvnext.errors import ConfigError, SceneError
from geoconvnext.raster.blend import Probabilities
from geoconvnext.vector.confidence import Confidence
from geoconvnext.vector.footprints import stream_footprints
from geoconvnext.vector.rules import FootprintRules

RULES, CONFIDENCE = "GEOCONVNEXT_RULES", "GEOCONVNEXT_CONFIDENCE"
GSD, ORIGIN, VERSION = "GEOCONVNEXT_GSD_M", "GEOCONVNEXT_ORIGIN", "GEOCONVNEXT_VERSION"


@dataclass(frozen=True)
class Recipe:
    """All but the probabilities and their place that footprints depend on."""

    rules: FootprintRules = field(default_factory=FootprintRules)
    confidence: Confidence | None = None
    """None where nothing was calibrated."""
    gsd_m: float | None = None
    """Ground sampling distance of the probabilities, used where they have no CRS; None where unknown."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """Where the probabilities come from, such as the names of scene and model."""

    def draw(
        self,
        bands: Iterable[Probabilities],
        *,
        height: int,
        width: int,
        transform: Affine,
        crs: Any,
        with_features: bool = False,
    ) -> Iterator[gpd.GeoDataFrame]:
        """Draw the footprints; crs is a rasterio CRS or None. See stream_footprints()."""
        return stream_footprints(
            bands,
            height=height,
            width=width,
            transform=transform,
            crs=crs.to_wkt() if crs else None,
            rules=self.rules,
            gsd_m=self.gsd_m,
            confidence=self.confidence,
            with_features=with_features,
        )

    def provenance(self, date: str) -> dict[str, str]:
        """Say where footprints come from that are drawn by it."""
        meaning = "mean probability of the pixels, not calibrated"
        return {
            **self.origin,
            "rules": ", ".join(f"{name} {value}" for name, value in asdict(self.rules).items()),
            "confidence": "probability of being right, calibrated" if self.confidence else meaning,
            "version": f"geoconvnext {__version__}",
            "date": date,
        }

    def to_tags(self) -> dict[str, str]:
        """Write it as tags of a raster."""
        values: dict[str, Any] = {RULES: asdict(self.rules), ORIGIN: dict(self.origin)}
        if self.confidence:
            values[CONFIDENCE] = self.confidence.to_dict()
        if self.gsd_m is not None:
            values[GSD] = self.gsd_m
        return {VERSION: __version__} | {name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str], path: str) -> Self | None:
        """Read the tags of the raster at `path`; None where it has none of rules.

        SceneError: they are damaged, or of a version of this tool that knows other rules or features.
        """
        if RULES not in tags:
            return None
        values = {name: tags[name] for name in (RULES, CONFIDENCE, GSD, ORIGIN) if name in tags}
        try:
            found = {name: json.loads(text) for name, text in values.items()}
            return cls(
                rules=FootprintRules(**found[RULES]),
                confidence=Confidence.from_dict(found[CONFIDENCE]) if CONFIDENCE in found else None,
                gsd_m=float(found[GSD]) if GSD in found else None,
                origin={str(name): str(value) for name, value in found.get(ORIGIN, {}).items()},
            )
        except (ConfigError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise SceneError(
                f"{path}: its tags of geoconvnext {tags.get(VERSION, '')} cannot be understood by"
                f" {__version__}: {error}; run `geoconvnext predict` on the scene again"
            ) from error
