"""Counts as events: the container of sparse patterns, and its kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._numba import njit

LINE = 64
"""Bytes that are looked at together."""


@dataclass(frozen=True)
class Events:
    """Counts as events in CSR form.

    Parameters
    ----------
    start : int64 array [B + 1]
        Events of pattern b are ``start[b]:start[b + 1]``.
    pixel : uint16 or uint32 array [E]
        Flat pixel, rising within a pattern.
    count : array [E]
        Electrons, in the smallest unsigned type that holds them; float32 where the counts are.
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


def to_events(counts: np.ndarray) -> Events:
    """Events of counts [B, N, N]."""
    events = events_below(counts, None)
    assert events is not None
    return events


def events_below(counts: np.ndarray, limit: int | None) -> Events | None:
    """Events of counts [B, N, N] where they take fewer than ``limit`` bytes, else None."""
    flat = np.ascontiguousarray(counts).reshape(len(counts), -1)
    start, index = np.zeros(len(flat) + 1, dtype=np.int64), pixel_type(flat.shape[1])
    events = np.count_nonzero(flat)  # at the speed of memory: what is not sparse costs no more
    if limit is not None and start.nbytes + events * (index.itemsize + 1) >= limit:
        return None
    # many pixels are looked at together where a pattern is a whole number of lines of 64 bytes
    step = 8 // flat.itemsize if flat.shape[1] * flat.itemsize % LINE == 0 and flat.ctypes.data % 8 == 0 else 1
    pixel, count = np.empty(events, index), np.empty(events, flat.dtype)
    _collect(flat, flat.view(np.uint64) if step > 1 else flat, step, start, pixel, count)
    found = Events(start, pixel, count if count.dtype.kind == "f" else smallest(count))
    return None if limit is not None and found.nbytes >= limit else found


def pixel_type(pixels: int) -> np.dtype[Any]:
    """Type of the flat pixels of a pattern."""
    return np.dtype(np.uint16 if pixels <= 65_536 else np.uint32)


def smallest(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest unsigned type that holds them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))), copy=False)


def gather_events(
    first: np.ndarray, end: np.ndarray, pixel: np.ndarray, count: np.ndarray, limit: int
) -> Events | None:
    """Events of patterns of whole counts, of which each is ``first[b]:end[b]`` in larger arrays, where they take fewer
    than ``limit`` bytes, else None. Nothing of the arrays is kept."""
    start = np.concatenate([[0], np.cumsum(end - first)])
    numbers = np.empty(start[-1], count.dtype)
    pixels = np.empty(start[-1], pixel.dtype)
    _gather(first, end, pixel, count, pixels, numbers)
    events = Events(start, pixels, smallest(numbers))
    return None if events.nbytes >= limit else events


def pick(events: Events, count: np.ndarray) -> Events:
    """The events with other counts, less those that became empty."""
    events_left = np.count_nonzero(count)
    start = np.zeros_like(events.start)
    pixel, left = np.empty(events_left, events.pixel.dtype), np.empty(events_left, count.dtype)
    _pick(events.start, events.pixel, count, start, pixel, left)
    return Events(start, pixel, left)


def join_events(parts: list[Events]) -> Events:
    """Events of successive runs of patterns as one."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([part.start[-1] for part in parts])
    starts = [parts[0].start, *(part.start[1:] + end for part, end in zip(parts[1:], ends, strict=False))]
    return Events(
        np.concatenate(starts),
        np.concatenate([part.pixel for part in parts]),
        np.concatenate([part.count for part in parts]),
    )


def add_events(first: Events, second: Events) -> Events:
    """The sum of two sets of counts of the same patterns."""
    start = np.zeros_like(first.start)
    room = len(first.pixel) + len(second.pixel)
    kind = np.result_type(first.count, second.count)
    # two counts of one byte may need two
    count = np.empty(room, kind if kind.kind == "f" else np.promote_types(kind, np.uint32))
    pixel = np.empty(room, first.pixel.dtype)
    _add(first.start, first.pixel, first.count, second.start, second.pixel, second.count, start, pixel, count)
    both = Events(start, pixel[: start[-1]].copy(), count[: start[-1]].copy())
    if kind.kind == "f":
        return both
    return Events(both.start, both.pixel, smallest(both.count))


def add_to_dense(events: Events, out: np.ndarray) -> None:
    """Add events to patterns [B, N, N]."""
    pattern, pixel, count = events.rows(0, len(out))
    out.reshape(len(out), -1)[pattern, pixel] += count.astype(out.dtype)  # a pattern has a pixel once


def write_dense(events: Events, out: np.ndarray) -> None:
    """Write events into patterns [B, N, N]."""
    flat = out.reshape(len(out), -1)
    flat[...] = 0
    pattern, pixel, count = events.rows(0, len(out))
    flat[pattern, pixel] = count


@njit(nogil=True)
def _collect(
    counts: np.ndarray, words: np.ndarray, step: int, start: np.ndarray, pixel: np.ndarray, count: np.ndarray
) -> None:
    """Write events and their ends per pattern.

    ``words`` hold ``step`` counts each and are looked at in lines of eight; with step 1 they are the counts.
    """
    event = 0
    for b in range(len(counts)):
        for line in range(0, words.shape[1], 8 if step > 1 else 1):
            if step > 1:
                bits = np.uint64(0)
                for w in range(line, line + 8):
                    bits |= np.uint64(words[b, w])
                if bits == 0:
                    continue
            for w in range(line, line + (8 if step > 1 else 1)):
                if words[b, w] == 0:
                    continue
                for p in range(w * step, (w + 1) * step):
                    if counts[b, p] != 0:
                        pixel[event] = p
                        count[event] = counts[b, p]
                        event += 1
        start[b + 1] = event


@njit(nogil=True)
def _gather(
    first: np.ndarray, end: np.ndarray, pixel: np.ndarray, count: np.ndarray, pixels: np.ndarray, numbers: np.ndarray
) -> None:
    to = 0
    for b in range(len(first)):
        for e in range(first[b], end[b]):
            pixels[to], numbers[to] = pixel[e], count[e]
            to += 1


@njit(nogil=True)
def _pick(
    start: np.ndarray,
    pixel: np.ndarray,
    count: np.ndarray,
    new_start: np.ndarray,
    new_pixel: np.ndarray,
    new_count: np.ndarray,
) -> None:
    to = 0
    for b in range(len(start) - 1):
        for e in range(start[b], start[b + 1]):
            if count[e] > 0:
                new_pixel[to], new_count[to] = pixel[e], count[e]
                to += 1
        new_start[b + 1] = to


@njit(nogil=True)
def _add(
    first_start: np.ndarray, first_pixel: np.ndarray, first_count: np.ndarray,
    second_start: np.ndarray, second_pixel: np.ndarray, second_count: np.ndarray,
    start: np.ndarray, pixel: np.ndarray, count: np.ndarray,
) -> None:  # fmt: skip
    """Merge the events of two sets, pattern by pattern in the order of pixels."""
    to = 0
    for b in range(len(start) - 1):
        i, i_end, j, j_end = first_start[b], first_start[b + 1], second_start[b], second_start[b + 1]
        while i < i_end or j < j_end:
            own = i < i_end and (j == j_end or first_pixel[i] <= second_pixel[j])
            its = j < j_end and (i == i_end or second_pixel[j] <= first_pixel[i])
            pixel[to] = first_pixel[i] if own else second_pixel[j]
            count[to] = (first_count[i] if own else 0) + (second_count[j] if its else 0)
            i, j, to = i + own, j + its, to + 1
        start[b + 1] = to
