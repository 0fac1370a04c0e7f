"""NumPy's own files: ``.npy`` is mapped into memory, an array of ``.npz`` is read as it is unpacked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from .._errors import InputError
from .reader import CALIBRATION, Reader, Sliced, chosen


def read_npy(path: Path, inside: str) -> Reader:
    """The array of a ``.npy`` file, which has no names in it."""
    if inside:
        raise InputError(f"{path} holds one array without a name: leave :/{inside} out")
    return Sliced(npy.open_memmap(path, mode="r"))


@dataclass(frozen=True)
class Unpacked:
    """An array in an archive, read on from where the last rows ended."""

    file: IO[bytes]
    start: int
    """Of the values, in bytes."""
    shape: tuple[int, ...]
    dtype: np.dtype
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]
    together: int = 1

    def rows(self, low: int, high: int) -> np.ndarray:
        row = math.prod(self.shape[1:])
        self.file.seek(self.start + low * row * self.dtype.itemsize)
        shape = (high - low, *self.shape[1:])
        return np.frombuffer(self.file.read(math.prod(shape) * self.dtype.itemsize), self.dtype).reshape(shape)


def read_npz(path: Path, inside: str) -> Reader:
    """An array of a ``.npz`` archive; numbers beside it that are called like a calibration are its metadata."""
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        headers = {}
        for name, member in members.items():
            with archive.open(member) as file:
                headers[name] = _header(file)
        name = chosen(path, inside, {name: shape for name, (shape, *_) in headers.items()})
        shape, dtype, fortran = headers[name]
        if fortran:
            raise InputError(f"{path}: {name} is stored column by column: save numpy.ascontiguousarray of it")
        info, file = archive.getinfo(members[name]), archive.open(members[name])
    _header(file)
    if info.file_size != file.tell() + math.prod(shape) * dtype.itemsize:
        raise InputError(f"{path}: {name} has {info.file_size} bytes, which are not {shape} of {dtype}: save it again")
    notes = []
    if others := [other for other in headers if other not in (name, *CALIBRATION)]:
        notes.append(f"not read: {', '.join(others)}")
    if info.compress_type != zipfile.ZIP_STORED:
        notes.append("compressed as one piece: rows that are not read in order are unpacked from the first on")
    with np.load(path, allow_pickle=False) as saved:
        metadata = {
            fact: saved[fact].tolist() for fact in CALIBRATION if fact in headers and headers[fact][0] in ((), (2,))
        }
    return Unpacked(file, file.tell(), shape, dtype, metadata, tuple(notes))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, type, and whether columns come first."""
    version = npy.read_magic(file)
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    return shape, dtype, fortran
