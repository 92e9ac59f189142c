"""Random draws of the procedural world: scalar, cheap and reproducible."""

import random
from collections.abc import Mapping, Sequence
from math import exp
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Color: TypeAlias = tuple[float, float, float]


class Dice:
    """A seeded source of scalar draws; children are independent: skipping one changes no other."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._source = random.Random(seed * 2654435761 % 2**61)  # noqa: S311  scenery, not secrets
        self.random = self._source.random
        self.uniform = self._source.uniform
        self.gauss = self._source.gauss

    def child(self) -> "Dice":
        """Return an independent source that depends on the position in this one."""
        return Dice(self._source.getrandbits(48))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.random() < probability

    def below(self, n: int) -> int:
        """Return an integer in 0..n-1."""
        return int(self.random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[int(self.random() * len(items))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """Return a key with probability proportional to its weight."""
        left = self.random() * sum(weights.values())
        for key, weight in weights.items():
            left -= weight
            if left <= 0:
                return key
        return next(iter(weights))

    def vary(self, color: Color, value: float = 0.08, tint: float = 0.025) -> Color:
        """Return the colour with log-normal brightness and per-channel tint jitter."""
        gauss = self.gauss
        gain = gauss(0, value)
        red, green, blue = color
        return (
            min(255.0, red * exp(gain + gauss(0, tint))),
            min(255.0, green * exp(gain + gauss(0, tint * 0.6))),
            min(255.0, blue * exp(gain + gauss(0, tint))),
        )
