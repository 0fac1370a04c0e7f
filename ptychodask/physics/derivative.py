"""Derivatives of sampled maps along an axis: sharper than central differences, and local, so that windows have theirs.

The derivative of the interpolating sinc at whole distances is ``(-1)^n / n``; a Hann window cuts it at :data:`REACH`
samples. Up to 3/4 of the Nyquist frequency it is right to 1 %, where central differences lose a half and more.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

REACH = 9
"""Samples to each side that the derivative looks at."""


def derivative(maps: np.ndarray, axis: int) -> np.ndarray:
    """Derivative per sample of maps along an axis; beyond the edges they go on with their last value."""
    n = np.arange(1, REACH + 1)
    half = (-1.0) ** (n + 1) / n * np.cos(np.pi * n / (2 * (REACH + 1))) ** 2
    taps = np.concatenate([-half[::-1], [0.0], half])
    if np.iscomplexobj(maps):
        return derivative(maps.real, axis) + 1j * derivative(maps.imag, axis)  # type: ignore[no-any-return]
    return correlate1d(maps, taps, axis, mode="nearest")  # type: ignore[no-any-return]
