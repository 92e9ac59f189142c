"""Periodic noise tiles that give every surface its texture."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

SIZE = 512
"""Side of a noise tile in cells; a power of two, so that a mask wraps coordinates."""


def _spectral(rng: np.random.Generator, slope: float, lowest: float) -> NDArray[np.float32]:
    """Noise with amplitude ~ frequency^-slope above `lowest` cycles per tile, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :]) * SIZE
    amplitude = np.where(frequency < lowest, 0.0, np.maximum(frequency, 1.0) ** -slope)
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * amplitude
    field = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return np.asarray(field / field.std(), dtype=np.float32)


@cache
def noise_tiles() -> NDArray[np.float32]:
    """Tiles (3, SIZE, SIZE): smooth blotches, pink noise of all octaves, near-white grain."""
    rng = np.random.default_rng(20240229)
    return np.stack([_spectral(rng, 1.7, 2.0), _spectral(rng, 1.0, 3.0), _spectral(rng, 0.25, 1.0)])
