"""Poisson noise keyed by seed and position: the same counts whatever the chunks, the order or the workers."""

from __future__ import annotations

import numpy as np

from ..counts.streams import NOISE, generator


def poisson_counts(intensities: np.ndarray, indices: np.ndarray, seed: int) -> np.ndarray:
    """Counts of the patterns ``indices`` with mean ``intensities`` [B, N, N] in electrons."""
    counts = np.empty(intensities.shape, dtype=np.int64)
    for b, j in enumerate(indices):
        counts[b] = generator(seed, NOISE, int(j)).poisson(intensities[b].astype(np.float64))
    return counts
