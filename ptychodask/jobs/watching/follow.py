"""Looks at a file that somebody else writes: how many frames are whole, since when, and whether it goes on."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._errors import InputError
from ...readers.frames import Frames
from ...readers.reader import Asked
from ...readers.registry import open_counts

POLL_SECONDS = 0.2
"""Between two looks."""
MISTAKE_SECONDS = 3.0
"""That a file may be unreadable before it holds a frame: its writer is at its header. Then the reason is raised."""
BY_ENDING = {".npy": "npy", ".mib": "merlin", ".hdr": "merlin"}
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
class Seen:
    """A look at the file.

    Parameters
    ----------
    frames : int
        That are whole, at most those of the scan.
    scan : (int, int)
        Rows and columns of the whole scan.
    file : str
        Device and inode of the file.
    size : int
        Bytes of all files.
    """

    frames: int
    scan: tuple[int, int]
    file: str
    size: int

    @property
    def complete(self) -> bool:
        """Is the whole scan there?"""
        return self.frames >= math.prod(self.scan)


@dataclass(frozen=True)
class End:
    """Why a file is followed no longer, and whether what it holds is still that of the scan."""

    why: str
    readable: bool


class Follower:
    """Follows a file in a thread of its own while the context lasts.

    Parameters
    ----------
    path : path
        Of the file, which need not be there yet.
    form : str
        Its format.
    asked : Asked
    patience : float
        Seconds without a further byte after which it has ended.
    file : str
        Device and inode of the file that was followed before an interrupt.
    """

    def __init__(self, path: Path, form: str, asked: Asked, patience: float, file: str = "") -> None:
        self._path, self._form, self._patience = path, form, patience
        self._asked = Asked(**{**vars(asked), "growing": UNKNOWN})
        self._known = file
        self._began = self._moved = time.monotonic()
        self._arrivals: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="ptychodask-follower", daemon=True)
        self.seen: Seen | None = None
        """The newest look at which there was a frame."""
        self.end: End | None = None
        self.trouble: Exception | None = None
        """Why there is nothing to follow."""

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self) -> None:
        """Until the next look, about."""
        time.sleep(POLL_SECONDS)

    def since(self, frames: int) -> float:
        """When so many frames were first seen, on the monotonic clock."""
        return next((at for at, there in self._arrivals if there >= frames), time.monotonic())

    def still(self, frames: int, file: str) -> bool:
        """Does the file hold so many frames, and is it the same? Looks now: what was read in between counts only so."""
        try:
            now = self._look()
        except InputError:
            return False
        return now.file == file and now.frames >= frames

    # -- the thread --------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._stop.is_set() and self.end is None and self.trouble is None:
            try:
                self._judge(self._look())
            except InputError as error:
                self._judge_trouble(error)
            except Exception as error:  # whatever it is, who waits for the file has to know
                self.trouble = error
            self._stop.wait(POLL_SECONDS)

    def _look(self) -> Seen:
        reader = open_counts(self._path, self._form, self._asked)
        if not isinstance(reader, Frames):
            raise InputError(
                f"{self._path} cannot be followed while it grows, its format is no row of frames: import it when it is"
                " whole, or have it written as EMPAD, Merlin, .npy or raw frames"
            )
        try:
            states = [part.path.stat() for part in reader.files]
        except OSError as error:
            raise InputError(f"{self._path} vanished ({error.strerror}): check its folder") from None
        there = min(reader.whole, math.prod(reader.scan))
        return Seen(there, reader.scan, f"{states[0].st_dev}:{states[0].st_ino}", sum(s.st_size for s in states))

    def _judge(self, now: Seen) -> None:
        before, clock = self.seen, time.monotonic()
        if self._known and now.file != self._known:
            self.end = End(f"{self._path} was replaced by another file", False)
            return
        if before is not None and now.frames < before.frames:
            self.end = End(f"{self._path} shrank from {before.frames} to {now.frames} frames", False)
            return
        if before is None or now.size != before.size:
            self._moved = clock
        elif not now.complete and clock - self._moved > self._patience:
            self._give_up(now)
            return
        if before is None or now.frames > before.frames:
            self._arrivals.append((clock, now.frames))
        self.seen, self._known = now, now.file

    def _give_up(self, now: Seen) -> None:
        why = f"{self._path} has not grown for {self._patience:g} s"
        if now.frames == 0:
            self.trouble = InputError(f"{why} and holds no whole frame: check what writes it, or raise --patience")
        else:
            self.end = End(why, True)

    def _judge_trouble(self, error: InputError) -> None:
        clock = time.monotonic()
        if self.seen is not None and self.seen.frames:
            gone = not self._path.exists()
            # a file that is replaced may be absent for a moment, and without its header for another
            if clock - self._moved > min(self._patience, MISTAKE_SECONDS):
                self.end = End(f"{self._path} is gone" if gone else f"{self._path} cannot be read any more", False)
            return
        absent = not self._path.exists()
        if clock - self._began > (self._patience if absent else min(self._patience, MISTAKE_SECONDS)):
            told = f"{self._path} did not appear within {self._patience:g} s: check its name, or raise --patience"
            self.trouble = InputError(told) if absent else error
