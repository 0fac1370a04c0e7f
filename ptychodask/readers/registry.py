"""The formats that are read, one line each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import _arguments as arguments
from .._errors import InputError
from .._text import first_line
from .advapix import read_advapix
from .blockfile import read_blockfile
from .cxi import cxi_sure, read_cxi
from .dectris import dectris_sure, read_dectris
from .digitalmicrograph import read_dm
from .emd import emd_sure, read_emd
from .empad import empad_sure, read_empad
from .empad_g2 import empad_g2_sure, read_empad_g2
from .fold_slice import fold_slice_sure, read_fold_slice
from .fpd import fpd_sure, read_fpd
from .hdf5 import read_hdf5
from .merlin import merlin_sure, read_merlin
from .mrc import mrc_sure, read_mrc
from .numpy_files import read_npy, read_npz
from .phaser import phaser_sure, read_phaser
from .raw import read_raw
from .reader import Asked, Reader
from .rosetta import read_hspy, read_zspy
from .tia import read_tia
from .timepix3 import read_timepix3
from .tvips import read_tvips

BEGIN = 512
"""Bytes at the start of a file by which formats know it."""
BY_MARK, BY_ENDING = 0.6, 0.3
"""How sure a format is of a file that begins with its mark, and of one with its ending."""


@dataclass(frozen=True)
class Format:
    """How a format is known, and who reads it."""

    name: str
    """For ``--format``."""
    about: str
    endings: tuple[str, ...]
    """Of file names, in lower case."""
    magic: bytes
    """What its files begin with, for those with another ending; empty where they have no such mark."""
    read: Callable[[Path, Asked], Reader]
    """Called with the path of a file and what was asked for."""
    knows: Callable[[Path, bytes], float] | None = None
    """How sure it is that a file of a path, which begins so, is one (0 to 1); by ending and mark where it is absent."""

    def sure(self, path: Path, begin: bytes) -> float:
        """How sure it is that a file is of this format, 0 to 1."""
        if self.knows is not None:
            return self.knows(path, begin)
        marked = bool(self.magic) and begin.startswith(self.magic)
        return BY_MARK * marked + BY_ENDING * (path.suffix.lower() in self.endings)


FORMATS = (
    Format("npy", "NumPy array", (".npy",), b"\x93NUMPY", read_npy),
    Format("npz", "NumPy archive", (".npz",), b"PK\x03\x04", read_npz),
    Format("hdf5", "HDF5", (".h5", ".hdf5", ".hdf", ".nxs", ".mat"), b"\x89HDF\r\n\x1a\n", read_hdf5),
    Format("dectris", "master file of ARINA (DECTRIS)", ("_master.h5",), b"", read_dectris, dectris_sure),
    Format("fpd", "file of fpd", (".hdf5",), b"", read_fpd, fpd_sure),
    Format("emd", "EMD of py4DSTEM and Prismatic", (".emd", ".h5"), b"", read_emd, emd_sure),
    Format("cxi", "NXcxi_ptycho", (".cxi",), b"", read_cxi, cxi_sure),
    Format("fold_slice", "fold_slice's HDF5", (".h5", ".mat"), b"", read_fold_slice, fold_slice_sure),
    Format("empad", "EMPAD", (".raw", ".xml"), b"", read_empad, empad_sure),
    Format("empad-g2", "EMPAD-G2", (".raw",), b"", read_empad_g2, empad_g2_sure),
    Format("merlin", "Merlin", (".mib", ".hdr"), b"MQ1,", read_merlin, merlin_sure),
    Format("blockfile", "NanoMegas blockfile", (".blo",), b"IMGBLO", read_blockfile),
    Format("mrc", "MRC stack", (".mrc", ".mrcs"), b"", read_mrc, mrc_sure),
    Format("dm4", "DigitalMicrograph", (".dm4", ".dm3"), b"\x00\x00\x00\x04", read_dm),
    Format("tvips", "TVIPS", (".tvips",), b"", read_tvips),
    Format("tpx3", "Timepix3", (".tpx3",), b"TPX3", read_timepix3),
    Format("t3p", "hits of AdvaPIX", (".t3p",), b"", read_advapix),
    Format("tia", "TIA series", (".ser", ".emi"), b"II\x97\x01", read_tia),
    Format("hspy", "hyperspy file", (".hspy",), b"", read_hspy, lambda path, begin: float(path.suffix == ".hspy")),
    Format("zspy", "hyperspy folder", (".zspy",), b"", read_zspy),
    Format("phaser", "phaser's description", (".json",), b"", read_phaser, phaser_sure),
    Format("raw", "raw frames", (".raw", ".bin", ".dat"), b"", read_raw, lambda path, begin: 0.0),
)


def open_counts(path: str | os.PathLike[str], name: str | None = None, asked: Asked | None = None) -> Reader:
    """Open a file of counts, of which the description alone is read.

    Parameters
    ----------
    path : path
        Of a file; ``scan.h5:/entry/data`` names the array in it, where it holds several of four dimensions.
    name : str, optional
        Of the format; by default what the file looks like.
    asked : Asked, optional
        What the file does not say: scan shape, type of raw values.

    Returns
    -------
    Reader
        Of counts (scan_y, scan_x, ky, kx).

    Raises
    ------
    InputError
        If there is no such file, no format fits it, it is damaged or cut off, or it holds no such counts.
    """
    return opened(path, name, asked)[1]


def opened(path: str | os.PathLike[str], name: str | None = None, asked: Asked | None = None) -> tuple[Format, Reader]:
    """The same with the format that was found."""
    asked = asked or Asked()
    file, inside = _parted(arguments.path(path, "path"))
    if inside and asked.inside and inside != asked.inside:
        raise InputError(f"{path} names {inside!r}, and --dataset {asked.inside!r}: give one of them")
    form, doubt = _format_of(file, name, asked)
    try:
        reader = form.read(file, replace(asked, inside=inside or asked.inside))
    except InputError as error:
        if not doubt:
            raise
        raise InputError(f"{error}{doubt}") from None
    except Exception as error:  # a decoder that meets nonsense may raise anything
        raise InputError(
            f"{file} cannot be read as {form.about} ({first_line(error)}): copy or write it again{doubt}"
        ) from error
    if len(reader.shape) != 4 or min(reader.shape) < 1 or reader.dtype.kind not in "biuf":
        raise InputError(
            f"{path} holds {reader.dtype} of shape {tuple(reader.shape)}: give numbers of electrons (scan_y, scan_x,"
            " ky, kx)"
        )
    if asked.scan is not None and reader.shape[:2] != asked.scan and not asked.allow_partial:
        y, x = reader.shape[:2]
        raise InputError(f"{path} is a scan of {y} x {x}, not of {asked.scan[0]} x {asked.scan[1]}: leave --scan out")
    return form, reader


def _parted(path: Path) -> tuple[Path, str]:
    """A file, and a name inside it."""
    before, mark, inside = str(path).rpartition(":/")
    file, inside = (Path(before), inside) if mark and not path.exists() else (path, "")
    if not file.is_file() and not (file.is_dir() and file.suffix.lower() == ".zspy"):
        raise InputError(f"{file} is no file: give the path of a file of counts")
    return file, inside


def _format_of(file: Path, name: str | None, asked: Asked) -> tuple[Format, str]:
    """The one that was named, or else the one that is surest; and the end of a line where its name alone says so."""
    if name is not None:
        named = [form for form in FORMATS if form.name == arguments.text(name, "format", "a format's name").lower()]
        if not named:
            raise InputError(f"format {name!r} is not known: give {', '.join(form.name for form in FORMATS)}")
        return named[0], ""
    if asked.dtype is not None or asked.offset or asked.gap or asked.detector is not None:  # nobody else is told these
        return next(form for form in FORMATS if form.name == "raw"), ""
    begin = b""
    if file.is_file():
        with file.open("rb") as source:
            begin = source.read(BEGIN)
    sure = {form.name: form.sure(file, begin) for form in FORMATS}
    best = max(FORMATS, key=lambda form: sure[form.name])  # the first of equals
    if not sure[best.name]:
        known = ", ".join(f"{form.name} {' '.join(form.endings)} {sure[form.name]:.0%}" for form in FORMATS)
        raise InputError(
            f"{file} is in no format that is known by its ending or its first bytes ({known} sure): give --format, or"
            " --dtype and --scan for raw frames"
        )
    by_name = f"; it was taken for {best.about} by its name: give --format, or --dtype where it holds raw frames"
    return best, by_name if sure[best.name] < BY_MARK else ""
