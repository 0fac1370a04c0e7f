"""Looks at what somebody else writes: how many frames are whole, since when, and whether it goes on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from ..._errors import InputError
from .origin import Origin, Seen

POLL_SECONDS = 0.2
"""Between two looks."""
MISTAKE_SECONDS = 3.0
"""That a file may be unreadable before it holds a frame: its writer is at its header. Then the reason is raised."""


@dataclass(frozen=True)
class End:
    """Why a file is followed no longer, and whether what it holds is still that of the scan."""

    why: str
    readable: bool


class Follower:
    """Follows a file in a thread of its own while the context lasts.

    Parameters
    ----------
    origin : Origin
        The file, or the dataset, which need not be there yet.
    patience : float
        Seconds without a further byte after which it has ended.
    file : str
        What the file was that was followed before an interrupt, see :class:`Seen`.
    """

    def __init__(self, origin: Origin, patience: float, file: str = "") -> None:
        self._origin, self._path, self._patience = origin, origin.path, patience
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
            now = self._origin.look()
        except InputError:
            return False
        return now.file == file and now.frames >= frames

    # -- the thread --------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._stop.is_set() and self.end is None and self.trouble is None:
            try:
                self._judge(self._origin.look())
            except InputError as error:
                self._judge_trouble(error)
            except Exception as error:  # whatever it is, who waits for the file has to know
                self.trouble = error
            self._stop.wait(POLL_SECONDS)

    def _judge(self, now: Seen) -> None:
        before, clock = self.seen, time.monotonic()
        if self._known and now.file and now.file != self._known:
            self.end = End(f"{self._path} was replaced by another file", False)
            return
        if before is not None and now.frames < before.frames:
            self.end = End(f"{self._path} shrank from {before.frames} to {now.frames} frames", False)
            return
        if self._known and not now.file:  # it had some before an interrupt
            self.end = End(f"{self._path} holds no frames any more", False)
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
            gone = not self._origin.exists()
            # a file that is replaced may be absent for a moment, and without its header for another
            if clock - self._moved > min(self._patience, MISTAKE_SECONDS):
                self.end = End(f"{self._path} is gone" if gone else f"{self._path} cannot be read any more", False)
            return
        absent = not self._origin.exists()
        if absent and self._known and clock - self._began > min(self._patience, MISTAKE_SECONDS):
            self.end = End(f"{self._path} is gone", False)  # and was there before an interrupt
        elif clock - self._began > (self._patience if absent else min(self._patience, MISTAKE_SECONDS)):
            told = f"{self._path} did not appear within {self._patience:g} s: check its name, or raise --patience"
            self.trouble = InputError(told) if absent else error
