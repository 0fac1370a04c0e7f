"""A file of frames that grows.

What is looked at before the first shard are frames of the first rows, whenever that is: who goes on after a kill
decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..._errors import InputError
from ...events import Warned
from ...io.writer import DatasetWriter
from ...io.written import ShardSummary
from ...model.blocks import Block, default_shard
from ...readers.frames import Frames
from ...readers.raw import type_of
from ...readers.reader import Reader
from ...readers.registry import open_counts
from ...readers.scans import growing_scan
from ..importing.prepare import Options, Prepared, prepare
from ..importing.run import parts_of, write_shards
from ..observers import Report
from .origin import Seen, identity

BY_ENDING = {".npy": "npy", ".mib": "merlin", ".hdr": "merlin", ".tpx3": "tpx3"}
"""Formats that are known before the file is there; others are told by sizes, which a file that grows has not yet."""
UNKNOWN = 2**53
"""More frames than a file has: all that are there count."""


def format_of(path: Path, said: str | None, dtype: str | None) -> str:
    """The format of a file that grows.

    Raises
    ------
    InputError
        If neither a person nor the ending says it.
    """
    found = said or ("raw" if dtype is not None else BY_ENDING.get(path.suffix.lower()))
    if found is None:
        raise InputError(f"{path} is told by its size, which still changes: give --format (empad, empad-g2, raw, ...)")
    return found


@dataclass(frozen=True)
class GrowingFrames:
    """A file, see :class:`~ptychodask.jobs.watching.origin.Origin`.

    Parameters
    ----------
    path : Path
        Which need not be there yet.
    given : Options
        Of the import, that were checked, with the format.
    """

    path: Path
    given: Options

    @classmethod
    def of(cls, path: Path, given: Options) -> GrowingFrames:
        """What raw frames need is asked for before the file is there."""
        asked = replace(given.asked(), growing=UNKNOWN)
        if given.format == "raw":
            type_of(path, asked)
            growing_scan(path, 0, asked.scan)
        return cls(path, given)

    def exists(self) -> bool:
        return self.path.exists()

    def look(self) -> Seen:
        reader = open_counts(self.path, self.given.format, replace(self.given.asked(), growing=UNKNOWN))
        if not isinstance(reader, Frames):
            raise InputError(
                f"{self.path} cannot be followed while it grows, its format is no row of frames: import it when it is"
                " whole, or have it written as EMPAD, Merlin, .npy, raw frames or Timepix3"
            )
        first = reader.files[0]
        try:
            size = sum(part.path.stat().st_size for part in reader.files)
            file = identity(first.path, first.path, first.first, reader.stride) if first.frames else ""
        except OSError as error:
            raise InputError(f"{self.path} vanished ({error.strerror}): check its folder") from None
        return Seen(min(reader.whole, math.prod(reader.scan)), reader.scan, file, size)

    def first_rows(self, scan: tuple[int, int]) -> int:
        return min(scan[0], (self.given.chunks or default_shard(scan))[0])

    def opened(
        self, target: Path, scan: tuple[int, int], shard: tuple[int, int] | None, place: dict[str, Any]
    ) -> FileIntake:
        its = self if shard is None else replace(self, given=replace(self.given, chunks=shard))
        asked = replace(its.given.asked(), growing=its.first_rows(scan) * scan[1])
        made = prepare(self.path, target, its.given, asked, overwrite=True).at(place)

        def read(rows: int) -> Reader:
            return open_counts(self.path, self.given.format, replace(asked, growing=rows * scan[1]))

        return FileIntake(self.path, self.given, target, made, read)


@dataclass(frozen=True)
class FileIntake:
    """A file whose first rows were looked at, see :class:`~ptychodask.jobs.watching.origin.Intake`.

    Parameters
    ----------
    path, given, target
        As for :func:`~ptychodask.jobs.importing.prepare.prepare`.
    made : Prepared
        Of the first rows.
    read : callable
        The file's reader when so many rows are there.
    doubtful : str
        Why the shards that were written may not be those of an import whatever it decides; empty where they are.
    """

    path: Path
    given: Options
    target: Path
    made: Prepared
    read: Callable[[int], Reader]
    doubtful: str = ""

    @cached_property
    def writer(self) -> DatasetWriter:
        return self.made.writer()

    def write(self, client: Any, wanted: Sequence[Block], rows: int, folder: Path) -> list[ShardSummary]:
        order = replace(self.made.order, asked=replace(self.made.order.asked, growing=rows * self.made.file.shape[1]))
        counted = order.counted(self.read(rows))
        indices = {block.index for block in wanted}
        parts = [
            part for part in parts_of(counted, self.writer)
            if any(b.index in indices for b in part[1]) and all(b.y1 <= rows for b in part[1])
        ]  # fmt: skip
        return list(write_shards(client, order, counted, folder, parts, lambda label, done, of: None).shards)

    def again(self, rows: int | None, report: Report) -> Prepared | None:
        scan = self.given.scan_shape if rows is None else (rows, self.made.file.shape[1])
        given = replace(self.given, allow_partial=True, scan_shape=scan)
        try:
            made = prepare(self.path, self.target, given, given.asked(), overwrite=True)
        except InputError as error:
            report(Warned(f"the file as it is now cannot be imported ({error}): what was imported before is taken"))
            return None
        return replace(made, order=replace(made.order, most=self.made.order.most))

    def differs(self, made: Prepared) -> str:
        if self.doubtful:
            return self.doubtful
        same = made.writer().same_as == self.writer.same_as and made.order.counts_as(self.made.order)
        return "" if same else "the first rows said other gains, bad pixels or angles than all do"
