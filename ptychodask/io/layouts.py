"""Results in the files of other programs: MRC, OME-Zarr, and HDF5 as py4DSTEM and PtyRAD read it.

Rows are in our order, row 0 first, in all of them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from .._errors import InputError
from .atomic import check_output, writing
from .export import need_h5py, real_image, spacing
from .kinds import HDF5, MRC, PHASE
from .stores import writable

Axis = tuple[str, float, float, str]
"""Name, first value, step, unit."""


def export_mrc(
    phase: xr.DataArray, path: str | os.PathLike[str], *, depth: float = 1.0, overwrite: bool = False
) -> Path:
    """Write an image [y, x], or a stack [slice, y, x], as MRC 2014 with float32 values and its cell in angstrom.

    IMOD and ChimeraX draw the first row at the bottom; mrcfile and Fiji on top.

    Parameters
    ----------
    phase : DataArray
        Real, coordinates in angstrom.
    path : path-like
    depth : float
        Angstrom between slices.
    overwrite : bool
        Replace an existing file.
    """
    target = check_output(path, MRC, overwrite)
    phase, values = real_image(phase)
    (y0, dy), (x0, dx) = spacing(phase, "y"), spacing(phase, "x")
    values = values.reshape(-1, *values.shape[-2:]).astype("<f4")
    nz, ny, nx = values.shape
    header = np.zeros(256, "<i4")
    floats = header.view("<f4")
    header[[0, 1, 2, 3]] = nx, ny, nz, 2
    header[[7, 8, 9]] = nx, ny, nz
    floats[10:16] = nx * dx, ny * dy, nz * depth, 90, 90, 90
    header[16:19] = 1, 2, 3
    floats[19:22] = values.min(), values.max(), values.mean()
    header[27] = 20140
    floats[49:52] = x0, y0, 0
    header[52] = int.from_bytes(b"MAP ", "little")
    header[53] = int.from_bytes(b"\x44\x44\x00\x00", "little")
    floats[54] = values.std()
    header[55] = 1
    label = f"ptychodask {metadata.version('ptychodask')}: phase in rad".ljust(80).encode("ascii")
    with writing(path, MRC, overwrite) as part:
        part.write_bytes(header.tobytes()[:224] + label + bytes(1024 - 224 - 80) + values.tobytes())
    return target


def export_zarr(
    phase: xr.DataArray, path: str | os.PathLike[str], *, depth: float | None = None, overwrite: bool = False
) -> Path:
    """Write an image [y, x], or a stack [slice, y, x], as OME-Zarr 0.5 (Zarr 3), one level with scale and place.

    Parameters
    ----------
    phase : DataArray
        Real, coordinates in angstrom.
    path : path-like
        Of the folder.
    depth : float, optional
        Angstrom between slices; unknown: their number, without a unit.
    overwrite : bool
        Replace an existing one.
    """
    target = check_output(path, PHASE, overwrite)
    phase, values = real_image(phase)
    values = values.astype(np.float32)
    axes: list[Axis] = [(name, *spacing(phase, name), "angstrom") for name in ("y", "x")]
    if values.ndim == 3:
        axes.insert(0, ("z", 0.0, depth or 1.0, "angstrom" if depth else ""))
    named = [{"name": n, "type": "space", **({"unit": unit} if unit else {})} for n, _, _, unit in axes]
    moves = [
        {"type": "scale", "scale": [step for _, _, step, _ in axes]},
        {"type": "translation", "translation": [first for _, first, _, _ in axes]},
    ]
    multiscale = {"name": "phase", "axes": named, "datasets": [{"path": "0", "coordinateTransformations": moves}]}
    attributes = {"schema": f"{PHASE.schema}1", "ome": {"version": "0.5", "multiscales": [multiscale]}, "units": "rad"}
    with writing(path, PHASE, overwrite) as part, writable(part, new=True) as store:
        group = zarr.create_group(store, zarr_format=3, attributes=attributes)
        chunks = tuple(min(n, 1024) for n in values.shape)
        array = group.create_array("0", data=values, chunks=chunks, dimension_names=[name for name, *_ in axes])
        array.attrs["units"] = "rad"
    return target


def export_py4dstem(
    arrays: Mapping[str, xr.DataArray],
    facts: Mapping[str, float],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write arrays as EMD 1.0, which ``py4DSTEM.read`` and ``emdfile.read`` open as a tree of calibrated arrays.

    Parameters
    ----------
    arrays : mapping of DataArray
    facts : mapping of float
        Kept as metadata of the root.
    path : path-like
    overwrite : bool
        Replace an existing file.

    Notes
    -----
    The layout is that of the EMD 1.0 specification (groups with ``emd_group_type``, ``data`` and ``dim0, dim1, ...``).
    """
    h5py = need_h5py()
    target = check_output(path, HDF5, overwrite)
    with writing(path, HDF5, overwrite) as part, h5py.File(part, "w") as file:
        file.attrs.update(
            emd_group_type="file", version_major=1, version_minor=0, authoring_user="", UUID=str(uuid.uuid4())
        )
        file.attrs["authoring_program"] = f"ptychodask {metadata.version('ptychodask')}"
        root = file.create_group("ptychodask")
        root.attrs.update(emd_group_type="root", python_class="Root")
        bundle = root.create_group("metadatabundle")
        bundle.attrs["emd_group_type"] = "metadatabundle"
        kept = bundle.create_group("reconstruction")
        kept.attrs.update(emd_group_type="metadata", python_class="Metadata")
        for name, value in facts.items():
            kept.create_dataset(name, data=float(value)).attrs["type"] = "number"
        for name, array in arrays.items():
            group = root.create_group(name)
            group.attrs.update(emd_group_type="array", python_class="Array")
            group.create_dataset("data", data=array.values).attrs["units"] = str(array.attrs.get("units", ""))
            for i, dimension in enumerate(map(str, array.dims)):
                known = array.coords.get(dimension)
                numeric = known is not None and known.dtype.kind in "fiu" and known.size > 1
                values = np.asarray(known)[:2] if known is not None and numeric else np.arange(2)
                scale = group.create_dataset(f"dim{i}", data=values)
                unit = str(known.attrs.get("units", "pixels")) if known is not None and numeric else "pixels"
                scale.attrs.update(name=dimension, units="A" if unit == "angstrom" else unit)
    return target


def export_ptyrad(
    object_: xr.DataArray,
    probe: xr.DataArray,
    positions: np.ndarray,
    facts: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write object, probe and positions where a reconstruction of PtyRAD (1.0, HDF5) has them: its start, or its plots.

    Parameters
    ----------
    object_ : DataArray [slice, y, x]
        Phase in rad, or complex with modulus ``exp(-Im)``.
    probe : DataArray [mode, probe_y, probe_x]
    positions : array [scan_y, scan_x, 2]
        Angstrom (y, x) in the frame of the object.
    facts : mapping
        ``wavelength_angstrom`` and ``slice_thickness_angstrom``, which may be 0.
    path : path-like
    overwrite : bool
        Replace an existing file.

    Notes
    -----
    ``optimizable_tensors``: ``obja``, ``objp`` (mode, slice, y, x), ``probe``, ``obj_tilts``, ``slice_thickness``,
    ``probe_pos_shifts`` (position, 2) in pixels from ``model_attributes/crop_pos``, the first pixel of every window.
    """
    h5py = need_h5py()
    target = check_output(path, HDF5, overwrite)
    values = np.asarray(object_.values)
    (y0, dy), (x0, dx) = spacing(object_, "y"), spacing(object_, "x")
    n = probe.sizes["probe_y"]
    rows, columns = positions.shape[:2]
    pixels = (positions.reshape(-1, 2) - (y0, x0)) / (dy, dx) - n // 2
    corners = np.rint(pixels).astype(np.int32)
    thickness = float(facts["slice_thickness_angstrom"])
    tensors = {
        "obja": np.exp(-values.imag)[None].astype(np.float32),
        "objp": values.real[None].astype(np.float32),
        "obj_tilts": np.zeros((1, 2), np.float32),
        "slice_thickness": np.float32(thickness),
        "probe": probe.values.astype(np.complex64),
        "probe_pos_shifts": (pixels - corners).astype(np.float32),
    }
    about = {
        "N_scan_slow": rows, "N_scan_fast": columns, "crop_pos": corners, "slice_thickness": np.float32(thickness),
        "dx": np.float32(dx), "dk": np.float32(1 / (n * dx)), "lambd": np.float32(facts["wavelength_angstrom"]),
        "omode_occu": np.ones(1, np.float32), "probe_int_sum": np.float32((np.abs(probe.values) ** 2).sum()),
    }  # fmt: skip
    with writing(path, HDF5, overwrite) as part, h5py.File(part, "w") as file:
        for group, content in (("optimizable_tensors", tensors), ("model_attributes", about)):
            for name, value in content.items():
                file.create_dataset(f"{group}/{name}", data=value)
        file.attrs["source"] = f"ptychodask {metadata.version('ptychodask')}"
    return target


def refuse_layout(layout: str) -> None:
    """One line for a layout that nobody knows."""
    raise InputError(f"layout = {layout!r}: use ptychodask, py4dstem or ptyrad")
