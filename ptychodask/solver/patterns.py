"""The patterns of a block, made ready once: thinned for validation, kept as events where that is smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array import Array
from ..physics.thinning import thin


@dataclass(frozen=True)
class Events:
    """Counts as events in CSR form.

    Parameters
    ----------
    start : int64 array [B + 1]
        Events of pattern b are ``start[b]:start[b + 1]``.
    pixel : uint16 or uint32 array [E]
        Flat pixel, rising within a pattern.
    count : int array [E]
        Electrons.
    """

    start: np.ndarray
    pixel: np.ndarray
    count: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.start.nbytes + self.pixel.nbytes + self.count.nbytes

    def rows(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pattern number (from 0 at ``low``), pixel and electrons of the events of patterns low to high."""
        a, b = self.start[low], self.start[high]
        lengths = np.diff(self.start[low : high + 1])
        return np.repeat(np.arange(high - low), lengths), self.pixel[a:b].astype(np.int64), self.count[a:b]


@dataclass(frozen=True)
class Patterns:
    """Counts of a block, corner-centred, in what roles they play.

    Parameters
    ----------
    fitted : Events or array [B, N, N]
        What updates are made from.
    train : Events or array or None
        What the reported loss is measured on, where it is not ``fitted`` (in the finish).
    held : Events or None
        Held-out electrons in pixels that the mask uses; None without validation.
    pixels : int
        N.
    """

    fitted: Events | np.ndarray
    train: Events | np.ndarray | None
    held: Events | None
    pixels: int

    @property
    def nbytes(self) -> int:
        """Bytes held, for cache budgets."""
        return sum(part.nbytes for part in (self.fitted, self.train, self.held) if part is not None)


def dense(counts: Events | np.ndarray, low: int, high: int, n: int, xp: Any, dtype: Any) -> Array:
    """Counts [high - low, N, N] of patterns low to high as floats on the device of ``xp``."""
    if isinstance(counts, np.ndarray):
        return xp.asarray(counts[low:high]).astype(dtype)
    pattern, pixel, count = counts.rows(low, high)
    out = xp.zeros((high - low, n * n), dtype=dtype)
    out[xp.asarray(pattern), xp.asarray(pixel)] = xp.asarray(count.astype(dtype))
    return out.reshape(high - low, n, n)


def to_events(counts: np.ndarray) -> Events:
    """Events of integer counts [B, N, N]."""
    flat = counts.reshape(len(counts), -1)
    pattern, pixel = np.nonzero(flat)
    count = flat[pattern, pixel]
    start = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(np.bincount(pattern, minlength=len(counts)), out=start[1:])
    return Events(start, pixel.astype(np.uint16 if flat.shape[1] <= 65_536 else np.uint32), count)


def _pick(events: Events, count: np.ndarray) -> Events:
    """The events with other counts, less those that became empty."""
    keep = count > 0
    kept = np.concatenate([[0], np.cumsum(keep)])
    return Events(kept[events.start], events.pixel[keep], count[keep])


def prepare(
    counts: np.ndarray,
    patterns: np.ndarray,
    weights: np.ndarray,
    train_fraction: float | None,
    seed: int,
    use_all: bool = False,
) -> Patterns:
    """Thin a block's counts and choose how to hold them.

    Parameters
    ----------
    counts : array [B, N, N]
        Corner-centred counts, integer where ``train_fraction`` is given.
    patterns : int array [B]
        Index j of every pattern in the scan: it keys the thinning.
    weights : array [N, N]
        Detector mask, corner-centred; held-out electrons under it are dropped.
    train_fraction : float or None
        Share of electrons to train on; None holds nothing out.
    seed : int
        Key of the thinning.
    use_all : bool
        Fit the held-out electrons too.
    """
    n = counts.shape[-1]
    if train_fraction is None:
        return Patterns(counts if counts.dtype.kind == "f" else _smaller(to_events(counts), counts), None, None, n)
    events = to_events(counts)
    kept = np.concatenate(
        [
            thin(events.count[events.start[b] : events.start[b + 1]], int(j), train_fraction, seed)
            for b, j in enumerate(patterns)
        ]
    )
    train = _smaller(_pick(events, kept), counts)
    if use_all:
        return Patterns(_smaller(events, counts), train, None, n)
    used = weights.ravel()[events.pixel] > 0
    return Patterns(train, None, _pick(events, (events.count - kept) * used.astype(events.count.dtype)), n)


def _smaller(events: Events, like: np.ndarray) -> Events | np.ndarray:
    """Events, or the dense array they stand for where that takes fewer bytes."""
    if events.nbytes < like.nbytes:
        return events
    return dense(events, 0, len(like), like.shape[-1], np, like.dtype)
