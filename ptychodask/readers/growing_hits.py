"""Hits of a scan that still grows: which positions are whole, and where they are, before all marks are there.

What marks mean is known of a whole file by their number. Here it is told by their distance, so that who reads the whole
file may find otherwise.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .hits import PER_US, Events, Index, events_of
from .reader import Asked
from .scans import growing_scan

LATE_US = 10_000.0
"""Hits may stand so far behind later ones in the file, or in the next look at it."""
NEVER = 2**62
"""Time of a mark that is not there yet."""


def growing_events(path: Path, index: Index, asked: Asked, quiet: bool) -> tuple[Events, int]:
    """A reader of the hits that are there, and how many positions are whole; of a ``quiet`` file, to which nothing was
    added for a while, the last one is when it has begun.

    Raises
    ------
    InputError
        If nobody says the scan.
    """
    scan, _ = growing_scan(path, 0, asked.scan)
    total, edges = math.prod(scan), index.edges
    first = min((block.ticks[0] for block in index.blocks), default=NEVER)
    newest = max((block.ticks[1] for block in index.blocks), default=-NEVER)
    length = 1.0 if asked.dwell_us is None else asked.dwell_us * PER_US
    if asked.dwell_us is None and len(edges) > 1:
        length = float(np.diff(edges).max())
    count, known = 1, np.array([first], np.int64)
    if asked.dwell_us is None or len(edges):
        lines = asked.dwell_us is not None and len(edges) > 1 and _are_lines(edges, length, scan[1])
        # of a single mark nobody knows what it means, and without a dwell time it has no end
        count, known = scan[0] if lines else total, edges if len(edges) > 1 else edges[:0]
    starts = np.full(count, NEVER, np.int64)
    starts[: len(known)] = known[:count]
    reader = events_of(path, index, scan, starts, length)
    return reader, _whole(starts, length, total, newest, quiet)


def _are_lines(edges: np.ndarray, length: float, width: int) -> bool:
    """Do marks follow each other as lines do, or as positions?"""
    return width > 1 and float(np.median(np.diff(edges))) > math.sqrt(width) * length


def _whole(starts: np.ndarray, length: float, total: int, newest: int, quiet: bool) -> int:
    """Positions that have ended, from the first on."""
    each = total // len(starts)
    begins = (starts[:, None] + np.arange(each) * length).ravel()
    if quiet and begins[-1] <= newest:
        return total
    return int(np.searchsorted(begins + length, newest - LATE_US * PER_US, "right"))
