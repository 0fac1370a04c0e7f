"""Electron thinning: split counts into two independent Poisson sets, for validation.

``n_train ~ Binomial(n, p)`` and ``n_held = n - n_train`` are independent Poisson variables of mean ``p I`` and
``(1 - p) I``. The generator is keyed by (seed, pattern), so a split depends on neither worker, block nor order.
"""

from __future__ import annotations

import numpy as np


def pattern_generator(seed: int, pattern: int, stream: int = 0) -> np.random.Generator:
    """Counter-based generator (Philox) of one pattern; ``stream`` separates uses of one seed."""
    key = np.array([np.uint64(seed) ^ (np.uint64(stream) << np.uint64(56)), np.uint64(pattern)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def thin(counts: np.ndarray, pattern: int, fraction: float, seed: int) -> np.ndarray:
    """Electrons of one pattern that are kept for training.

    Parameters
    ----------
    counts : int array [E]
        Electrons per pixel in a fixed order; only pixels with counts are needed, but always the same ones.
    pattern : int
        Index j of the pattern in the scan.
    fraction : float
        Probability p to keep an electron.
    seed : int
        Key of the split.
    """
    return pattern_generator(seed, pattern).binomial(counts, fraction).astype(counts.dtype)
