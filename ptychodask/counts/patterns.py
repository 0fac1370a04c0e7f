"""The patterns of a block, made ready once: thinned for validation, kept as events where that is smaller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._array import Array
from .events import (
    Events,
    add_events,
    add_to_dense,
    events_below,
    join_events,
    pick,
    smallest,
    to_events,
    write_dense,
)
from .thinning import thin

__all__ = ["Counts", "Events", "Patterns", "dense", "prepare", "to_events"]

Counts = Events | np.ndarray
"""Patterns one after the other, as events or dense [B, N, N]."""


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
    counts: Counts | Iterable[Counts],
    patterns: np.ndarray,
    weights: np.ndarray,
    train_fraction: float | None,
    seed: int,
) -> Patterns:
    """Thin a block's counts and choose how to hold them.

    Parameters
    ----------
    counts : array [B, N, N] or Events, or an iterable of arrays [b, N, N] and Events
        Corner-centred counts, whole or in runs of patterns, which are packed one by one so that the dense block is
        never there; events are taken to be smaller than dense; integer where ``train_fraction`` is given.
    patterns : int array [B]
        Index j of every pattern in the scan: it keys the thinning.
    weights : array [N, N]
        Detector mask, corner-centred. What stands in pixels that it does not use is never looked at: a dead pixel may
        hold NaN or the largest number, and the patterns are the same as with zeros there.
    train_fraction : float or None
        Share of electrons to train on; None holds nothing out.
    seed : int
        Key of the thinning.
    """
    fitted: list[Counts] = []
    held: list[Events] = []
    done = 0
    n, dtype = weights.shape[-1], np.dtype(np.uint8)
    used = None if weights.all() else weights > 0
    for stored in (counts,) if isinstance(counts, Counts) else counts:
        part = stored if used is None else _seen(stored, used)
        whole = part if isinstance(part, Events) else _smaller(part)
        indices = patterns[done : done + _length(part)]
        done += len(indices)
        # as stored: events have the smallest type
        dtype = np.promote_types(dtype, part.count.dtype if isinstance(part, Events) else part.dtype)
        if train_fraction is None:
            fitted.append(whole)
        else:
            kept, rest = _split(whole, indices, train_fraction, seed)
            fitted.append(kept)
            held.append(rest)
        del stored, part, whole  # before the next run is read
    return Patterns(_joined(fitted, n, dtype), None, join_events(held) if held else None, n)


def in_half(counts: Counts | Iterable[Counts], indices: np.ndarray, seed: int, *, second: bool) -> Iterator[Counts]:
    """The electrons of one of two halves, by lot, in the runs of patterns in which they come.

    Every electron is in one of them with probability 1/2: of Poisson counts both halves are Poisson and independent of
    each other. ``indices`` [B] are those of the scan.
    """
    done = 0
    for part in (counts,) if isinstance(counts, Counts) else counts:
        its = indices[done : done + _length(part)]
        done += len(its)
        if isinstance(part, Events):
            first = thin(part.count, part.start, its, 0.5, seed)
            yield pick(part, part.count - first if second else first)
        else:
            start = np.arange(len(part) + 1) * part[0].size
            first = thin(part.reshape(-1), start, its, 0.5, seed).reshape(part.shape)
            yield part - first if second else first


def reunited(patterns: Patterns) -> Patterns:
    """All electrons to be fitted, and the loss measured on those that were fitted before: what the finish wants.

    Made of the patterns that the fit has, block by block when they are computed with: two preparations of the same
    counts never lie in a cache side by side.
    """
    train, held = patterns.fitted, patterns.held
    if held is None:
        return patterns
    if isinstance(train, Events):
        return Patterns(add_events(train, held), train, None, patterns.pixels)
    fitted = train.copy()  # of the type that is stored, which holds all electrons
    add_to_dense(held, fitted)
    return Patterns(fitted, train, None, patterns.pixels)


def doubled_half(patterns: Patterns, indices: np.ndarray, seed: int) -> Patterns:
    """Twice a half of the fitted electrons, by lot: the counts' mean, and around them their Poisson noise once more.

    ``2 n_A - n`` with ``n_A ~ Binomial(n, 1/2)`` has mean 0 and variance n. ``indices`` [B] are those of the scan.
    """
    counts, n = patterns.fitted, patterns.pixels
    if isinstance(counts, Events):
        return Patterns(pick(counts, _doubled(thin(counts.count, counts.start, indices, 0.5, seed))), None, None, n)
    start = np.arange(len(counts) + 1) * counts[0].size
    return Patterns(_doubled(thin(counts.reshape(-1), start, indices, 0.5, seed)).reshape(counts.shape), None, None, n)


def _doubled(counts: np.ndarray) -> np.ndarray:
    wider = np.uint16 if int(counts.max(initial=0)) < 2**15 else np.uint64
    return smallest(2 * counts.astype(wider))


def _length(part: Counts) -> int:
    return len(part.start) - 1 if isinstance(part, Events) else len(part)


def _seen(counts: Counts, used: np.ndarray) -> Counts:
    """Counts with nothing in the pixels that are not used."""
    if isinstance(counts, Events):
        left = pick(counts, np.where(used.ravel()[counts.pixel], counts.count, counts.count.dtype.type(0)))
        return left if left.count.dtype.kind == "f" else replace(left, count=smallest(left.count))
    return np.where(used, counts, counts.dtype.type(0))


def _smaller(counts: np.ndarray) -> Counts:
    """Counts as events, or as they are where those take fewer bytes."""
    events = events_below(counts, counts.nbytes)
    return counts if events is None else events


def _split(counts: Counts, patterns: np.ndarray, train_fraction: float, seed: int) -> tuple[Counts, Events]:
    """Electrons to train on, and the others."""
    if isinstance(counts, Events):
        kept = thin(counts.count, counts.start, patterns, train_fraction, seed)
        return pick(counts, kept), pick(counts, counts.count - kept)
    start = np.arange(len(counts) + 1) * counts[0].size
    kept = thin(counts.reshape(-1), start, patterns, train_fraction, seed).reshape(counts.shape)
    return _smaller(kept), to_events(counts - kept)


def _joined(parts: list[Counts], n: int, dtype: np.dtype[Any]) -> Counts:
    """Runs of patterns in the container that is smaller for the whole block; takes the parts away."""
    if all(isinstance(p, Events) for p in parts):
        return join_events([p for p in parts if isinstance(p, Events)])  # each is smaller than dense
    patterns = [_length(p) for p in parts]
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
