"""Poisson noise keyed by seed and position: the same counts whatever the chunks, the order or the workers."""

from __future__ import annotations

import numpy as np

from ..physics.thinning import pattern_generator

NOISE_STREAM = 1


def poisson_counts(intensities: np.ndarray, indices: np.ndarray, seed: int) -> np.ndarray:
    """Counts of the patterns ``indices`` with mean ``intensities`` [B, N, N] in electrons."""
    counts = np.empty(intensities.shape, dtype=np.int64)
    for b, j in enumerate(indices):
        counts[b] = pattern_generator(seed, int(j), NOISE_STREAM).poisson(intensities[b].astype(np.float64))
    return counts
