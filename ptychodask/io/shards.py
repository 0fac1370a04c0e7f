"""Inner chunks of a shard as they are stored: their bytes, checked but not decoded.

Zarr v3's ``sharding_indexed``: a file of chunks in any order, and at its end offset and length of every chunk with a
CRC-32C; every chunk has a CRC-32C of its own. Only the layout that :mod:`ptychodask.io.skeleton` writes is read here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Blosc

_ENTRY, _CHECKSUM = 16, 4
_SIZE = slice(4, 8)
"""Where a chunk of Blosc says how large its content is."""
ABSENT = 2**64 - 1
"""Offset of a chunk that was not written."""

Stored = tuple[bytes, np.ndarray, np.ndarray]
"""A chunk of Blosc, the patterns wanted of it, and their places in a block."""


@dataclass(frozen=True)
class Shards:
    """How the shards of an array of counts are laid out.

    Parameters
    ----------
    grid : (int, int)
        Inner chunks of a shard along the scan's rows and columns.
    chunk : (int, int)
        Scan positions of an inner chunk.
    """

    grid: tuple[int, int]
    chunk: tuple[int, int]


def shards_of(folder: Path) -> Shards | None:
    """The layout of counts (scan_y, scan_x, ky, kx) in a folder, or None where it is not the one that we write.

    The array's description is read as the Zarr v3 specification words it, so that no version of a library matters.
    """
    try:
        return _layout(json.loads((folder / "zarr.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None  # whatever it is, Zarr has to read it


def _layout(array: Any) -> Shards | None:
    (sharding,) = array["codecs"]
    if sharding["name"] != "sharding_indexed" or array["chunk_grid"]["name"] != "regular":
        return None
    if array["chunk_key_encoding"]["name"] != "default" or array.get("storage_transformers"):
        return None
    how, outer = sharding["configuration"], array["chunk_grid"]["configuration"]["chunk_shape"]
    if [codec["name"] for codec in how["codecs"]] != ["bytes", "blosc", "crc32c"]:
        return None
    if [codec["name"] for codec in how["index_codecs"]] != ["bytes", "crc32c"]:
        return None
    if not _little(how["codecs"][0], array["data_type"]) or not _little(how["index_codecs"][0], "uint64"):
        return None
    inner = how["chunk_shape"]
    grid = [a // b for a, b in zip(outer, inner, strict=True)]
    if how.get("index_location", "end") != "end" or grid[2:] != [1, 1] or inner[2:] != array["shape"][2:]:
        return None
    return Shards((grid[0], grid[1]), (inner[0], inner[1]))


def _little(codec: Any, data_type: str) -> bool:
    return data_type == "uint8" or codec["configuration"]["endian"] == "little"


def stored_chunks(file: Path, shards: Shards, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
    """Encoded chunks of a shard, given by their row and column within it.

    Raises
    ------
    ValueError
        If one of them was not written or does not fit its checksum.
    OSError
        If the file cannot be read.
    """
    with file.open("rb", buffering=0) as opened:
        entries = _index(opened, shards)
        places = [(int(offset), int(stored)) for offset, stored in (entries[place] for place in wanted)]
        if any(offset == ABSENT for offset, _ in places):
            raise ValueError(f"{file}: a chunk is missing")
        return [_checked(opened, offset, stored) for offset, stored in places]


def chunk_checksums(file: Path, shards: Shards) -> bytes:
    """Length and checksum, as they are stored, of all chunks of a shard in order: what names its content.

    Where in the file a chunk lies makes no difference. The chunks themselves are not read.

    Raises
    ------
    ValueError
        If the shard's index does not fit its checksum.
    OSError
        If the file cannot be read.
    """
    found = []
    with file.open("rb", buffering=0) as opened:
        for offset, stored in _index(opened, shards).reshape(-1, 2).tolist():
            if offset == ABSENT:
                found.append(b"absent")
                continue
            opened.seek(offset + stored - _CHECKSUM)
            found.append(stored.to_bytes(8, "little") + (opened.read(_CHECKSUM) or b""))
    return b"".join(found)


def _index(opened: RawIOBase, shards: Shards) -> np.ndarray:
    """Offset and length of every chunk of a shard [rows, columns, 2]."""
    length = _ENTRY * shards.grid[0] * shards.grid[1] + _CHECKSUM
    index = _checked(opened, max(opened.seek(0, os.SEEK_END) - length, 0), length)
    return np.frombuffer(index, "<u8").reshape(*shards.grid, 2)


def _checked(file: RawIOBase, offset: int, length: int) -> bytes:
    """Bytes of a file less the checksum at their end."""
    file.seek(offset)
    stored = file.read(length) or b""
    content = stored[:-_CHECKSUM]
    if len(stored) != length or google_crc32c.value(content) != int.from_bytes(stored[-_CHECKSUM:], "little"):
        raise ValueError("the checksum does not fit")
    return content


def dense_in(chunks: Iterable[Stored], patterns: int, n: int, dtype: np.dtype[Any], chunk_patterns: int) -> np.ndarray:
    """Counts [B, N, N] of a block of patterns from chunks of ``chunk_patterns`` each, in any order; not shifted.

    Raises
    ------
    ValueError, RuntimeError
        If a chunk has another size, or cannot be decoded.
    """
    counts = np.empty((patterns, n, n), dtype)
    content = np.empty((chunk_patterns, n, n), dtype)
    for chunk, within, places in chunks:
        if int.from_bytes(chunk[_SIZE], "little") != content.nbytes:
            raise ValueError("a chunk has another size")
        Blosc().decode(chunk, content)
        for inside, place in zip(within.tolist(), places.tolist(), strict=True):
            counts[place] = content[inside]
    return counts
