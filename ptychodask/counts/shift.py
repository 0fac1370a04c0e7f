"""Patterns moved by whole pixels: counts stay what they are."""

from __future__ import annotations

import numpy as np

from .events import Events


def moved(counts: Events | np.ndarray, by: np.ndarray, n: int) -> Events | np.ndarray:
    """Counts of patterns of side ``n``, each moved by its own number of whole pixels.

    What leaves a pattern on one side comes in on the other, where :func:`moved_mask` leaves it out.

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


def moved_mask(mask: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Pixels that can be used in every pattern, after it was moved.

    Parameters
    ----------
    mask : array [N, N]
        Zero angle in the centre, 0 leaves out.
    by : int array [B, 2]
        Pixels (y, x).
    """
    n, used = len(mask), mask != 0
    found = np.ones_like(used)
    for y, x in np.unique(by.reshape(-1, 2), axis=0).tolist():
        its = np.zeros_like(used)
        here, there = (
            tuple(slice(max(0, sign * s), n + min(0, sign * s)) for s in (y, x)) for sign in (1, -1)
        )  # what came round is no part of the pattern
        its[here] = used[there]
        found &= its
    return found
