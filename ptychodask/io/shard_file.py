"""A whole shard of counts as a file, packed without Zarr, which spends more time on a shard than its codec does.

What is written is what Zarr writes into the arrays of :mod:`ptychodask.io.skeleton`; the layout is in
:mod:`ptychodask.io.shards`, where it is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import google_crc32c
import numpy as np
from numcodecs import Blosc

from ..model.blocks import Block
from .atomic import replacing
from .described.store import ArrayDocument
from .shards import ABSENT, Shards

CODEC: Final = "zstd"
LEVEL: Final = 5
"""With which inner chunks are packed, their bits shuffled."""


def is_whole(block: Block, array: ArrayDocument) -> bool:
    """Is a block all that one shard holds of the scan?"""
    ends = zip((block.y0, block.x0), (block.y1, block.x1), array.files[:2], array.shape[:2], strict=True)
    return all(low % side == 0 and high == min(low + side, scan) for low, high, side, scan in ends)


def write_whole(counts_folder: Path, block: Block, counts: np.ndarray, array: ArrayDocument, shards: Shards) -> None:
    """Write the file of a whole shard: whole or not at all.

    Parameters
    ----------
    counts_folder : Path
        Of the array, which must be there.
    counts : array [rows, columns, N, N]
        Of the array's type.
    """
    names = [str(low // side) for low, side in zip((block.y0, block.x0), array.files[:2], strict=True)]
    folder = counts_folder
    for name in ("c", *names, "0"):
        folder = folder / name
        folder.mkdir(exist_ok=True)  # parent by parent: an array that was cleared away is not made again
    with replacing(folder / "0", None) as part, part.open("xb") as file:
        file.writelines(_packed(counts, shards))


def _packed(counts: np.ndarray, shards: Shards) -> list[bytes]:
    """The chunks of a shard with their checksums, and the index at their end."""
    codec, (side_y, side_x) = Blosc(CODEC, LEVEL, Blosc.BITSHUFFLE), shards.chunk
    index, parts, at = np.full((*shards.grid, 2), ABSENT, "<u8"), list[bytes](), 0
    counts = counts.astype(counts.dtype.newbyteorder("<"), copy=False)
    for y, x in np.ndindex(*shards.grid):
        inner = counts[y * side_y : (y + 1) * side_y, x * side_x : (x + 1) * side_x]
        if inner.size == 0:  # beyond the scan
            continue
        if inner.shape[:2] != shards.chunk:
            rest = [(0, whole - there) for whole, there in zip(shards.chunk, inner.shape[:2], strict=True)]
            inner = np.pad(inner, (*rest, (0, 0), (0, 0)))
        parts.append(_checked(codec.encode(np.ascontiguousarray(inner))))
        index[y, x] = at, len(parts[-1])
        at += len(parts[-1])
    return [*parts, _checked(index.tobytes())]


def _checked(content: bytes) -> bytes:
    return content + int(google_crc32c.value(content)).to_bytes(4, "little")
