"""Random streams: several uses of one seed, each keyed by what it is drawn for, whatever the worker, order or chunk.

Counter-based (Philox; Salmon, Moraes, Dror & Shaw, SC 2011), so that a stream starts anywhere at no cost. The electrons
of :mod:`ptychodask.counts.thinning` draw from a generator of their own, which costs a few operations a number.
"""

from __future__ import annotations

import numpy as np

NOISE, PHONONS, JITTER = 1, 2, 3
"""Uses of a seed: electrons of a pattern, displacements of atoms in a configuration, errors of positions."""


def generator(seed: int, stream: int, index: int = 0) -> np.random.Generator:
    """Generator of one use of a seed; ``index`` is that of a pattern or a configuration."""
    key = np.array([np.uint64(seed) ^ (np.uint64(stream) << np.uint64(56)), np.uint64(index)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
