"""A file of hits that grows (Timepix3): what of it was read is not read again at the next look."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..._errors import InputError
from ...readers.growing_hits import growing_events
from ...readers.hits import Events, Index, indexed
from ...readers.reader import Reader
from ...readers.scans import growing_scan
from ..importing.prepare import Options, prepare
from .files import FileIntake, GrowingFrames
from .origin import Seen, identity

QUIET_SECONDS = 1.0
"""Without a further byte, after which the last position of a scan has ended that has begun: no hit comes after it."""
BEGIN = 24
"""Bytes by which a file is known again: the head of a chunk, and two words with their times."""


class GrowingHits:
    """A file, see :class:`~ptychodask.jobs.watching.origin.Origin`.

    Parameters
    ----------
    path : Path
        Which need not be there yet.
    given : Options
        Of the import, that were checked, with the scan.
    """

    def __init__(self, path: Path, given: Options) -> None:
        self.path, self._frames = path, GrowingFrames(path, given)
        self._asked = given.asked()
        self._scan, _ = growing_scan(path, 0, self._asked.scan)
        self._index, self._size, self._moved, self._lock = Index(), 0, 0.0, threading.Lock()

    def exists(self) -> bool:
        return self.path.exists()

    def look(self) -> Seen:
        try:
            size = self.path.stat().st_size
            with self._lock:
                index = self._read(size)
                quiet = time.monotonic() - self._moved > QUIET_SECONDS
            _, whole = growing_events(self.path, index, self._asked, quiet)
            return Seen(whole, self._scan, identity(self.path, self.path, 0, BEGIN) if whole else "", size)
        except OSError as error:
            raise InputError(f"{self.path} vanished ({error.strerror}): check its folder") from None

    def first_rows(self, scan: tuple[int, int]) -> int:
        return self._frames.first_rows(scan)

    def opened(
        self, target: Path, scan: tuple[int, int], shard: tuple[int, int] | None, place: dict[str, Any]
    ) -> FileIntake:
        given = self._frames.given
        its = given if shard is None else replace(given, chunks=shard)
        asked = replace(self._asked, growing=self.first_rows(scan) * scan[1])
        made = prepare(self.path, target, its, asked, overwrite=True).at(place)
        first = made.file.reader
        assert isinstance(first, Events)

        def read(rows: int) -> Reader:
            reader, _ = growing_events(self.path, self._index, self._asked, False)
            return replace(reader, quad=first.quad, about=first.about)

        return FileIntake(self.path, given, target, made, read, "marks and late hits are known when all are there")

    def _read(self, size: int) -> Index:
        """The index of what is there, to which only what is new is added."""
        if size != self._size:
            self._moved = time.monotonic()
        if size < self._size:
            self._index = Index()  # it is another one, or was cut off
        if size // 8 > self._index.words:
            self._index = indexed(self.path, self._index, True)
        self._size = size
        return self._index
