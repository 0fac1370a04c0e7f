"""What a file of counts is to us, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .._errors import InputError

CALIBRATION = ("energy_ev", "semi_angle_mrad", "defocus_angstrom", "angular_step_mrad", "scan_step_angstrom")
"""What :attr:`Reader.metadata` may hold: arguments of ``create_dataset``, each with its unit in its name."""


class Reader(Protocol):
    """An open file; opening reads its description only."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(scan_y, scan_x, ky, kx)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of the counts, as they are stored."""
        ...

    @property
    def together(self) -> int:
        """Scan rows that the file stores together: read so, nothing is unpacked twice."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the file says of :data:`CALIBRATION`; what it does not say is absent."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for people: what was not read, what takes long."""
        ...

    def rows(self, low: int, high: int) -> np.ndarray:
        """Counts (high - low, scan_x, ky, kx) of scan rows ``low`` to ``high - 1``, and nothing else of the file."""
        ...


@dataclass(frozen=True)
class Sliced:
    """A reader of what is sliced from the file as it is: a memory map, an HDF5 dataset."""

    array: Any
    together: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def rows(self, low: int, high: int) -> np.ndarray:
        return np.asarray(self.array[low:high])


@dataclass(frozen=True)
class FileCounts:
    """The counts of a reader as an array that ``create_dataset`` takes; a row of the scan is read in its turn.

    Examples
    --------
    >>> reader = open_counts("scan.h5")
    >>> ptychodask.create_dataset("scan.zarr", FileCounts(reader), **reader.metadata)
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
        """What is read together: whole rows of the scan."""
        return (self.reader.together, *self.shape[1:])

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        rows, columns = box
        low, high, _ = rows.indices(self.shape[0])
        return self.reader.rows(low, high)[:, columns]


def chosen(path: Path, inside: str, shapes: Mapping[str, Sequence[int]]) -> str:
    """Which array of a file is meant: the one that is named, or the only one with four dimensions.

    Parameters
    ----------
    path : Path
        Of the file.
    inside : str
        A name in it, or nothing.
    shapes : mapping
        Of the arrays in the file, by their names.

    Raises
    ------
    InputError
        If there is no such array, or none or several could be meant: which there are.
    """
    if inside in shapes:
        return inside
    fitting = [name for name, shape in shapes.items() if len(shape) == 4]
    if len(fitting) == 1 and not inside:
        return fitting[0]
    held = ", ".join(f"{name} {tuple(shape)}" for name, shape in list(shapes.items())[:8]) or "no arrays"
    why = f"has no array {inside!r}" if inside else f"has {len(fitting)} arrays of counts (scan_y, scan_x, ky, kx)"
    raise InputError(f"{path} {why}, it holds {held}: name one, as {path}:/{fitting[0] if fitting else 'name'}")
