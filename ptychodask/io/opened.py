"""What somebody did to a Dataset between opening and reconstructing it: selected rows, columns, a mask or positions of
their own are used; anything else cannot be, and is named."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from .._errors import InputError
from ..model.selection import Selection
from .dataset import DIMS, DatasetInfo, dataset_info, labelled
from .selected import select

SCAN = DIMS[:2]
READ_IF_THERE = ("thickness_angstrom", "specimen")
"""Attributes that a dataset may lack and that are read where it has them."""


@contextmanager
def asked_for(data: Any, path: str, whole: bool = True) -> Iterator[DatasetInfo]:
    """The description of what ``data``, a path or an opened Dataset, asks for of the dataset at ``path``.

    Own masks and positions are files that last as long as the context.

    Raises
    ------
    InputError
        If the Dataset was changed in a way that cannot be honoured: what was changed, and the remedy.
    """
    info = dataset_info(path, whole=whole)
    if not isinstance(data, xr.Dataset):
        yield info
        return
    with tempfile.TemporaryDirectory(prefix="ptychodask-selection-") as folder:
        yield select(info, selection_of(data, replace(info, path=path), Path(folder)))


def selection_of(data: xr.Dataset, info: DatasetInfo, folder: Path) -> Selection | None:
    """What is selected of the dataset that ``data`` was opened from; None for all of it as it is stored.

    Parameters
    ----------
    data : xarray.Dataset
        What :func:`ptychodask.open_dataset` returned, and what became of it.
    info : DatasetInfo
        The whole dataset.
    folder : Path
        Where to write a mask or positions that are not the stored ones.
    """
    stored = labelled(info)
    _check_form(data, stored, info.path)
    _check_attributes(data, stored, info.path)
    rows, columns = (_numbers(data, axis, n, info.path) for axis, n in zip(SCAN, info.scan_shape, strict=True))
    if not _same_counts(data["counts"], stored["counts"], rows, columns, info.path):
        raise _changed("counts", "they are not those of the store", info.path)
    mask = _own_mask(data["mask"], stored["mask"], info.path)
    part = stored["positions"].isel(scan_y=list(rows), scan_x=list(columns))
    positions = _own_positions(data["positions"], part, info.path)
    own = {name: values for name, values in (("mask", mask), ("positions", positions)) if values is not None}
    for name, values in own.items():
        np.save(folder / f"{name}.npy", values)
    if not own and (len(rows), len(columns)) == info.scan_shape and rows[0] <= rows[-1] and columns[0] <= columns[-1]:
        return None
    return Selection(rows, columns, *(str(folder / f"{n}.npy") if n in own else "" for n in ("mask", "positions")))


def _changed(what: str, how: str, path: str) -> InputError:
    return InputError(
        f"{what} of the Dataset opened from {path} cannot be used: {how}; select with isel and sel, set mask or"
        " positions, and write anything else as a new dataset with create_dataset"
    )


def _check_form(data: xr.Dataset, stored: xr.Dataset, path: str) -> None:
    """Refuse other variables, dimensions, types and detector axes."""
    for name in ("counts", "positions", "mask"):
        if name not in data.data_vars:
            raise _changed(name, "it was dropped or renamed", path)
        ours, theirs = data[name], stored[name]
        in_order = ours.dims == theirs.dims if name == "counts" else set(ours.dims) == set(theirs.dims)
        if not in_order:
            raise _changed(
                name, f"dimensions {ours.dims} are not {theirs.dims} (keep one row or column as isel(scan_y=[3]))", path
            )
        units = ours.attrs.get("units", theirs.attrs.get("units"))
        if units != theirs.attrs.get("units"):
            raise _changed(name, f"units {units!r} are not {theirs.attrs['units']!r}", path)
    if data["counts"].dtype != stored["counts"].dtype:
        raise _changed("counts", f"type {data['counts'].dtype} is not {stored['counts'].dtype}", path)
    for axis in DIMS[2:]:
        n, here = stored.sizes[axis], data.sizes[axis]
        if here != n:
            raise _changed("counts", f"{axis} was cut or binned to {here} of {n} pixels", path)
        if axis in data.coords and not np.array_equal(data[axis].values, stored[axis].values):
            raise _changed("counts", f"{axis} has other coordinates than the store", path)


def _check_attributes(data: xr.Dataset, stored: xr.Dataset, path: str) -> None:
    """Refuse a calibration that is not the store's: it is read there."""
    for name in (*stored.attrs, *(n for n in READ_IF_THERE if n in data.attrs)):
        if name == "path":
            continue
        if name not in data.attrs or name not in stored.attrs or not _equal(data.attrs[name], stored.attrs[name]):
            here, there = data.attrs.get(name, "missing"), stored.attrs.get(name, "missing")
            text = " ".join(f"it is {here!r} here and {there!r} in the store".split())
            raise _changed(f"attribute {name}", text[:200], path)


def _equal(one: Any, other: Any) -> bool:
    with suppress(ValueError):  # arrays of more than one number
        return bool(one == other)
    return np.array_equal(one, other)


def _numbers(data: xr.Dataset, axis: str, stored: int, path: str) -> tuple[int, ...]:
    """Numbers of rows or columns in the store, from the coordinate that ``open_dataset`` gave them."""
    count = data.sizes[axis]
    if count == 0:
        raise _changed(axis, "nothing is selected", path)
    if axis not in data.coords:
        if count != stored:
            raise _changed(axis, "its coordinate, the numbers in the stored scan, was dropped", path)
        return tuple(range(stored))
    values = np.asarray(data[axis].values)
    whole = values.dtype.kind in "iuf" and bool((values == np.rint(values)).all())
    if not whole or values.min() < 0 or values.max() >= stored:
        raise _changed(axis, f"its coordinate does not hold numbers of the stored scan, 0 to {stored - 1}", path)
    steps = np.diff(values.astype(np.int64))
    if not ((steps > 0).all() or (steps < 0).all()):
        raise _changed(axis, f"its numbers neither rise nor fall throughout (sortby('{axis}') helps)", path)
    return tuple(values.astype(int).tolist())


def _same_counts(
    ours: xr.DataArray, stored: xr.DataArray, rows: tuple[int, ...], columns: tuple[int, ...], path: str
) -> bool:
    """Are they the stored counts of these rows and columns?

    Dask names what is computed by how it is computed: counts that were only selected have the name that the same
    selection has here. Where the name is another one, their values are compared, chunk by chunk.
    """
    if isinstance(ours.data, da.Array) and any(_same_graph(ours, way) for way in _ways(stored, rows, columns)):
        return True
    one, other = da.asarray(ours.data), stored.isel(scan_y=list(rows), scan_x=list(columns)).data
    differ = one != other
    if one.dtype.kind == "f":
        differ = differ & ~(da.isnan(one) & da.isnan(other))
    try:
        return not differ.any().compute(scheduler="threads")
    except Exception as error:  # whatever the store or the caller's own graph raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise _changed("counts", f"they cannot be compared with those of the store ({reason})", path) from error


def _same_graph(ours: xr.DataArray, other: xr.DataArray) -> bool:
    """Same name, and computed from the same: values that somebody holds have the name alone."""
    if ours.chunks != other.chunks:
        other = other.chunk(ours.chunksizes)
    one, two = ours.data, other.data
    return one.name == two.name and set(one.dask.layers) == set(two.dask.layers)


def _ways(stored: xr.DataArray, rows: tuple[int, ...], columns: tuple[int, ...]) -> Iterator[xr.DataArray]:
    """The usual ways to select them."""
    y_ways, x_ways = (_indexers(n, stored.sizes[axis]) for n, axis in zip((rows, columns), SCAN, strict=True))
    for y in y_ways:
        for x in x_ways:
            yield stored.isel(scan_y=y, scan_x=x)
            yield stored.isel(scan_y=y).isel(scan_x=x)
            yield stored.isel(scan_x=x).isel(scan_y=y)


def _indexers(numbers: tuple[int, ...], stored: int) -> list[Any]:
    """Slices and lists that give these numbers."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if numbers == tuple(range(stored)):
        return [slice(None)]
    if step < 0 or numbers != tuple(range(numbers[0], numbers[-1] + 1, step)):
        return [np.array(numbers)] + ([slice(None, None, -1)] if numbers[::-1] == tuple(range(stored)) else [])
    stops = dict.fromkeys((min(numbers[-1] + step, stored), numbers[-1] + 1))
    return [*(slice(numbers[0], stop, step) for stop in stops), np.array(numbers)]


def _own_mask(ours: xr.DataArray, stored: xr.DataArray, path: str) -> np.ndarray | None:
    """A mask (ky, kx) that is not the stored one."""
    values = np.asarray(ours.transpose(*stored.dims).values)
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise _changed("mask", "it holds something else than finite numbers (0 leaves a pixel out)", path)
    if not values.any():
        raise _changed("mask", "it excludes every detector pixel (0 leaves a pixel out)", path)
    used = (values != 0).astype(np.uint8)
    return None if np.array_equal(used, stored.values != 0) else used


def _own_positions(ours: xr.DataArray, stored: xr.DataArray, path: str) -> np.ndarray | None:
    """Positions (scan_y, scan_x, axis) in angstrom that are not the stored ones."""
    if "axis" in ours.coords:
        if sorted(ours["axis"].values.tolist()) != ["x", "y"]:
            raise _changed("positions", f"axis is {ours['axis'].values.tolist()} and not ['y', 'x']", path)
        ours = ours.sel(axis=["y", "x"])
    values = np.asarray(ours.transpose(*stored.dims).values)
    if values.shape != stored.shape or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise _changed("positions", "they are not two finite numbers, y and x in angstrom, for every pattern", path)
    return None if np.array_equal(values, stored.values) else values.astype(np.float64)
