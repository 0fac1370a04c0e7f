"""A dataset in an HDF5 file; its attributes that are called like a calibration are its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .reader import CALIBRATION, About, Asked, Reader, Sliced, chosen
from .scans import a_scan


def read_hdf5(path: Path, asked: Asked) -> Reader:
    """The dataset that was asked for, whose file stays open as long as somebody has the reader."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} is read by h5py: pip install 'ptychodask[formats]'") from error

    file = h5py.File(path, "r")
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    if isinstance(linked := file.get(asked.inside) if asked.inside else None, h5py.Dataset):
        found[asked.inside] = linked  # visits do not follow links
    shapes = {name: item.shape or () for name, item in found.items()}
    name = chosen(path, asked.inside, shapes, (4,) if asked.scan is None else (3, 4))
    data = found[name]
    metadata = {fact: np.asarray(data.attrs[fact]).tolist() for fact in CALIBRATION if fact in data.attrs}
    others = [other for other in found if other != name]
    about = About(metadata, (f"not read: {', '.join(others)}",) if others else ())
    if data.ndim == 3:
        scan, _ = a_scan(path, len(data), asked.scan, None, False)
        return Sliced(data, scan, (1, scan[1]), about)
    return Sliced(data, None, (data.chunks or (1, 1))[:2], about)
