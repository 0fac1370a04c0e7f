"""Products of maps, summed in float64."""

from __future__ import annotations

import numpy as np


def inner(a: np.ndarray, b: np.ndarray) -> float:
    """Re <a, b> in float64."""
    return float((a.conj() * b).real.sum(dtype=np.float64))


def power(move: np.ndarray, light: np.ndarray) -> float:
    """sum W |d|^2."""
    return float((light * (move.real**2 + move.imag**2)).sum(dtype=np.float64))
