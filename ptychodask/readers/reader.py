"""What a file of counts is to us, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from .._errors import InputError

CALIBRATION = ("energy_ev", "semi_angle_mrad", "defocus_angstrom", "angular_step_mrad", "scan_step_angstrom")
"""What :attr:`About.metadata` may hold: arguments of ``create_dataset``, each with its unit in its name."""
FURTHER = ("reciprocal_step_per_angstrom", "gain_adu")
"""And what becomes one of them: the step of the detector as a spatial frequency, ADU per electron."""
Span = tuple[int, int]
"""From the first to the one after the last."""


@dataclass(frozen=True)
class Asked:
    """What a person says of a file, which it may not say itself.

    Parameters
    ----------
    scan : (int, int), optional
        Positions (y, x).
    inside : str
        Which array of the file.
    dtype : str, optional
        Of raw values, as NumPy writes it: ``<u2``, ``float32``.
    offset, gap : int
        Bytes before the first raw frame, and between two of them.
    detector : (int, int), optional
        Pixels (ky, kx) of a raw frame.
    tables : Path, optional
        Folder of gains and offsets of a detector whose raw values need them.
    dark : Path, optional
        A scan without beam by that detector.
    dwell_us : float, optional
        Microseconds per position, of a detector that records times.
    allow_partial : bool
        Take a file that ends too early as far as it goes.
    growing : int, optional
        Of a file that somebody still writes, the frames that were there when it was looked at: its scan is whole, and
        frames that are not there are read as 0.
    """

    scan: tuple[int, int] | None = None
    inside: str = ""
    dtype: str | None = None
    offset: int = 0
    gap: int = 0
    detector: tuple[int, int] | None = None
    tables: Path | None = None
    dark: Path | None = None
    dwell_us: float | None = None
    allow_partial: bool = False
    growing: int | None = None


@dataclass(frozen=True)
class About:
    """What a file says beside its counts.

    Parameters
    ----------
    metadata : mapping
        Of :data:`CALIBRATION` and :data:`FURTHER`; what the file does not say is absent.
    notes : tuple of str
        Lines for people: what was not read, how other packages treat the format.
    unit : str
        ``electron`` where a detector counts, ``ADU`` where it measures; empty where nobody knows.
    most : float, optional
        The largest count that can be stored: electrons are lost there.
    missing : int
        Frames at the end of the scan that the file lacks, and that are read as 0.
    in_order : bool
        Are rows cheap to read in their order only?
    used : bool array [ky, kx], optional
        Pixels that the file says count; all of them by default.
    positions : float array (scan_y, scan_x, 2), optional
        Probe centres (y, x) in angstrom that are no raster.
    scan : (int, int), optional
        Positions (y, x) that the file says, also where others were asked for.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unit: Literal["electron", "ADU", ""] = ""
    most: float | None = None
    missing: int = 0
    in_order: bool = False
    used: np.ndarray | None = field(default=None, compare=False)
    positions: np.ndarray | None = field(default=None, compare=False)
    scan: tuple[int, int] | None = None


class Reader(Protocol):
    """A file whose description was read, and no counts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(scan_y, scan_x, ky, kx), patterns in the order of rows and columns in which the file stores them."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of the counts that :meth:`read` gives, in the byte order of this machine."""
        ...

    @property
    def chunk(self) -> tuple[int, int]:
        """Scan positions (y, x) that the file stores together: read so, nothing is unpacked twice."""
        ...

    @property
    def about(self) -> About:
        """What the file says beside its counts."""
        ...

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        """Counts [rows, columns, ky, kx] of a box of the scan, and nothing else of the file."""
        ...


@dataclass(frozen=True)
class Sliced:
    """A reader of what is sliced as it is, such as an HDF5 dataset: of four dimensions, or of three with a scan.

    Parameters
    ----------
    array : array (scan_y, scan_x, ky, kx) or (frames, ky, kx)
    scan : (int, int), optional
        Positions (y, x) of the frames of three dimensions.
    chunk : (int, int)
    about : About
    """

    array: Any
    scan: tuple[int, int] | None = None
    chunk: tuple[int, int] = (1, 1)
    about: About = field(default_factory=About)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*(self.scan or self.array.shape[:2]), *self.array.shape[-2:])

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype.newbyteorder("=")

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        if self.array.ndim == 4:
            return np.asarray(self.array[slice(*rows), slice(*columns)], self.dtype)
        found = np.zeros((rows[1] - rows[0], columns[1] - columns[0], *self.shape[2:]), self.dtype)
        for y, row in enumerate(found, rows[0]):
            part = np.asarray(self.array[y * self.shape[1] + columns[0] : y * self.shape[1] + columns[1]])
            row[: len(part)] = part  # less where frames are missing
        return found


@dataclass(frozen=True)
class FileCounts:
    """The counts of a reader as an array that ``create_dataset`` takes; a piece of the scan is read in its turn.

    Examples
    --------
    >>> reader = open_counts("scan.h5")
    >>> ptychodask.create_dataset("scan.zarr", FileCounts(reader), **reader.about.metadata)
    """

    reader: Reader
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        return self.reader.shape

    @property
    def dtype(self) -> np.dtype:
        return self.reader.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """What is read together."""
        return (*self.reader.chunk, *self.shape[2:])

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        (y0, y1, _), (x0, x1, _) = (part.indices(n) for part, n in zip(box, self.shape, strict=False))
        return self.reader.read((y0, y1), (x0, x1))


def chosen(path: Path, inside: str, shapes: Mapping[str, Sequence[int]], dimensions: tuple[int, ...] = (4,)) -> str:
    """Which array of a file is meant: the one that is named, or the only one with so many dimensions.

    Parameters
    ----------
    path : Path
        Of the file.
    inside : str
        A name in it, or nothing.
    shapes : mapping
        Of the arrays in the file, by their names.
    dimensions : tuple of int
        Of counts; three where a scan shape is given.

    Raises
    ------
    InputError
        If there is no such array, or none or several could be meant: which there are.
    """
    if inside in shapes:
        return inside
    fitting = [name for name, shape in shapes.items() if len(shape) in dimensions]
    if len(fitting) == 1 and not inside:
        return fitting[0]
    held = ", ".join(f"{name} {tuple(shape)}" for name, shape in list(shapes.items())[:8]) or "no arrays"
    why = f"has no array {inside!r}" if inside else f"has {len(fitting)} arrays of counts (scan_y, scan_x, ky, kx)"
    raise InputError(f"{path} {why}, it holds {held}: name one, as {path}:/{fitting[0] if fitting else 'name'}")
