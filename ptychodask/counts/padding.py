"""Patterns with a rim of pixels that no detector saw, for waves that scatter beyond it: a finer pixel of the object."""

from __future__ import annotations

import numpy as np

from .events import Events


def places(stored: int, wanted: int) -> np.ndarray:
    """Where rows of corner-centred patterns of side ``stored`` are in such of side ``wanted``; both are even."""
    rows = np.arange(stored)
    return np.where(rows < stored // 2, rows, rows + wanted - stored)


def padded(counts: Events | np.ndarray, stored: int, wanted: int) -> Events | np.ndarray:
    """Corner-centred patterns [B, N, N], or their events, in larger ones; nothing is in the rim."""
    to = places(stored, wanted)
    if isinstance(counts, Events):
        y, x = np.divmod(counts.pixel.astype(np.int64), stored)
        flat = to[y] * wanted + to[x]  # rises where the pixels did
        return Events(counts.start, flat.astype(np.uint16 if wanted**2 <= 2**16 else np.uint32), counts.count)
    out = np.zeros((len(counts), wanted, wanted), counts.dtype)
    out[:, to[:, None], to] = counts
    return out
