"""Counts of any source, shard by shard, such that every chunk of the source is read once and few are held.

Where chunks end at the borders of shards, a shard is read with the chunks in it and nothing else is held. Where they do
not (a detector writes whole rows of the scan), the chunks that reach into a row of shards are read together, and what
the next row needs of them is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np

from .._errors import InputError
from ..model.blocks import Block, default_shard, make_blocks

BAND_BYTES = 2**30
"""Bytes of counts that are held at most, but for a shard and for what is one chunk of the source. Where rows of shards
take more, they are read in strips, and each chunk once for every strip that it reaches into."""


@dataclass(frozen=True)
class Source:
    """Counts (scan_y, scan_x, N, N) and where their chunks end.

    Parameters
    ----------
    array : NumPy, Dask, HDF5 or Zarr array, or another that is read by slices
    cuts : (tuple of int, tuple of int)
        Borders of its chunks along scan_y and scan_x, from 0 to the side of the scan.
    """

    array: Any
    cuts: tuple[tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, array: Any) -> Source:
        """From its own description; what has none is read in whole rows of the scan."""
        height, width = array.shape[:2]
        if isinstance(array, da.Array):
            y, x = (tuple(np.cumsum((0, *sizes)).tolist()) for sizes in array.chunks[:2])
            return cls(array, (y, x))
        sides = (1, 1)
        if not isinstance(array, np.ndarray):
            said: Any = getattr(array, "shards", None) or getattr(array, "chunks", None)
            known = isinstance(said, tuple) and len(said) == 4 and all(isinstance(side, int) for side in said)
            sides = said[:2] if known else (1, width)
        y, x = ((*range(0, n, side), n) for n, side in zip((height, width), sides, strict=True))
        return cls(array, (y, x))

    @property
    def pattern_bytes(self) -> int:
        """Of one pattern, as it is read."""
        return int(math.prod(self.array.shape[2:]) * self.array.dtype.itemsize)

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """Counts of a box of the scan."""
        part = self.array[rows[0] : rows[1], columns[0] : columns[1]]
        found = np.asanyarray(part.compute() if isinstance(part, da.Array) else part)
        shape = (rows[1] - rows[0], columns[1] - columns[0], *self.array.shape[2:])
        if found.shape != shape or found.dtype != self.array.dtype or np.ma.is_masked(found):
            told = "masked values" if np.ma.is_masked(found) else f"{found.dtype} of shape {found.shape}"
            raise InputError(
                f"counts of scan rows {rows[0]} to {rows[1] - 1}, columns {columns[0]} to {columns[1] - 1} are {told},"
                f" but {self.array.dtype} of shape {shape} is what the array says of itself: check how it is made"
            )
        return found


def fitting_shard(source: Source, most: int | None = None) -> tuple[int, int]:
    """The default shard of the scan, lower where rows of such shards take more than so many bytes."""
    scan_shape = source.array.shape[:2]
    height, width = default_shard(scan_shape)
    while height > 1 and _most_bytes(source, (height, width)) > (most or BAND_BYTES):
        height = -(-height // 2)
    return height, width


Borders = tuple[tuple[int, ...], tuple[int, ...]]
"""Borders of shards along both axes, of a part of the scan."""


def shards_in(source: Source, shard: tuple[int, int]) -> Iterator[tuple[Block, np.ndarray]]:
    """Every shard of the scan with its counts, in the order in which the source is best read."""
    blocks = {(block.y0, block.x0): block for block in make_blocks(source.array.shape[:2], shard)}
    for borders in regions(source, shard):
        for corner, counts in shards_of(source, borders):
            yield blocks[corner], counts


def shards_of(
    source: Source, borders: Borders, most: int | None = None
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Corner (y, x) and counts of every shard of one of the :func:`regions`; ``most`` bytes of it are held."""
    axis, held = _way(source, borders)
    for strip in _strips(borders, axis, held * source.pattern_bytes, most or BAND_BYTES):
        yield from _streamed(source, strip, axis)


def regions(source: Source, shard: tuple[int, int]) -> list[Borders]:
    """Parts of the scan that share no chunk, each as small as it can be: what can be read by different processes."""
    axes = []
    for n, side, cuts in zip(source.array.shape, shard, source.cuts, strict=False):
        ends = (*range(0, n, side), n)
        common = sorted(set(ends) & set(cuts))
        axes.append([tuple(end for end in ends if a <= end <= b) for a, b in pairwise(common)])
    return [(y, x) for y in axes[0] for x in axes[1]]


def _way(source: Source, borders: Borders) -> tuple[int, int]:
    """The axis to go along, such that least is held, and the positions that are held per position across."""
    extents = [ends[-1] - ends[0] for ends in borders]
    held = [_held(_pieces(cuts, ends), ends) for cuts, ends in zip(source.cuts, borders, strict=True)]
    axis = 0 if held[0] * extents[1] <= held[1] * extents[0] else 1
    return axis, held[axis]


def _most_bytes(source: Source, shard: tuple[int, int]) -> int:
    most = 0
    for borders in regions(source, shard):
        axis, held = _way(source, borders)
        across = borders[1 - axis]
        most = max(most, held * (across[-1] - across[0]) * source.pattern_bytes)
    return most


def _pieces(cuts: tuple[int, ...], ends: tuple[int, ...]) -> list[int]:
    """Borders of what is read at once: up to the first chunk that completes the next shard."""
    pieces = [ends[0]]
    for end in ends[1:]:
        cut = next(cut for cut in cuts if cut >= end)
        if cut > pieces[-1]:
            pieces.append(cut)
    return pieces


def _held(pieces: list[int], ends: tuple[int, ...]) -> int:
    """Most positions along the axis that are held at once."""
    most = 0
    for before, cut in pairwise(pieces):
        written = max(end for end in ends if end <= before)
        most = max(most, cut - max(piece for piece in pieces if piece <= written))
    return most


def _strips(borders: Borders, axis: int, bytes_across: int, limit: int) -> list[Borders]:
    """A part of the scan cut across ``axis`` into as few strips as can be held; a strip is a shard wide at least."""
    across = borders[1 - axis]
    shards = [0]
    for i in range(1, len(across)):
        if (across[i] - across[shards[-1]]) * bytes_across > limit and i - 1 > shards[-1]:
            shards.append(i - 1)
    strips = [across[a : b + 1] for a, b in pairwise([*shards, len(across) - 1])]
    return [(borders[0], strip) if axis == 0 else (strip, borders[1]) for strip in strips]


def _streamed(source: Source, borders: Borders, axis: int) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Corner and counts of every shard, reading along ``axis``."""
    along, across = borders[axis], borders[1 - axis]
    parts: list[tuple[int, np.ndarray]] = []
    waiting = list(pairwise(along))
    for a, b in pairwise(_pieces(source.cuts[axis], along)):
        span, side = (a, b), (across[0], across[-1])
        parts.append((a, source.read(span, side) if axis == 0 else source.read(side, span)))
        while waiting and waiting[0][1] <= b:
            start, end = waiting.pop(0)
            for low, high in pairwise(across):
                slices = [_cut(part, at, (start, end), (low - across[0], high - across[0]), axis) for at, part in parts]
                slices = [piece for piece in slices if piece.shape[axis]]
                corner = (start, low) if axis == 0 else (low, start)
                yield corner, slices[0] if len(slices) == 1 else np.concatenate(slices, axis)
                del slices
            parts = [(at, part) for at, part in parts if at + part.shape[axis] > end]


def _cut(part: np.ndarray, at: int, along: tuple[int, int], across: tuple[int, int], axis: int) -> np.ndarray:
    """What of a part, which starts ``at``, belongs to a shard."""
    inside = slice(max(along[0] - at, 0), max(along[1] - at, 0))
    return part[inside, across[0] : across[1]] if axis == 0 else part[across[0] : across[1], inside]
