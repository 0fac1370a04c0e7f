"""Frames at equal distances in one or several files: what most detectors write, whatever stands around the values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from .reader import About, Asked, Span
from .scans import a_scan, growing_scan, partial_note

AT_ONCE = 2**25
"""Bytes that are read and decoded together."""


def as_stored(values: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Frames [B, ky, kx] as they are in the file."""
    return values


@dataclass(frozen=True)
class Part:
    """A file with frames."""

    path: Path
    frames: int
    """That are whole."""
    first: int = 0
    """Bytes before the first."""


@dataclass(frozen=True)
class Frames:
    """A reader of frames.

    Parameters
    ----------
    files : tuple of Part
        In the order of the scan.
    stride, head : int
        Bytes from one frame to the next, and between where one begins and its values.
    stored : dtype
        Of the values of a frame, as an array of their shape.
    pattern : (int, int)
        Pixels (ky, kx) after decoding.
    dtype : dtype
        After decoding.
    decode : callable
        Values [B, ...] as stored, and columns [B] of the scan in which they are, to patterns [B, ky, kx].
    scan : (int, int)
        Positions (y, x).
    about : About
    """

    files: tuple[Part, ...]
    stride: int
    head: int
    stored: np.dtype
    pattern: tuple[int, int]
    dtype: np.dtype
    decode: Callable[[np.ndarray, np.ndarray], np.ndarray] = as_stored
    scan: tuple[int, int] = (1, 1)
    about: About = field(default_factory=About)
    chunk = (1, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.scan, *self.pattern)

    @property
    def whole(self) -> int:
        """Frames that the files hold whole, whatever the scan is."""
        return sum(part.frames for part in self.files)

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        width = self.scan[1]
        found = np.zeros((rows[1] - rows[0], columns[1] - columns[0], *self.pattern), self.dtype)
        if columns == (0, width):
            self._fill(found.reshape(-1, *self.pattern), rows[0] * width)
        else:
            for y, row in enumerate(found, rows[0]):
                self._fill(row, y * width + columns[0])
        return found

    def taken(self, number: int) -> np.ndarray:
        """One frame [ky, kx] by its number."""
        found = np.zeros((1, *self.pattern), self.dtype)
        self._fill(found, number)
        return found[0]

    def _fill(self, found: np.ndarray, start: int) -> None:
        """Patterns from frame ``start`` on; what no file holds stays 0."""
        ends = list(accumulate(part.frames for part in self.files))
        for part, end in zip(self.files, ends, strict=True):
            begin = end - part.frames
            low, high = max(start, begin), min(start + len(found), end)
            if low >= high:
                continue
            step = max(1, AT_ONCE // self.stride)
            with part.path.open("rb") as file:
                for a in range(low, high, step):
                    b = min(a + step, high)
                    file.seek(part.first + (a - begin) * self.stride)
                    values = self._records(file.read((b - a) * self.stride), b - a)
                    found[a - start : b - start] = self.decode(values, np.arange(a, b) % self.scan[1])

    def _records(self, content: bytes, number: int) -> np.ndarray:
        record = np.dtype(
            {"names": ["values"], "formats": [self.stored], "offsets": [self.head], "itemsize": self.stride}
        )
        if len(content) < number * self.stride:  # the last frame has no gap after it
            content = content.ljust(number * self.stride, b"\0")
        return np.frombuffer(content, record, number)["values"]


@dataclass(frozen=True)
class Laid:
    """A reader of frames that were not taken row by row.

    Parameters
    ----------
    frames : Frames
        In the order in which they were taken.
    number : int array [Y, X]
        Of the frame of every position.
    about : About
    """

    frames: Frames
    number: np.ndarray
    about: About
    chunk = (1, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.number.shape, *self.frames.pattern)

    @property
    def dtype(self) -> np.dtype:
        return self.frames.dtype

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        number = self.number[rows[0] : rows[1], columns[0] : columns[1]]
        found = np.empty((number.size, *self.frames.pattern), self.dtype)
        for place in np.argsort(number, axis=None).tolist():  # forwards through the file
            taken = int(number.flat[place])
            found[place] = self.frames.taken(taken)
        return found.reshape(*number.shape, *self.frames.pattern)


def whole_frames(path: Path, first: int, stride: int, used: int) -> tuple[int, int]:
    """Frames that a file holds whole, of which each takes ``used`` of ``stride`` bytes; and the bytes after them."""
    room = max(0, path.stat().st_size - first)
    frames = room // stride + (1 if room % stride >= used else 0)
    return frames, max(0, room - frames * stride)


def scanned(frames: Frames, asked: Asked, said: tuple[int, int] | None, rest: int = 0) -> Frames:
    """The same with the scan that was asked for, or else that the file says; the file's size is held against it."""
    total = frames.whole
    if asked.growing is not None:
        scan, missing = growing_scan(frames.files[0].path, min(total, asked.growing), asked.scan or said)
        return replace(frames, scan=scan, about=replace(frames.about, missing=missing, scan=said))
    scan, missing = a_scan(frames.files[0].path, total, asked.scan, said, asked.allow_partial, rest)
    notes = (*frames.about.notes, *partial_note(total, rest, missing, scan, asked.scan or said))
    return replace(frames, scan=scan, about=replace(frames.about, missing=missing, notes=notes, scan=said))


def plain_frames(
    path: Path, first: int, gap: int, dtype: np.dtype, shape: Sequence[int], about: About = About()
) -> tuple[Frames, int]:
    """Frames of values as they are, a gap after each; and the bytes after the last whole one."""
    stored = np.dtype((dtype, tuple(shape)))
    stride = stored.itemsize + gap
    number, rest = whole_frames(path, first, stride, stored.itemsize)
    pattern = (int(shape[0]), int(shape[1]))
    frames = Frames((Part(path, number, first),), stride, 0, stored, pattern, dtype.newbyteorder("="), about=about)
    return frames, rest
