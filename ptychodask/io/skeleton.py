"""The arrays of a dataset on disk, without what is counted: one place that lays them out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from ..model.blocks import Block, make_blocks
from ..model.optics import Microscope
from ..model.scan import Detector
from .described.dataset import DIMS
from .shard_file import CODEC, LEVEL
from .stores import writable

INNER = 8
"""Wanted side of the inner chunks in scan positions: what a viewer has to decode to show one pattern.

Every chunk costs Zarr some time of its own: with 4, reading took twice as long.
"""

WRITE_ALL: Any = {"write_empty_chunks": True}
"""Chunks of zeros are written too, so that a missing file means lost data. It holds for the open array only."""


@dataclass(frozen=True)
class Layout:
    """Shape, type and calibration of a dataset to be written."""

    scan_shape: tuple[int, int]
    detector: Detector
    microscope: Microscope
    scan_step: tuple[float, float]
    dtype: str
    shard: tuple[int, int]

    def __post_init__(self) -> None:
        # a shard larger than the scan would only be padded
        shard = tuple(int(min(side, n)) for side, n in zip(self.shard, self.scan_shape, strict=True))
        object.__setattr__(self, "shard", shard)

    def blocks(self) -> tuple[Block, ...]:
        """What the shards hold."""
        return make_blocks(self.scan_shape, self.shard)


def inner_side(side: int) -> int:
    """Side of the inner chunks of a shard: the divisor of its side that is closest to :data:`INNER` as a ratio."""
    divisors = [d for d in range(1, side + 1) if side % d == 0]
    return min(divisors, key=lambda d: abs(math.log(d / INNER)))


def create_skeleton(path: Path, layout: Layout, positions: np.ndarray, mask: np.ndarray | None) -> None:
    """Create all arrays of a dataset but the counts' content."""
    with writable(path, new=True) as store:
        _create(zarr.create_group(store), layout, positions, mask)


def _create(group: zarr.Group, layout: Layout, positions: np.ndarray, mask: np.ndarray | None) -> None:
    n = layout.detector.pixels
    create_counts(group, layout)
    shape = (*layout.scan_shape, 2)
    safe: dict[str, Any] = {"compressors": [ZstdCodec(), Crc32cCodec()], "config": WRITE_ALL}
    stored = group.create_array(
        "positions",
        shape=shape,
        dtype="f8",
        dimension_names=("scan_y", "scan_x", "axis"),
        attributes={"units": "angstrom"},
        **safe,
    )
    stored[...] = positions.reshape(shape)
    used = np.ones((n, n), np.uint8) if mask is None else (np.asarray(mask) != 0).astype(np.uint8)
    group.create_array("mask", shape=(n, n), dtype="u1", dimension_names=DIMS[2:], **safe)[...] = used


def create_counts(group: zarr.Group, layout: Layout) -> None:
    """Create the array of counts, without its shards."""
    n = layout.detector.pixels
    inner = tuple(inner_side(side) for side in layout.shard)
    group.create_array(
        "counts",
        shape=(*layout.scan_shape, n, n),
        dtype=layout.dtype,
        chunks=(*inner, n, n),
        shards=(*layout.shard, n, n),
        # the checksum finds a flipped bit, which a codec alone may decode to wrong counts
        compressors=[
            BloscCodec(cname=CODEC, clevel=LEVEL, shuffle="bitshuffle", typesize=np.dtype(layout.dtype).itemsize),
            Crc32cCodec(),
        ],
        dimension_names=DIMS,
        attributes={"units": "electron"},
    )
