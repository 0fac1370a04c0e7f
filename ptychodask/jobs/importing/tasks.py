"""What a worker does: open the file, and write the shards of a part of the scan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..._errors import InputError
from ..._tables import counted as told
from ...counts.electrons import Levels
from ...io.bands import Borders, Source, shards_of
from ...io.written import ShardSummary, check_counts, in_scan, write_shard
from ...model.blocks import Block
from ...readers.counted import Counted, Frame, Orientation
from ...readers.reader import Asked, Reader
from ...readers.registry import open_counts
from .look import saturation


@dataclass(frozen=True)
class Order:
    """How a file becomes counts: what a worker needs to open it again.

    Parameters
    ----------
    path, name, asked
        As for :func:`ptychodask.readers.registry.open_counts`.
    gain, orientation, levels, frame, dark, flat
        As for :class:`ptychodask.readers.counted.Counted`.
    used : bool array [N, N]
        Pixels of the detector that count, as they are laid out; 0 is stored in the others.
    most : int
        Bytes of the file that are held together.
    sums : bool
        Is the sum of the patterns wanted?
    """

    path: str
    name: str
    asked: Asked
    gain: float | None
    orientation: Orientation
    used: np.ndarray
    most: int
    levels: Levels | None = None
    frame: Frame = field(default_factory=Frame)
    dark: np.ndarray | None = None
    flat: np.ndarray | None = None
    sums: bool = False

    def counted(self, reader: Reader) -> Counted:
        """The counts of a file."""
        return Counted(reader, self.gain, self.orientation, self.levels, self.frame, self.dark, self.flat)

    def counts_as(self, other: Order) -> bool:
        """Does the same file become the same counts? Not known where bad pixels are found in all of them."""
        fixed = [(o.path, o.name, o.gain, o.orientation, o.levels, o.frame) for o in (self, other)]
        arrays = [(o.used, o.dark, o.flat) for o in (self, other)]
        same = all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))  # type: ignore[arg-type]
        return fixed[0] == fixed[1] and same and not (self.sums or other.sums)


@dataclass(frozen=True)
class Seen:
    """What a part of the scan showed.

    Parameters
    ----------
    shards : tuple of ShardSummary
    dark, saturated : int
        Frames without an electron, and with a pixel at the detector's limit.
    negative : int
        Values below minus half an electron, which are stored as 0.
    pattern : uint32 array [N, N], optional
        Sum of the patterns, before pixels are put together.
    """

    shards: tuple[ShardSummary, ...] = ()
    dark: int = 0
    saturated: int = 0
    negative: int = 0
    pattern: np.ndarray | None = None


Part = tuple[Borders, tuple[Block, ...]]
"""A part of the scan that shares no chunk of the file with another, and the shards in it."""


def write_parts(order: Order, folder: str, parts: Iterable[Part]) -> Seen:
    """Write the shards of some parts of the scan, each piece of the file read once."""
    reader = _opened(order.path, order.name, order.asked, folder)
    counted = order.counted(reader)
    return together([write_part(counted, order, folder, part) for part in parts])


@lru_cache(
    maxsize=1
)  # the description of a file may take long to read; of another import (its folder) it is read again
def _opened(path: str, name: str, asked: Asked, folder: str) -> Reader:
    return open_counts(path, name, asked)


def let_go() -> None:
    """Close the file that this process has opened for its tasks."""
    _opened.cache_clear()


def write_part(counted: Counted, order: Order, folder: str, part: Part) -> Seen:
    """Write the shards of a part."""
    borders, blocks = part
    at = {(block.y0, block.x0): block for block in blocks}
    limit, seen, all_used = saturation(counted), [], bool(order.used.all())
    for corner, values in shards_of(Source.of(counted), borders, order.most):
        block = at[corner]
        if not all_used:  # what stands in other pixels is never looked at
            values = np.where(order.used, values, np.zeros((), values.dtype))
        full = 0
        if limit is not None and values.max(initial=0) >= limit:  # a rare case, which takes longer
            full = int((values >= limit).any(axis=(-2, -1)).sum())
        if values.dtype.kind == "f" and (bad := int((~np.isfinite(values)).sum())):
            raise InputError(  # a threshold would make zeros of them
                f"NaN or infinite: {told(bad, 'count')} {in_scan(block)}: repair them, or leave their pixels out"
                " (--mask)"
            )
        counts = counted.electrons(values)
        if not all_used:  # a dark frame or a flat field says nothing there
            counts = np.where(order.used, counts, np.zeros((), counts.dtype))
        negative = 0
        if order.gain is not None:
            negative = int((counts < 0).sum())
            counts = counts.clip(0)
        elif counts.dtype.kind == "f" and not (counts == np.rint(counts)).all():
            raise InputError(f"values {in_scan(block)} are no whole numbers: give --gain (ADU per electron)")
        pattern = counts.sum(axis=(0, 1), dtype=np.uint32) if order.sums else None
        counts = order.frame.together(counts)
        if counts.max(initial=0) > np.iinfo(counted.stored).max:
            raise InputError(
                f"counts up to {counts.max():g} {in_scan(block)} do not fit {counted.stored}: mask dead pixels with"
                " --mask, or give --gain"
            )
        check_counts(counts, block)  # before it is cast: NaN, and negative numbers of a type with a sign
        summary = write_shard(Path(folder), block, counts.astype(counted.stored))
        seen.append(Seen((summary,), int((counts.max(axis=(-2, -1)) == 0).sum()), full, negative, pattern))
    return together(seen)


def together(parts: list[Seen]) -> Seen:
    """All that was seen."""
    return Seen(
        tuple(shard for part in parts for shard in part.shards),
        sum(part.dark for part in parts),
        sum(part.saturated for part in parts),
        sum(part.negative for part in parts),
        _sum([part.pattern for part in parts if part.pattern is not None]),
    )


def _sum(patterns: list[np.ndarray]) -> np.ndarray | None:
    return np.asarray(np.sum(patterns, axis=0, dtype=np.uint32)) if patterns else None
