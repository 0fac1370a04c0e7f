"""Patterns moved by whole pixels: counts stay what they are."""

from __future__ import annotations

import numpy as np

from .events import Events


def moved(counts: Events | np.ndarray, by: np.ndarray, n: int) -> Events | np.ndarray:
    """Counts of patterns of side ``n``, each moved by its own number of whole pixels.

    What leaves a pattern on one side comes in on the other, where the mask of what was moved leaves it out.

    Parameters
    ----------
    counts : Events or array [B, N, N]
        Corner-centred.
    by : int array [B, 2]
        Pixels (y, x).
    n : int
    """
    if not by.any():
        return counts
    if not isinstance(counts, Events):
        out = np.empty_like(counts)
        for shift in np.unique(by, axis=0):
            its = (by == shift).all(axis=1)
            out[its] = np.roll(counts[its], tuple(shift.tolist()), axis=(1, 2))
        return out
    row, pixel, count = counts.rows(0, len(by))
    place = (pixel // n + by[row, 0]) % n * n + (pixel % n + by[row, 1]) % n
    order = np.argsort(row * (n * n) + place)  # all are different: a pattern has a pixel once
    return Events(counts.start, place[order].astype(counts.pixel.dtype), count[order])
