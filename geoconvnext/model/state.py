"""Named weights compared with those that a network expects."""

from collections.abc import Iterable, Mapping

from torch import Tensor


def describe_mismatch(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Say what keeps `state` from being loaded as `expected`; empty where nothing does."""
    shared = expected.keys() & state.keys()
    kinds: dict[str, Iterable[str]] = {
        "missing": expected.keys() - state.keys(),
        "unknown": state.keys() - expected.keys(),
        "of another shape": (name for name in shared if expected[name].shape != state[name].shape),
    }
    found = [(what, sorted(names)) for what, names in kinds.items()]
    return ", ".join(f"{len(names)} {what} (first: {names[0]})" for what, names in found if names)
