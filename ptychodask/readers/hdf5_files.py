"""What readers of HDF5 files share: opening, links to other files, filters, and a stack of frames as a scan."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .._text import first_line
from .reader import About, Asked, Span
from .scans import a_scan, partial_note

MARKS = (b"\x89HDF\r\n\x1a\n", b"MATLAB 7.3")
"""What such files begin with; MATLAB's have a text before the HDF5 file."""
SURE = 0.95
"""How sure a layout is of a file that has its names: surer than HDF5 of any names is."""
MOST = 2**28
"""Bytes that are read together, so that chunks of frames and rows of the scan end together; more is not worth it."""


def h5py_for(path: Path) -> Any:
    """The library.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise InputError(f"{path} is read by h5py: pip install 'ptychodask[formats]'") from error


def open_hdf5(path: Path) -> Any:
    """The file, which stays open as long as somebody has a dataset of it."""
    return h5py_for(path).File(path, "r")


def sure(path: Path, begin: bytes, test: Callable[[Any], bool]) -> float:
    """How sure it is that a file is HDF5 of a layout, which ``test`` finds in the opened file."""
    if not begin.startswith(MARKS):
        return 0.0
    try:
        with open_hdf5(path) as file:
            return SURE if test(file) else 0.0
    except (
        Exception
    ):  # of a damaged file h5py raises errors of every kind; who reads HDF5 of any names says what is wrong
        return 0.0


def dataset(path: Path, group: Any, name: str) -> Any:
    """A dataset of a group, also in another file, which can be read.

    Raises
    ------
    InputError
        If the file that it is in is not there or cut off, or a filter is missing.
    """
    h5py = h5py_for(path)
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        other = Path(group.file.filename).parent / link.filename
        if not other.is_file():
            raise InputError(f"{path}: {name} is in the file {link.filename!r}, which is not beside it: put it there")
        try:
            found = group[name]
        except (OSError, KeyError) as error:
            raise InputError(
                f"{other}, to which {path} leads, cannot be read ({first_line(error)}): copy it again"
            ) from None
    else:
        found = group[name]
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{path}: {name} is no dataset: name one")
    _readable(path, found)
    return found


def _readable(path: Path, data: Any) -> None:
    h5z = importlib.import_module("h5py.h5z")
    made = data.id.get_create_plist()
    codes = [made.get_filter(k)[0] for k in range(made.get_nfilters())]
    if not all(h5z.filter_avail(code) for code in codes):
        with suppress(ImportError):
            importlib.import_module("hdf5plugin")  # its import adds filters
        if missing := [code for code in codes if not h5z.filter_avail(code)]:
            raise InputError(f"{path}: {data.name} is compressed with HDF5 filter {missing[0]}: pip install hdf5plugin")
    names = {source.file_name for source in data.virtual_sources()} if data.is_virtual else set()
    for name in sorted(names - {"."}):
        if "%" not in name and not (Path(data.file.filename).parent / name).is_file():
            raise InputError(f"{path}: {data.name} is in the file {name!r}, which is not beside it: put it there")


def said(group: Any, *names: str) -> Any:
    """What the first of some names holds, as Python's numbers and text, or None where there is none of them."""
    for name in names:
        try:
            found = group[name][()]
        except (KeyError, OSError, TypeError, AttributeError):
            continue
        return plain(found)
    return None


def plain(value: Any) -> Any:
    """Text of bytes, one number of an array of one, else lists."""
    array = np.asarray(value)
    value = array.ravel()[0] if array.size == 1 else array
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value.tolist() if isinstance(value, np.ndarray) else value


@dataclass(frozen=True)
class Stack:
    """Frames of one or several datasets, one after another, as a scan.

    Parameters
    ----------
    arrays : tuple of HDF5 datasets (frames, ky, kx)
        In the order of the scan.
    scan : (int, int)
        Positions (y, x).
    about : About
    """

    arrays: tuple[Any, ...]
    scan: tuple[int, int]
    about: About = field(default_factory=About)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.scan, *self.arrays[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.arrays[0].dtype.newbyteorder("=")

    @property
    def chunk(self) -> Span:
        """Rows and columns at whose borders chunks of frames end too; where that is too much, whole rows."""
        frames, (height, width) = (self.arrays[0].chunks or (1,))[0], self.scan
        if width % frames == 0:
            return (1, frames)
        rows = min(height, math.lcm(frames, width) // width)
        fits = rows * width * math.prod(self.shape[2:]) * self.dtype.itemsize <= MOST
        return (rows if fits else 1, width)

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        found = np.zeros((rows[1] - rows[0], columns[1] - columns[0], *self.shape[2:]), self.dtype)
        width = self.scan[1]
        if columns == (0, width):
            self._fill(found.reshape(-1, *self.shape[2:]), rows[0] * width)
        else:
            for y, row in enumerate(found, rows[0]):
                self._fill(row, y * width + columns[0])
        return found

    def _fill(self, found: np.ndarray, start: int) -> None:
        """Patterns from frame ``start`` on; what no dataset holds stays 0."""
        for array, end in zip(self.arrays, accumulate(map(len, self.arrays)), strict=True):
            begin = end - len(array)
            low, high = max(start, begin), min(start + len(found), end)
            if low < high:
                found[low - start : high - start] = array[low - begin : high - begin]


def stacked(
    path: Path, arrays: Sequence[Any], asked: Asked, about: About, scan: tuple[int, int] | None = None
) -> Stack:
    """Frames with the scan that was asked for, or else that the file says; their number is held against it."""
    shapes = {(array.shape[1:], array.dtype) for array in arrays}
    if len(shapes) != 1 or any(array.ndim != 3 for array in arrays):
        raise InputError(f"{path} holds frames of several sides or types: name one of its datasets")
    total = sum(map(len, arrays))
    shape, missing = a_scan(path, total, asked.scan, scan, asked.allow_partial)
    notes = (*about.notes, *partial_note(total, 0, missing, shape, asked.scan or scan))
    return Stack(tuple(arrays), shape, replace(about, missing=missing, notes=notes, scan=scan))
