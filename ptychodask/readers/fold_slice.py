"""What fold_slice (MATLAB) exchanges: frames ``dp`` and positions ``ppX``, ``ppY`` in angstrom."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .hdf5 import read_hdf5
from .hdf5_files import dataset, open_hdf5, said, sure
from .positions import with_positions
from .reader import About, Asked, Reader

NAMES = ("dp", "ppX", "ppY")
NOTE = "MATLAB, and so fold_slice, has rows and columns of the file's patterns exchanged: --transpose does that"


def fold_slice_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one."""
    return sure(path, begin, lambda file: all(name in file for name in NAMES))


def read_fold_slice(path: Path, asked: Asked) -> Reader:
    """The frames with their positions."""
    if asked.inside:
        return read_hdf5(path, asked)
    file = open_hdf5(path)
    data = dataset(path, file, "dp")
    x, y = (np.ravel(said(file, name)).astype(float) for name in NAMES[1:])
    if len(x) != len(y):
        raise ValueError(f"{len(x)} ppX and {len(y)} ppY")
    return with_positions(path, data, np.stack([y, x], axis=1), asked, About({}, (NOTE,)))
