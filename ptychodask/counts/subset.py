"""Patterns that stand for all of a scan, chosen by their index j in it: which ones does not depend on the blocks."""

from __future__ import annotations

from typing import overload

import numpy as np

from .patterns import Counts, Events, Patterns


def subset(indices: np.ndarray, stride: int, turn: int) -> np.ndarray:
    """Which of the patterns ``indices`` (j in the scan) belong to a subset of one in ``stride``; int array, places.

    Of every ``stride`` patterns that follow each other one is taken, at a place that a hash (Fibonacci hashing: Knuth,
    The Art of Computer Programming 3, 6.4) draws for each such group, lest a crystal be met in one phase only. ``turn``
    moves all by one, so that after ``stride`` turns every pattern was taken once.
    """
    j = np.asarray(indices, np.uint64)
    drawn = (j // np.uint64(stride) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return np.flatnonzero(j % np.uint64(stride) == (drawn + np.uint64(turn)) % np.uint64(stride))


@overload
def taken(counts: Events, places: np.ndarray) -> Events: ...


@overload
def taken(counts: np.ndarray, places: np.ndarray) -> np.ndarray: ...


def taken(counts: Counts, places: np.ndarray) -> Counts:
    """The patterns at the given places."""
    if isinstance(counts, np.ndarray):
        return counts[places]
    lengths = np.diff(counts.start)[places]
    start = np.concatenate([[0], np.cumsum(lengths)])
    # event i of a pattern lies i behind the pattern's first
    events = np.repeat(counts.start[places] - start[:-1], lengths) + np.arange(start[-1])
    return Events(start, counts.pixel[events], counts.count[events])


def some(patterns: Patterns, places: np.ndarray) -> Patterns:
    """The patterns at the given places, in every role."""
    train = None if patterns.train is None else taken(patterns.train, places)
    held = None if patterns.held is None else taken(patterns.held, places)
    return Patterns(taken(patterns.fitted, places), train, held, patterns.pixels)
