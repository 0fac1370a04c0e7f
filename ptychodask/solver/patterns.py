"""The patterns of a block, made ready once: thinned for validation, kept as events where that is smaller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array import Array
from ..physics.thinning import thin
from .events import Events, events_below, join_events, pick, to_events, write_dense

__all__ = ["Events", "Patterns", "dense", "prepare", "to_events"]

_Part = Events | np.ndarray


@dataclass(frozen=True)
class Patterns:
    """Counts of a block, corner-centred, in what roles they play.

    Parameters
    ----------
    fitted : Events or array [B, N, N]
        What updates are made from; an array has the type that is stored.
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

    @property
    def container(self) -> str:
        """``events``, or the type of the dense counts."""
        return "events" if isinstance(self.fitted, Events) else str(self.fitted.dtype)


def dense(counts: Events | np.ndarray, low: int, high: int, n: int, xp: Any, dtype: Any) -> Array:
    """Counts [high - low, N, N] of patterns low to high as floats on the device of ``xp``."""
    if isinstance(counts, np.ndarray):
        return xp.asarray(counts[low:high]).astype(dtype)
    pattern, pixel, count = counts.rows(low, high)
    out = xp.zeros((high - low, n * n), dtype=dtype)
    out[xp.asarray(pattern), xp.asarray(pixel)] = xp.asarray(count.astype(dtype))
    return out.reshape(high - low, n, n)


def prepare(
    counts: np.ndarray | Iterable[np.ndarray],
    patterns: np.ndarray,
    weights: np.ndarray,
    train_fraction: float | None,
    seed: int,
    use_all: bool = False,
) -> Patterns:
    """Thin a block's counts and choose how to hold them.

    Parameters
    ----------
    counts : array [B, N, N], or an iterable of arrays [b, N, N]
        Corner-centred counts, whole or in runs of patterns, which are packed one by one so that the dense block is
        never there; integer where ``train_fraction`` is given.
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
    everything: list[_Part] = []
    train: list[_Part] = []
    held: list[Events] = []
    done = 0
    for part in (counts,) if isinstance(counts, np.ndarray) else counts:
        indices = patterns[done : done + len(part)]
        done += len(part)
        n, dtype = part.shape[-1], part.dtype
        whole = _smaller(part)
        if train_fraction is None or use_all:
            everything.append(whole)
        if train_fraction is not None:
            kept, rest = _split(whole, indices, train_fraction, seed, weights > 0)
            train.append(kept)
            held.append(rest)
        del part, whole  # before the next run is read
    if train_fraction is None:
        return Patterns(_joined(everything, n, dtype), None, None, n)
    if use_all:
        return Patterns(_joined(everything, n, dtype), _joined(train, n, dtype), None, n)
    return Patterns(_joined(train, n, dtype), None, join_events(held), n)


def _smaller(counts: np.ndarray) -> _Part:
    """Counts as events, or as they are where those take fewer bytes."""
    events = events_below(counts, counts.nbytes)
    return counts if events is None else events


def _split(
    counts: _Part, patterns: np.ndarray, train_fraction: float, seed: int, used: np.ndarray
) -> tuple[_Part, Events]:
    """Electrons to train on, and the others where the mask uses their pixel."""
    if isinstance(counts, Events):
        kept = thin(counts.count, counts.start, patterns, train_fraction, seed)
        return pick(counts, kept), pick(counts, (counts.count - kept) * used.ravel()[counts.pixel])
    start = np.arange(len(counts) + 1) * counts[0].size
    kept = thin(counts.reshape(-1), start, patterns, train_fraction, seed).reshape(counts.shape)
    return _smaller(kept), to_events((counts - kept) * used)


def _joined(parts: list[_Part], n: int, dtype: np.dtype[Any]) -> _Part:
    """Runs of patterns in the container that is smaller for the whole block; takes the parts away."""
    patterns = [len(p.start) - 1 if isinstance(p, Events) else len(p) for p in parts]
    room = sum(patterns) * n * n * dtype.itemsize
    if any(isinstance(p, Events) for p in parts):
        events = [p if isinstance(p, Events) else to_events(p) for p in parts]
        if sum(e.nbytes for e in events) < room:
            return join_events(events)
        del events
    if len(parts) == 1 and isinstance(parts[0], np.ndarray):
        return parts[0]
    out = np.empty((sum(patterns), n, n), dtype)
    for size in reversed(patterns):  # from the end, so that a part is gone before the next is copied
        part, end = parts.pop(), sum(patterns[: len(parts) + 1])
        if isinstance(part, Events):
            write_dense(part, out[end - size : end])
        else:
            out[end - size : end] = part
    return out
