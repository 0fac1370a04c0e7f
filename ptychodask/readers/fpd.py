"""Files of the fpd package: Merlin data of five axes (scan_y, scan_x, colour, ky, kx)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .emd import axes_of
from .hdf5 import read_hdf5
from .hdf5_files import dataset, open_hdf5, sure
from .reader import About, Asked, Reader, Sliced
from .rosetta import calibration

NAME = "fpd_data/data"


def fpd_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one."""
    return sure(path, begin, lambda file: bool(_group(file)))


def read_fpd(path: Path, asked: Asked) -> Reader:
    """The counts of the first colour (counter of the detector)."""
    if asked.inside:
        return read_hdf5(path, asked)
    file = open_hdf5(path)
    group = file[f"{_group(file)}/fpd_data"]
    data = dataset(path, group, "data")
    axes = axes_of(group, data.ndim)
    facts = calibration([*axes[:2], *axes[-2:]], asked.scan)
    colours = data.shape[2]
    notes = (f"not read: {colours - 1} of {colours} colours; the first is",) if colours > 1 else ()
    if data.ndim != 5:
        raise ValueError(f"{data.name} has {data.ndim} axes, not 5")
    return Sliced(Colour(data), None, (data.chunks or (1, 1))[:2], About(facts, notes, "electron"))


@dataclass(frozen=True)
class Colour:
    """The first colour (scan_y, scan_x, ky, kx) of data of five axes."""

    data: Any
    ndim = 4

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.data.shape[:2], *self.data.shape[3:])

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        return self.data[box[0], box[1], 0]


def _group(file: Any) -> str:
    """The experiment in a file, or nothing."""
    return next((name for name in file if f"{name}/{NAME}" in file and file[f"{name}/{NAME}"].ndim == 5), "")
