"""The formats that are read, one line each."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import _arguments as arguments
from .._errors import InputError
from .._text import first_line
from .hdf5 import read_hdf5
from .numpy_files import read_npy, read_npz
from .reader import Reader


@dataclass(frozen=True)
class Format:
    """How a format is known, and who reads it."""

    name: str
    endings: tuple[str, ...]
    """Of file names, in lower case."""
    magic: bytes
    """What its files begin with, for those with another ending; empty where they have no such mark."""
    read: Callable[[Path, str], Reader]
    """Called with the path of a file and a name inside it, which may be empty."""


FORMATS = (
    Format("NumPy array", (".npy",), b"\x93NUMPY", read_npy),
    Format("NumPy archive", (".npz",), b"PK\x03\x04", read_npz),
    Format("HDF5", (".h5", ".hdf5", ".hdf", ".nxs"), b"\x89HDF\r\n\x1a\n", read_hdf5),
)


def open_counts(path: str | os.PathLike[str]) -> Reader:
    """Open a file of counts, of which the description alone is read.

    Parameters
    ----------
    path : path
        Of a file; ``scan.h5:/entry/data`` names the array in it, where it holds several of four dimensions.

    Returns
    -------
    Reader
        Of counts (scan_y, scan_x, ky, kx).

    Raises
    ------
    InputError
        If there is no such file, no format fits it, it is damaged, or it holds no such counts.
    """
    file, inside = _parted(arguments.path(path, "path"))
    form = _format_of(file)
    try:
        reader = form.read(file, inside)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file} cannot be read as {form.name} ({first_line(error)}): copy or write it again"
        ) from error
    if len(reader.shape) != 4 or reader.dtype.kind not in "biuf":
        raise InputError(
            f"{path} holds {reader.dtype} of shape {tuple(reader.shape)}: give numbers of electrons (scan_y, scan_x,"
            " ky, kx)"
        )
    return reader


def _parted(path: Path) -> tuple[Path, str]:
    """A file, and a name inside it."""
    before, mark, inside = str(path).rpartition(":/")
    file, inside = (Path(before), inside) if mark and not path.exists() else (path, "")
    if not file.is_file():
        raise InputError(f"{file} is no file: give the path of a file of counts")
    return file, inside


def _format_of(file: Path) -> Format:
    """By the ending of its name, else by how it begins."""
    named = [form for form in FORMATS if file.suffix.lower() in form.endings]
    if named:
        return named[0]
    with file.open("rb") as opened:
        begin = opened.read(16)
    marked = [form for form in FORMATS if form.magic and begin.startswith(form.magic)]
    if not marked:
        known = ", ".join(f"{form.name} ({' '.join(form.endings)})" for form in FORMATS)
        raise InputError(f"{file} is in no format that is read here: give {known}, or an array of the counts")
    return marked[0]
