"""NumPy's own files: frames of ``.npy`` and unpacked ``.npz`` are read where they lie, packed ones in their order."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from .._errors import InputError
from .frames import Frames, Part, plain_frames, scanned
from .reader import CALIBRATION, FURTHER, About, Asked, Reader, Span, chosen
from .scans import a_scan

FACTS = (*CALIBRATION, *FURTHER)
LOCAL_HEADER = 30
"""Bytes of a zip file's entry before its name."""


def read_npy(path: Path, asked: Asked) -> Reader:
    """The array of a ``.npy`` file, which has no names in it."""
    if asked.inside:
        raise InputError(f"{path} holds one array without a name: leave :/{asked.inside} out")
    with path.open("rb") as file:
        shape, dtype = _header(file, path, "the array")
        return _in_place(path, file.tell(), shape, dtype, asked, About())


@dataclass(frozen=True)
class Unpacked:
    """An array in a compressed archive, read on from where the last rows ended."""

    file: IO[bytes]
    start: int
    """Of the values, in bytes."""
    shape: tuple[int, ...]
    stored: np.dtype
    about: About

    @property
    def dtype(self) -> np.dtype:
        return self.stored.newbyteorder("=")

    @property
    def chunk(self) -> tuple[int, int]:
        return (1, self.shape[1])

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        row = math.prod(self.shape[1:]) * self.stored.itemsize
        self.file.seek(self.start + rows[0] * row)
        shape = (rows[1] - rows[0], *self.shape[1:])
        found = np.frombuffer(self.file.read(shape[0] * row), self.stored).reshape(shape)
        return found[:, slice(*columns)].astype(self.dtype, copy=False)


def read_npz(path: Path, asked: Asked) -> Reader:
    """An array of a ``.npz`` archive; numbers beside it that are called like a calibration are its metadata."""
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        shapes = {}
        for name, member in members.items():
            with archive.open(member) as file:
                shapes[name] = _read_header(file)[0]
        name = chosen(path, asked.inside, shapes, (4,) if asked.scan is None else (3, 4))
        info, file = archive.getinfo(members[name]), archive.open(members[name])
    shape, dtype = _header(file, path, name)
    header = file.tell()
    if info.file_size != header + math.prod(shape) * dtype.itemsize:
        raise InputError(f"{path}: {name} has {info.file_size} bytes, which are not {shape} of {dtype}: save it again")
    others = [other for other in shapes if other not in (name, *FACTS)]
    notes = (f"not read: {', '.join(others)}",) if others else ()
    with np.load(path, allow_pickle=False) as saved:
        metadata = {fact: saved[fact].tolist() for fact in FACTS if fact in shapes and shapes[fact] in ((), (2,))}
    about = About(metadata, notes)
    if info.compress_type == zipfile.ZIP_STORED:
        file.close()
        return _in_place(path, _content(path, info) + header, shape, dtype, asked, about)
    said = (shape[0], shape[1]) if len(shape) == 4 else None
    scan, _ = a_scan(path, math.prod(shape[:-2]), asked.scan, said, False)
    slow = "compressed as one piece: it is unpacked in its order, by one worker"
    about = replace(about, notes=(*notes, slow), in_order=True, scan=said)
    return Unpacked(file, header, (*scan, *shape[-2:]), dtype, about)


def _in_place(path: Path, start: int, shape: tuple[int, ...], dtype: np.dtype, asked: Asked, about: About) -> Frames:
    said = (int(shape[0]), int(shape[1])) if len(shape) == 4 else None
    frames, _ = plain_frames(path, start, 0, dtype, shape[-2:], about)
    wanted = math.prod(shape[:-2])
    held = min(frames.files[0].frames, wanted)
    rest = (path.stat().st_size - start) % frames.stride if held < wanted else 0
    if held < wanted and asked.scan is None and said is None and asked.growing is None:
        said = (wanted, 1)  # a stack that ends too early
    return scanned(replace(frames, files=(Part(path, held, start),)), asked, said, rest)


def _header(file: IO[bytes], path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of counts in rows."""
    shape, dtype, fortran = _read_header(file)
    if fortran and len(shape) > 1:
        raise InputError(f"{path}: {name} is stored column by column: save numpy.ascontiguousarray of it")
    if len(shape) not in (3, 4) or dtype.kind not in "biuf" or 0 in shape:
        raise InputError(
            f"{path} holds {dtype} of shape {shape}: give numbers of electrons (scan_y, scan_x, ky, kx), or (frames,"
            " ky, kx) with --scan Y X"
        )
    return shape, dtype


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, type, and whether columns come first."""
    version = npy.read_magic(file)
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    return shape, dtype, fortran


def _content(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the content of an archive's entry begins."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(LOCAL_HEADER)
    name, extra = (int.from_bytes(local[at : at + 2], "little") for at in (26, 28))
    return info.header_offset + LOCAL_HEADER + name + extra
