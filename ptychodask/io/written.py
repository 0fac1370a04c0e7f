"""Shards of counts on their way to the disk: what no detector counts is refused, the smallest type is found."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import zarr

from .._errors import InputError
from .._tables import counted
from ..model.blocks import Block
from .address import Folder
from .reading import array_at
from .shard_file import is_whole, write_whole
from .shards import shards_of
from .skeleton import WRITE_ALL, Layout, create_counts
from .stores import writable

TYPES = ("uint8", "uint16", "float32")
"""Of stored counts, from the smallest."""


@dataclass(frozen=True)
class ShardSummary:
    """What the seal needs to know of a written shard."""

    index: int
    """Of its block."""
    digest: str
    electrons: float
    brightest: float


def write_shard(path: Path, block: Block, counts: np.ndarray) -> ShardSummary:
    """Write one shard [rows, columns, N, N], zero angle in the centre. Safe in parallel: a shard is a file."""
    folder = path / "counts"
    array, shards = array_at(Folder(str(path)), "counts"), shards_of(folder)
    dtype = np.dtype(array.data_type)
    check_counts(counts, block)
    limit = np.iinfo(dtype).max if dtype.kind == "u" else np.finfo(dtype).max
    if counts.size and counts.max() > limit:
        raise InputError(f"counts up to {counts.max()} {in_scan(block)} do not fit {dtype}")
    if dtype.kind == "u" and counts.dtype.kind == "f" and not (counts == np.rint(counts)).all():
        raise InputError(f"counts {in_scan(block)} are no whole numbers: write them as float32, not as {dtype}")
    counts = counts.astype(dtype, copy=False)
    if shards is not None and is_whole(block, array):
        write_whole(folder, block, counts, array, shards)
    else:
        _write_box(path, block, counts)
    # row by row: a sum of 32 bits each tells an edit, at the speed of memory
    sums = [int(google_crc32c.value(row.tobytes())) for row in counts]
    digest = "".join(f"{crc:08x}" for crc in sums)
    # pattern on pattern, which is ten times faster than number on number
    total = float(counts.sum(axis=(0, 1), dtype=np.uint32 if dtype.kind == "u" else np.float64).sum(dtype=np.float64))
    return ShardSummary(block.index, digest, total, float(counts.max(initial=0)))


def _write_box(path: Path, block: Block, counts: np.ndarray) -> None:
    """Of what is no whole shard."""
    with writable(path) as store:
        array = zarr.open_group(store, mode="r+")["counts"]
        assert isinstance(array, zarr.Array)
        array.with_config(WRITE_ALL)[block.y0 : block.y1, block.x0 : block.x1] = counts


def widen(path: Path, layout: Layout, written: Iterable[Block]) -> list[ShardSummary]:
    """Write the shards that are there once more, in the type of a new layout."""
    narrow = path / "narrow"
    (path / "counts").rename(narrow)
    with writable(path) as store:
        create_counts(zarr.open_group(store, mode="r+"), layout)
    stored = zarr.open_array(str(narrow), mode="r")
    shards = [
        write_shard(path, block, np.asarray(stored[block.y0 : block.y1, block.x0 : block.x1])) for block in written
    ]
    shutil.rmtree(narrow)
    return shards


def check_counts(counts: np.ndarray, block: Block) -> None:
    """Refuse what no detector counts."""
    if counts.dtype.kind not in "biuf":
        raise InputError(
            f"counts {in_scan(block)} have the type {counts.dtype}: give whole or real numbers of electrons"
        )
    if counts.dtype.kind == "f" and not np.isfinite(counts).all():
        raise InputError(
            f"NaN or infinite: {counted(int((~np.isfinite(counts)).sum()), 'count')} {in_scan(block)}: repair them or"
            " mask their pixels with 0"
        )
    if counts.dtype.kind in "fi" and counts.size and counts.min() < 0:
        raise InputError(
            f"counts as low as {counts.min()} {in_scan(block)}: counts cannot be negative (subtract less"
            " background, clip at 0, or mask their pixels with 0)"
        )


def smallest_type(counts: np.ndarray, block: Block) -> str:
    """The first of :data:`TYPES` that holds the counts exactly; of fractions, float32."""
    brightest = counts.max(initial=0)
    if counts.dtype.kind == "f" and not (counts == np.rint(counts)).all():
        return "float32"
    if brightest <= np.iinfo(np.uint8).max:
        return "uint8"
    if brightest <= np.iinfo(np.uint16).max:
        return "uint16"
    if counts.dtype.kind in "iu":
        raise InputError(
            f"counts up to {brightest} {in_scan(block)} exceed uint16 (65535): give float counts, divide by the gain,"
            " or mask their pixels with 0"
        )
    return "float32"


def in_scan(block: Block) -> str:
    """Where a block is, in words."""
    return f"in scan rows {block.y0} to {block.y1 - 1}, columns {block.x0} to {block.x1 - 1}"
