"""Blocks: fixed pieces of the scan, chosen by the data and the job, never by the number of workers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, Protocol

import numpy as np

from .selection import Selection, runs

Box = tuple[int, int, int, int]
"""Scan rows ``y0 <= y < y1`` and columns ``x0 <= x < x1``, as (y0, y1, x0, x1)."""

FEW_BLOCKS = 16
"""So many shards are blocks of their own, whatever their size."""
DEVICE_SIDE, DEVICE_BLOCKS = 32, 8
"""A device computes a block of 16 x 16 positions in less time than Python takes to send it: on a device blocks are
about so many positions square, where at least so many blocks are left."""


@dataclass(frozen=True)
class Block:
    """A contiguous piece of the scan: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``, less what is left out.

    ``skip`` are the patterns that are left out, rising, counted row by row within it. Of several scans of one area,
    ``scan`` is the number of its own.
    """

    index: int
    y0: int
    y1: int
    x0: int
    x1: int
    skip: tuple[int, ...] = ()
    scan: int = 0

    @property
    def size(self) -> int:
        """Number of patterns."""
        return (self.y1 - self.y0) * (self.x1 - self.x0) - len(self.skip)

    def strips(self, rows: int | Collection[int]) -> tuple[Block, ...]:
        """The block in runs of whole rows, cut at the multiples of ``rows``, or at those rows if there are several;
        their patterns follow each other."""
        at = range(0, self.y1, rows) if isinstance(rows, int) else rows
        cuts = [self.y0, *(y for y in range(self.y0 + 1, self.y1) if y in at), self.y1]
        width = self.x1 - self.x0
        strips = []
        for a, b in pairwise(cuts):
            first, end = (a - self.y0) * width, (b - self.y0) * width
            skip = tuple(i - first for i in self.skip if first <= i < end)
            strips.append(replace(self, y0=a, y1=b, skip=skip))
        return tuple(strip for strip in strips if strip.size)

    def flat(self, scan_shape: tuple[int, int]) -> np.ndarray:
        """Indices j of the block's patterns in the flattened scan, in the order in which it is read."""
        y, x = np.meshgrid(np.arange(self.y0, self.y1), np.arange(self.x0, self.x1), indexing="ij")
        return np.delete((y * scan_shape[1] + x).ravel(), self.skip)

    def only(self, places: np.ndarray) -> Block:
        """The block of its patterns at these places, rising."""
        if len(places) == self.size:
            return self
        everything = np.arange((self.y1 - self.y0) * (self.x1 - self.x0))
        kept = np.delete(everything, self.skip)[places]
        return replace(self, skip=tuple(np.setdiff1d(everything, kept, assume_unique=True).tolist()))

    def without(self, boxes: Iterable[Box]) -> Block:
        """The block less the positions in the boxes, and less those that it leaves out already."""
        out = np.zeros((self.y1 - self.y0, self.x1 - self.x0), dtype=bool)
        out.ravel()[list(self.skip)] = True
        for y0, y1, x0, x1 in boxes:
            out[max(y0 - self.y0, 0) : max(y1 - self.y0, 0), max(x0 - self.x0, 0) : max(x1 - self.x0, 0)] = True
        return replace(self, skip=tuple(np.flatnonzero(out).tolist()))


class BlockSource(Protocol):
    """What can read the counts of a block; it travels to the workers, so it is small and picklable."""

    @property
    def key(self) -> str:
        """Names the data; equal keys mean equal counts."""
        ...

    @property
    def rows(self) -> int | Collection[int]:
        """Scan rows that are best read together: their number, or the rows at which to cut."""
        ...

    def read(self, block: Block) -> Any:
        """Counts of a block, corner-centred: dense [B, N, N], or as events."""
        ...

    def nbytes(self, block: Block) -> int:
        """Dense counts of a block in bytes, as they are stored."""
        ...


def make_blocks(
    scan_shape: tuple[int, int],
    sides: tuple[int, int],
    left_out: Iterable[Box] = (),
    selection: Selection | None = None,
) -> tuple[Block, ...]:
    """All blocks of a scan in row-major order, less positions that are left out; those of which nothing is left are not
    there.

    With a selection, ``sides`` are of the stored scan, and a block is what is selected of such a piece of it.
    """
    y_runs = runs(range(scan_shape[0]) if selection is None else selection.rows, sides[0])
    x_runs = runs(range(scan_shape[1]) if selection is None else selection.columns, sides[1])
    blocks = (Block(i, *y, *x) for i, (y, x) in enumerate(product(y_runs, x_runs)))
    boxes = tuple(left_out)
    return tuple(b for b in (block.without(boxes) if boxes else block for block in blocks) if b.size)


def joined_shards(scan_shape: tuple[int, int], shard: tuple[int, int], least: int = 0) -> tuple[int, int]:
    """Sides of a block: as many whole shards as come near the default one, because every block is a task.

    Shards of the default size and larger ones stay alone, and so do few small ones: they cost little, and workers share
    them. For a device, which is said by the ``least`` number of blocks, they are larger. Only the dataset and the kind
    of kernels decide, so that any workers give the same bits.
    """
    if least:
        sides = _joined((DEVICE_SIDE, DEVICE_SIDE), shard)
        if _pieces(scan_shape, sides) >= max(least, DEVICE_BLOCKS):
            return sides
    return shard if _pieces(scan_shape, shard) <= FEW_BLOCKS else _joined(default_shard(scan_shape), shard)


def _pieces(scan_shape: tuple[int, int], sides: tuple[int, int]) -> int:
    return math.prod(-(-n // side) for n, side in zip(scan_shape, sides, strict=True))


def _joined(sides: tuple[int, int], shard: tuple[int, int]) -> tuple[int, int]:
    """Whole shards that come near the given sides."""
    height, width = sides
    room = height * width // math.prod(shard)
    columns = max(1, min(width // shard[1], room))
    rows = max(1, min(height // shard[0], room // columns))
    return rows * shard[0], columns * shard[1]


def boxes_of(positions: Iterable[tuple[int, int]]) -> tuple[Box, ...]:
    """Boxes of one row that hold the positions (y, x), rising."""
    boxes: list[Box] = []
    for y, x in sorted(set(positions)):
        if boxes and boxes[-1][0] == y and boxes[-1][3] == x:
            boxes[-1] = (y, y + 1, boxes[-1][2], x + 1)
        else:
            boxes.append((y, y + 1, x, x + 1))
    return tuple(boxes)


def default_shard(scan_shape: tuple[int, int], side: int = 16) -> tuple[int, int]:
    """Sides of a shard: about ``side`` positions square, in an even number of nearly equal pieces per axis.

    Equal pieces keep two workers equally busy, which ragged ones at the rim would not.
    """

    def along(n: int) -> int:
        pieces = -(-n // side)
        return -(-n // (pieces + pieces % 2 if pieces > 1 else 1))

    return along(scan_shape[0]), along(scan_shape[1])
