"""Electron thinning: split counts into two independent Poisson sets, for validation.

``n_train ~ Binomial(n, p)`` and ``n_held = n - n_train`` are independent Poisson variables of mean ``p I`` and
``(1 - p) I``. Every electron draws its own number from a counter-based generator (SplitMix64; Steele, Lea & Flood,
OOPSLA 2014) keyed by seed, pattern and its place in the pattern, so a split depends on neither worker, block, order nor
container.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._numba import njit


def thin(counts: np.ndarray, start: np.ndarray, patterns: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Electrons that are kept for training.

    Parameters
    ----------
    counts : unsigned int array [E]
        Electrons per pixel of B patterns, one after the other; pixels without electrons may be left out, they draw
        nothing.
    start : int array [B + 1]
        Pattern b is ``start[b]:start[b + 1]``.
    patterns : int array [B]
        Index j of every pattern in the scan.
    fraction : float
        Probability p to keep an electron.
    seed : int
        Key of the split.

    Returns
    -------
    array [E] of the type of ``counts``
    """
    kept = np.empty_like(counts)
    keys = np.asarray(patterns, dtype=np.uint64)
    _keep(counts, np.asarray(start, np.int64), keys, np.uint64(fraction * 2**53), np.uint64(seed), kept)
    return kept


@njit(nogil=True)
def _mix(z: Any) -> Any:
    """SplitMix64's output function."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True)
def _keep(
    counts: np.ndarray, start: np.ndarray, patterns: np.ndarray, threshold: int, seed: int, kept: np.ndarray
) -> None:
    """An electron is kept where the 53 upper bits of its number are below ``threshold``."""
    step = np.uint64(0x9E3779B97F4A7C15)
    for b in range(len(patterns)):
        state = _mix(_mix(seed + step) + patterns[b] * step)
        for e in range(start[b], start[b + 1]):
            taken = 0
            for _ in range(counts[e]):
                state += step
                taken += (_mix(state) >> np.uint64(11)) < threshold
            kept[e] = taken
