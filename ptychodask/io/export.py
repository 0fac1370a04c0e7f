"""Results for other programs: 32-bit TIFF with a scale, and HDF5 with dimension scales.

TIFF goes through Pillow, which matplotlib brings. The scale is written the way ImageJ does (resolution tags
in pixels per unit, the unit in the description), which Fiji, HyperSpy, tifffile and DigitalMicrograph's
importers read.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import InputError
from .._tables import counted
from .._text import printable
from .atomic import check_output, writing
from .kinds import HDF5, TIFF

if TYPE_CHECKING:
    import xarray as xr

_LONGEST_TEXT = 15_000
"""Characters of an attribute, which takes at most 64 KiB."""
_ANGSTROM = {"angstrom", "angstroms", "å", "a"}
_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296


def export_tiff(phase: xr.DataArray, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write an image, or a stack of slices, as float32 TIFF with its pixel size in angstrom.

    Row 0 of the array is the first of the file, which viewers show on top, as the report does.

    Parameters
    ----------
    phase : DataArray [y, x] or [slice, y, x]
        Real. ``y`` and ``x`` are evenly spaced coordinates in angstrom; an evenly spaced leading coordinate
        becomes the distance of the slices.
    path : path-like
        Ends in ``.tif`` or ``.tiff``.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        For a complex array, other dimensions, coordinates that are absent, uneven or in another unit, and an
        output that exists or cannot be written.
    """
    from PIL import Image, TiffImagePlugin

    target = check_output(path, TIFF, overwrite)
    phase, values = real_image(phase)
    (y0, dy), (x0, dx) = spacing(phase, "y"), spacing(phase, "x")
    values = np.asarray(values, dtype=np.float32)
    pages = values.reshape(-1, *values.shape[-2:])

    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    # origin: the pixel where the coordinate is 0; min and max: the grey levels that a viewer starts with
    lines = ["ImageJ=1.53t", "unit=angstrom", f"min={low!r}", f"max={high!r}"]
    lines += [f"xorigin={-x0 / dx:.6g}", f"yorigin={-y0 / dy:.6g}"]
    if phase.ndim == 3:
        lines[1:1] = [f"images={len(pages)}", f"slices={len(pages)}"]
        leading = str(phase.dims[0])
        if leading in phase.coords and len(pages) > 1:
            lines.append(f"spacing={spacing(phase, leading)[1]!r}")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[_DESCRIPTION] = "\n".join(lines) + "\n"
    tags[_X_RESOLUTION], tags[_Y_RESOLUTION] = 1 / dx, 1 / dy
    tags[_RESOLUTION_UNIT] = 1  # none of inch and centimetre: the description names the unit
    images = [Image.fromarray(page) for page in pages]
    with writing(path, TIFF, overwrite) as part:
        images[0].save(part, format="TIFF", tiffinfo=tags, save_all=True, append_images=images[1:])
    return target


def real_image(phase: xr.DataArray) -> tuple[xr.DataArray, np.ndarray]:
    """An image [y, x] or a stack of them, rows and columns last, and its values; :class:`InputError` for all else."""
    if not {"y", "x"} <= set(phase.dims) or phase.ndim not in (2, 3) or phase.size == 0:
        raise InputError(f"an array with dimensions {tuple(phase.dims)} is no image: use (y, x) or (slice, y, x)")
    if np.iscomplexobj(phase):
        raise InputError("images hold real numbers but the array is complex: export its phase, or use HDF5")
    phase = phase.transpose(..., "y", "x")
    return phase, np.asarray(phase.values)


def need_h5py() -> Any:
    """The module, or one line that says how to get it."""
    try:
        import h5py
    except ImportError as error:
        raise InputError("HDF5 export needs h5py: pip install 'ptychodask[formats]'") from error
    return h5py


def export_hdf5(
    arrays: Mapping[str, xr.DataArray],
    attrs: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write named arrays as HDF5 in which every axis has a dimension scale with units.

    Coordinates that several arrays share are stored once; where they differ the scale is called
    ``<array>_<dimension>``. A dimension without a coordinate gets its index. Complex numbers are stored as
    the compound (r, i) that h5py and MATLAB's readers know.

    Parameters
    ----------
    arrays : mapping of DataArray
    attrs : mapping
        Attributes of the file; what HDF5 cannot hold, such as a nested mapping, is stored as JSON.
    path : path-like
        Ends in ``.h5`` or ``.hdf5``.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If h5py is not installed, or the output exists or cannot be written.
    """
    h5py = need_h5py()
    target = check_output(path, HDF5, overwrite)
    with writing(path, HDF5, overwrite) as part, h5py.File(part, "w") as file:
        for key, value in attrs.items():
            file.attrs[str(key)] = _attribute(value)
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=_storable(array.values))
            for key, value in array.attrs.items():
                dataset.attrs[str(key)] = _attribute(value)
            for axis, dimension in enumerate(map(str, array.dims)):
                dataset.dims[axis].label = dimension
                dataset.dims[axis].attach_scale(_scale(file, name, array, dimension, set(arrays)))
    return target


def _scale(file: Any, name: str, array: xr.DataArray, dimension: str, taken: set[str]) -> Any:
    """The scale of one axis: an existing one of the same numbers and units, or a new one."""
    if dimension in array.coords:
        values = _storable(array.coords[dimension].values)
        extra = dict(array.coords[dimension].attrs)
        extra.setdefault("units", "unknown")
    else:
        values, extra = np.arange(array.sizes[dimension]), {"units": "1"}
    for label in (dimension, f"{name}_{dimension}"):
        if label in file and label not in taken:
            found = file[label]
            same = found.shape == values.shape and np.array_equal(found[()], values)
            if same and found.attrs["units"] == extra["units"]:
                return found
        elif label not in taken:
            break
    scale = file.create_dataset(label, data=values)
    for key, value in extra.items():
        scale.attrs[str(key)] = _attribute(value)
    scale.make_scale(dimension)
    return scale


def spacing(array: xr.DataArray, dimension: str) -> tuple[float, float]:
    """First value and step in angstrom of an evenly spaced coordinate."""
    if dimension not in array.coords:
        raise InputError(f"the array has no coordinate {dimension!r}: give it in angstrom")
    coordinate = array.coords[dimension]
    units = str(coordinate.attrs.get("units", "angstrom"))
    if units.lower() not in _ANGSTROM:
        raise InputError(f"coordinate {dimension!r} is in {units!r}: convert it to angstrom")
    values = np.asarray(coordinate.values, dtype=np.float64)
    if len(values) < 2:
        raise InputError(f"coordinate {dimension!r} has {counted(len(values), 'value')}: a scale needs at least 2")
    step = (values[-1] - values[0]) / (len(values) - 1)
    if not (math.isfinite(step) and step > 0) or not np.allclose(np.diff(values), step, rtol=1e-3):
        raise InputError(f"coordinate {dimension!r} is not evenly spaced and rising: resample it first")
    return float(values[0]), float(step)


def _storable(values: np.ndarray) -> np.ndarray:
    """As an array that HDF5 holds; text and dates become variable-length strings."""
    values = np.asarray(values)
    if values.dtype.kind in "biufc":
        return values
    import h5py

    return values.astype(str).astype(h5py.string_dtype())


def _attribute(value: Any) -> Any:
    """A value that HDF5 holds as an attribute: numbers, text without control characters, the rest as JSON."""
    if isinstance(value, str):
        return printable(value, _LONGEST_TEXT)
    if isinstance(value, bool | int | float | complex | np.generic) and _fits_hdf5(value):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(item, int | float) and _fits_hdf5(item) for item in value)
    ):
        return np.asarray(value)
    text = json.dumps(dict(value) if isinstance(value, Mapping) else value, default=str, ensure_ascii=False)
    return printable(text, _LONGEST_TEXT)


def _fits_hdf5(value: Any) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63
