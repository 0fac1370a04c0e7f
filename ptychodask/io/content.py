"""What is in the files of a dataset, as one short text: copies have the same, other counts have another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .._errors import InputError
from .dataset import DatasetInfo, read_mask, read_positions
from .shards import Shards, chunk_checksums, shards_of

READERS = 8
"""Threads that look at shards: on a network each look waits."""
FREE = {"source", "fingerprint"}
"""Attributes that say nothing of the content: where it came from, and what it was when it was written."""


def identified(info: DatasetInfo) -> DatasetInfo:
    """The description with the fingerprint of what is in the files now, in place of the one they were written with."""
    return replace(info, fingerprint=content_digest(info.path))


def content_digest(path: str | Path) -> str:
    """Names what a reconstruction reads of a dataset: its description, positions, mask and counts.

    Counts are known by the checksums that are stored with every chunk, so they are not read: a look at every shard and
    four bytes of every chunk. Neither the time of writing nor the place count, so a copy of the files has the same
    digest. Two things cannot be seen: a chunk whose bytes were damaged after it was written, which its checksum tells
    when it is read; and, in shards that were not written by :mod:`ptychodask.io.tiles`, the content: there size, inode
    and time of every file stand for it, and a copy is another dataset.

    Raises
    ------
    InputError
        If positions, mask or a shard of counts cannot be read.
    """
    path = Path(path)
    group = zarr.open_group(str(path), mode="r", zarr_format=3)
    counts = group["counts"]
    assert isinstance(counts, zarr.Array)
    digest = hashlib.blake2b(digest_size=16)
    attributes = {name: value for name, value in dict(group.attrs).items() if name not in FREE}
    for described in (attributes, json.loads((path / "counts" / "zarr.json").read_bytes())):
        digest.update(json.dumps(described, sort_keys=True).encode())
    for values in (read_positions(path), read_mask(path)):
        digest.update(np.ascontiguousarray(values).tobytes())
    for part in _shards(path, counts):
        digest.update(part)
    return digest.hexdigest()


def _shards(path: Path, counts: Any) -> Iterator[bytes]:
    """What stands for the content of every shard, in order."""
    grid = [-(-n // side) for n, side in zip(counts.shape, counts.shards or counts.chunks, strict=True)]
    files = [path / "counts" / counts.metadata.encode_chunk_key(index) for index in np.ndindex(*grid)]
    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(partial(_content, layout=shards_of(path / "counts")), files)


def _content(file: Path, layout: Shards | None) -> bytes:
    try:
        if layout is not None:
            try:
                return b"checksums" + chunk_checksums(file, layout)
            except ValueError:
                pass  # its index is damaged
        state = file.stat()
        return f"file {state.st_size} {state.st_mtime_ns} {state.st_ino}".encode()
    except FileNotFoundError:
        return b"missing"  # whoever reads it says so
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror or type(error).__name__}): check the file system, then try again"
        ) from error
