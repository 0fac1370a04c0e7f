"""A dataset in an HDF5 file; its attributes that are called like a calibration are its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .reader import CALIBRATION, Reader, Sliced, chosen


def read_hdf5(path: Path, inside: str) -> Reader:
    """The dataset at ``inside``, whose file stays open as long as somebody has the reader."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path} is read by h5py: pip install 'ptychodask[formats]'") from error

    file = h5py.File(path, "r")
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    if isinstance(linked := file.get(inside) if inside else None, h5py.Dataset):
        found[inside] = linked  # visits do not follow links
    name = chosen(path, inside, {name: item.shape or () for name, item in found.items()})
    data = found[name]
    metadata = {fact: np.asarray(data.attrs[fact]).tolist() for fact in CALIBRATION if fact in data.attrs}
    others = [other for other in found if other != name]
    return Sliced(data, (data.chunks or (1,))[0], metadata, (f"not read: {', '.join(others)}",) if others else ())
