"""The one division of this room."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Return part / whole element by element, NaN where the whole is 0 and the ratio therefore undefined."""
    above, below = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    result: NDArray[np.float64] = np.full(below.shape, np.nan)
    np.divide(above, below, out=result, where=below != 0)
    return result
