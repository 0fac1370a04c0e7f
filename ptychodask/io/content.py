"""What is in the files of a dataset, as one short text: copies have the same, other counts have another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from .._errors import InputError
from .address import Remote, Store, Zipped
from .dataset import DatasetInfo, documents_of, read_mask, read_positions
from .described.store import ArrayDocument
from .shards import Shards, chunk_checksums, shards_of

LOST = b"lost"
"""Stands for the content of a shard that nobody can read."""
READERS = 8
"""Threads that look at shards: on a network each look waits."""
FREE = {"source", "fingerprint"}
"""Attributes that say nothing of the content: where it came from, and what it was when it was written."""


def identified(info: DatasetInfo, lost: Collection[str] = ()) -> DatasetInfo:
    """The description with the fingerprint of what is in the files now, in place of the one they were written with.

    ``lost`` as for :func:`content_digest`.
    """
    return replace(info, fingerprint=content_digest(info.path, lost))


def content_digest(path: str | Path, lost: Collection[str] = ()) -> str:
    """Names what a reconstruction reads of a dataset: its description, positions, mask and counts.

    Counts are known by the checksums that are stored with every chunk, so they are not read: a look at every shard and
    four bytes of every chunk. Neither the time of writing nor the place count, so a copy of the files has the same
    digest. Two things cannot be seen: a chunk whose bytes were damaged after it was written, which its checksum tells
    when it is read; and, in shards that were not written by :mod:`ptychodask.io.writer`, the content: there size, inode
    and time of every file stand for it, and a copy is another dataset. In a zip file size and checksum of a shard stand
    for it, at an address its size alone.

    Parameters
    ----------
    path : path
    lost : collection of str
        Shards, as :func:`lost_shards` names them, that count as lost whatever they are: a run that left them out goes
        on when somebody has repaired them.

    Raises
    ------
    InputError
        If positions, mask or a shard of counts cannot be read.
    """
    store, root, arrays = documents_of(path)
    digest = hashlib.blake2b(digest_size=16)
    attributes = {name: value for name, value in root.attributes.items() if name not in FREE}
    for described in (attributes, arrays.counts.model_dump(mode="json")):
        digest.update(json.dumps(described, sort_keys=True).encode())
    for values in (read_positions(path), read_mask(path)):
        digest.update(np.ascontiguousarray(values).tobytes())
    for name, content in _shards(store, arrays.counts).items():
        digest.update(LOST if name in lost else content)
    return digest.hexdigest()


def lost_shards(path: str | Path) -> list[str]:
    """Shards of counts that are missing or have no index that can be read."""
    store, _, arrays = documents_of(path)
    return [name for name, content in _shards(store, arrays.counts).items() if content == LOST]


def _shards(store: Store, counts: ArrayDocument) -> dict[str, bytes]:
    """What stands for the content of every shard, in order."""
    names = list(counts.keys())
    if isinstance(store, Zipped | Remote):
        return dict(zip(names, store.stamps([f"counts/{name}" for name in names], LOST), strict=True))
    folder = Path(store.address) / "counts"
    look = partial(_content, layout=shards_of(folder))
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(names, pool.map(look, (folder / name for name in names)), strict=True))


def _content(file: Path, layout: Shards | None) -> bytes:
    try:
        if layout is not None:
            return b"checksums" + chunk_checksums(file, layout)
        state = file.stat()
        return f"file {state.st_size} {state.st_mtime_ns} {state.st_ino}".encode()
    except (FileNotFoundError, ValueError):
        return LOST  # whoever reads it says so
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror or type(error).__name__}): check the file system, then try again"
        ) from error
