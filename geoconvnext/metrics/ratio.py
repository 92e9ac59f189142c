"""The one division of this room."""


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN where the whole is nothing and the ratio therefore undefined."""
    return part / whole if whole else float("nan")
