"""The truth of a dataset: what may be given as one, which :func:`ptychodask.read_truth` reads, and its writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .. import _arguments as arguments
from .._errors import InputError
from .described.dataset import TRUTH_AXES, TRUTH_TYPES
from .stored import checked_encoding
from .stores import writable

WANTED = "give an xarray.Dataset with phase (y, x) in rad, on coordinates y and x in angstrom"


def a_truth(truth: Any) -> xr.Dataset | None:
    """The argument ``truth``, if it can be one; values are not looked at.

    Raises
    ------
    InputError
        For another kind of object, or where the phase or its coordinates are missing or of another kind.
    """
    if truth is None:
        return None
    if not isinstance(truth, xr.Dataset):
        remedy = ", as its to_dataset(name='phase') is" if isinstance(truth, xr.DataArray) else ""
        raise InputError(f"truth = {arguments.shown(truth)}: {WANTED}{remedy}")
    for name, dims, types in (("phase", ("y", "x"), TRUTH_TYPES), ("y", ("y",), TRUTH_AXES), ("x", ("x",), TRUTH_AXES)):
        if name not in truth.variables:
            raise InputError(f"truth has no {name}, but {', '.join(map(str, truth.variables)) or 'nothing'}: {WANTED}")
        found = truth.variables[name]
        if found.dims != dims:
            raise InputError(f"truth: {name} has dimensions {found.dims}, expected {dims}: {WANTED}")
        if str(found.dtype) not in types:
            raise InputError(f"truth: {name} is {found.dtype}, expected {' or '.join(types)}: {WANTED}")
    for other, found in truth.variables.items():
        if np.dtype(found.dtype).kind == "O":
            raise InputError(f"truth: {other} holds Python objects, which are not stored: give numbers or text")
    return truth


def write_truth(path: Path, truth: xr.Dataset) -> None:
    """Add the ground truth as the group ``truth``."""
    truth = truth.drop_encoding()
    how: Any = {"consolidated": False, "zarr_format": 3, "write_empty_chunks": True}
    with writable(path) as store:
        truth.to_zarr(store, group="truth", mode="a", encoding=checked_encoding(truth), **how)
