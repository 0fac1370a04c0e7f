"""What a scan that grows is taken from: a file of frames, or a dataset to which another process appends."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...io.writer import DatasetWriter
from ...io.written import ShardSummary
from ...model.blocks import Block
from ..importing.prepare import Prepared
from ..observers import Report

BEGIN_BYTES = 2**18
"""Of its first frame or shard, by which a file is known again."""


@dataclass(frozen=True)
class Seen:
    """A look at it.

    Parameters
    ----------
    frames : int
        That are whole, at most those of the scan.
    scan : (int, int)
        Rows and columns of the whole scan.
    file : str
        Device, inode and how its counts begin (:func:`identity`); empty where there are none.
    size : int
        That changes as long as it grows: bytes of all files, or shards.
    """

    frames: int
    scan: tuple[int, int]
    file: str
    size: int

    @property
    def complete(self) -> bool:
        """Is the whole scan there?"""
        return self.frames >= math.prod(self.scan)


def identity(path: Path, counts: Path, first: int, size: int) -> str:
    """Device and inode of a path, and a digest of the bytes from ``first`` on of what holds its first counts: a file
    that is written anew in its place is another one."""
    state = path.stat()
    with counts.open("rb") as file:
        file.seek(first)
        begin = hashlib.blake2b(file.read(min(size, BEGIN_BYTES)), digest_size=8).hexdigest()
    return f"{state.st_dev}:{state.st_ino}:{begin}"


class Intake(Protocol):
    """An origin that was opened: makes shards of what is there."""

    @property
    def writer(self) -> DatasetWriter:
        """Of the dataset."""
        ...

    def write(self, client: Any, wanted: Sequence[Block], rows: int, folder: Path) -> list[ShardSummary]:
        """Write these shards, when so many rows of the scan are there."""
        ...

    def again(self, rows: int | None, report: Report) -> Prepared | None:
        """An import of the first rows, or of all, where it may become another dataset than the one that grew; None
        where it cannot, or would be refused, which is told."""
        ...

    def differs(self, made: Prepared) -> str:
        """Why that import may have other shards than were written; empty where it has the same."""
        ...


class Origin(Protocol):
    """Where a scan comes from."""

    @property
    def path(self) -> Path:
        """As it was given."""
        ...

    def exists(self) -> bool:
        """Is there anything?"""
        ...

    def look(self) -> Seen:
        """How much there is.

        Raises
        ------
        InputError
            If it cannot be read now.
        """
        ...

    def first_rows(self, scan: tuple[int, int]) -> int:
        """Rows that have to be there before any of them is imported: at least those of a shard."""
        ...

    def opened(
        self, target: Path, scan: tuple[int, int], shard: tuple[int, int] | None, place: dict[str, Any]
    ) -> Intake:
        """Open it, for a dataset; ``shard`` is that of the shards that are there already, ``place`` what
        :func:`ptychodask.distributed.cluster.describe` says of the workers."""
        ...
