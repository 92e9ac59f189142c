"""What counts as a building."""

from dataclasses import dataclass, fields

from geoconvnext.errors import ConfigError


@dataclass(frozen=True)
class FootprintRules:
    """What counts as a building and how it is drawn.

    body_threshold: probability from which a pixel is building, in 0..1.
    seed_threshold: seed score above which lies the heart of an individual building, in 0..1.
    edge_weight: how much the edge probability lowers the seed score, in 0..1.
    min_seed_m2: smaller seeds are no buildings of their own.
    tolerance_m: walls are straightened and right angles made where the outline moves no farther than this, or
        than MIN_TOLERANCE_PX pixels; 0 leaves outlines as they are.
    simplify_m: tolerance in metres of outlines that are not straightened; 0 keeps every vertex.
    min_area_m2, min_hole_m2: smaller buildings are dropped, smaller holes are filled.
    min_confidence: less certain buildings are dropped, in 0..1.
    """

    body_threshold: float = 0.5
    seed_threshold: float = 0.3
    edge_weight: float = 0.5
    min_seed_m2: float = 4.0
    tolerance_m: float = 1.5
    simplify_m: float = 0.15
    min_area_m2: float = 16.0
    min_hole_m2: float = 4.0
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0.0:
                raise ConfigError(f"{field.name} must be 0 or more, got {value}.")
        for name in ("body_threshold", "seed_threshold", "edge_weight", "min_confidence"):
            if getattr(self, name) > 1.0:
                raise ConfigError(f"{name} is a share between 0 and 1, got {getattr(self, name)}.")
        if self.min_hole_m2 > self.min_area_m2:
            raise ConfigError(
                f"min_hole_m2 ({self.min_hole_m2}) must not exceed min_area_m2 ({self.min_area_m2}): "
                "a building inside a courtyard that is filled would lie under another one."
            )

    @property
    def body_level(self) -> int:
        """The body threshold in the raster's grey values, 1..254."""
        return min(max(round(self.body_threshold * 254.0), 1), 254)
