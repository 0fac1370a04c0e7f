"""Open a dataset: lazily for people (xarray), block by block for the engine, see
:mod:`ptychodask.io.source`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from .. import _arguments as arguments
from .._errors import InputError
from .._tables import Row
from .._text import printable
from ..model.optics import Microscope
from ..model.scan import Detector, scan_step
from ..model.selection import Selection
from .address import Store, located, store_at
from .described.dataset import DIMS, SCHEMA, DatasetArrays, DatasetAttributes, TruthArrays
from .described.store import ArrayDocument, GroupDocument
from .documents import Damage, described, told
from .reading import array_at, arrays_in, check_files, check_size, open_group, read_values, root_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "DIMS",
    "SCHEMA",
    "DatasetInfo",
    "dataset_facts",
    "dataset_info",
    "documents_of",
    "labelled",
    "open_dataset",
    "placed",
    "read_mask",
    "read_positions",
    "read_truth",
]

_REMEDY = "copy or write the dataset again"


@dataclass(frozen=True)
class DatasetInfo:
    """Everything about a dataset but its counts."""

    path: str
    microscope: Microscope
    detector: Detector
    scan_shape: tuple[int, int]
    scan_step: tuple[float, float]
    shard: tuple[int, int]
    dtype: str
    fingerprint: str
    attributes: dict[str, Any]
    has_truth: bool
    inner_rows: int
    """Scan rows of an inner chunk: what has to be decoded together; of a selection, the rows at which to cut."""
    selection: Selection | None = None
    """What is used of the dataset, see :func:`ptychodask.io.selected.select`; None for all of it."""


def documents_of(path: str | Path) -> tuple[Store, GroupDocument, DatasetArrays]:
    """The store of a dataset and what its documents say."""
    try:
        store = store_at(path)
    except InputError as error:
        remedy = "give the path of a dataset made by 'ptychodask simulate' or create_dataset"
        raise InputError(f"{error}: {remedy}" if str(error).endswith("does not exist") else str(error)) from None
    root = root_of(store, SCHEMA, "dataset", _REMEDY)
    missing = [name for name in ("counts", "positions", "mask") if store.size(f"{name}/zarr.json") == 0]
    if missing:
        raise InputError(f"{store.address} lacks {', '.join(missing)}: the dataset is truncated, write it again")
    with _told(store):
        arrays = {name: array_at(store, name) for name in DatasetArrays.model_fields}
        return store, root, described(DatasetArrays, arrays, "zarr.json")


def _told(store: Store) -> AbstractContextManager[None]:
    return told(f"{store.address} is damaged", _REMEDY)


def dataset_info(path: str | Path, *, whole: bool = True) -> DatasetInfo:
    """Read the metadata of a dataset and check that they fit each other; no counts are read.

    ``whole`` refuses missing shards of counts too.

    Raises
    ------
    InputError
        If the dataset is missing, damaged or of another schema: what, in which file.
    """
    store, root, arrays = documents_of(path)
    for name in ("counts", "positions", "mask") if whole else ("positions", "mask"):
        _check_files(store, name, getattr(arrays, name))
    with _told(store):
        said = _attributes(store, root)
    counts = arrays.counts
    try:
        microscope = Microscope(said.energy_ev, said.semi_angle_mrad, said.aberrations)
        detector = Detector(counts.shape[2], said.angular_step_mrad)
        step = scan_step(said.scan_step_angstrom, detector, microscope)
    except InputError as error:
        raise InputError(f"{store.address}: {error}") from None
    return DatasetInfo(
        store.address,
        microscope,
        detector,
        (counts.shape[0], counts.shape[1]),
        step,
        (counts.files[0], counts.files[1]),
        counts.data_type,
        said.fingerprint,
        dict(root.attributes),
        store.size("truth/zarr.json") > 0,
        counts.chunks[0],
    )


def _attributes(store: Store, root: GroupDocument) -> DatasetAttributes:
    for name, field in DatasetAttributes.model_fields.items():
        if field.is_required() and name not in root.attributes:
            raise InputError(f"{store.address} lacks the attribute {name!r}: the dataset is truncated, write it again")
    return described(DatasetAttributes, root.attributes, "zarr.json")


def _check_files(store: Store, name: str, array: ArrayDocument) -> None:
    """Refuse an array with missing or empty shard files: Zarr would read them as zeros. One look per file."""
    try:
        check_files(store, name, array)
    except Damage as damage:
        raise InputError(
            f"{store.address}: {damage}: the dataset is truncated, write it again"
            + (", or leave their positions out: --mask-damaged (data.on_damage = mask)" if name == "counts" else "")
        ) from None


def dataset_facts(info: DatasetInfo) -> tuple[Row, ...]:
    """What a dataset is, as rows for a table."""
    scope, about = info.microscope, info.attributes
    shape = " x ".join(str(n) for n in (*info.scan_shape, info.detector.pixels, info.detector.pixels))
    rows: list[Row] = [
        ("counts", shape, f"{info.dtype}, scan_y x scan_x x ky x kx", None),
        ("shards", f"{info.shard[0]} x {info.shard[1]}", "scan positions", None),
        ("energy", f"{scope.energy_ev / 1e3:g}", "keV", None),
        ("semi-angle", f"{scope.semi_angle_mrad:g}", "mrad", None),
        ("defocus", f"{scope.defocus_angstrom:g}", "angstrom, positive is underfocus", None),
        ("scan step", f"{info.scan_step[0]:g} x {info.scan_step[1]:g}", "angstrom, y x x", None),
    ]
    if "specimen" in about:
        specimen, status = (printable(about.get(name, ""), 80) for name in ("specimen", "specimen_status"))
        rows.append(("specimen", specimen, status, None))
    if about.get("thickness_angstrom") is not None:
        rows.append(("thickness", f"{about['thickness_angstrom']:.4g}", "angstrom", None))
    return tuple(rows)


def open_dataset(path: str | Path) -> xr.Dataset:
    """A dataset as a lazy, labelled xarray Dataset; opening computes nothing.

    Parameters
    ----------
    path : path
        A Zarr group written by :func:`create_dataset` or by the simulation.

    Returns
    -------
    xarray.Dataset
        ``counts (scan_y, scan_x, ky, kx)`` in electrons, one Dask chunk per shard; ``positions (scan_y, scan_x, axis)``
        in angstrom, calibrated ones where a calibration was written; ``mask (ky, kx)``; coordinates ``ky, kx`` in mrad
        with 0 in the centre, ``scan_y, scan_x`` the numbers of the stored rows and columns. Given to a reconstruction,
        the rows and columns that it still has are used, and its mask and positions as they are; other changes are
        refused there.

    Raises
    ------
    InputError
        If the store is missing, truncated or of another schema.

    Examples
    --------
    >>> data = ptychodask.open_dataset("zif8.zarr")
    >>> data.counts.mean(("scan_y", "scan_x")).compute()
    >>> result = ptychodask.reconstruct(data.isel(scan_y=slice(0, 64), scan_x=slice(None, None, 2)))
    """
    path = arguments.path(path, "path")
    return labelled(replace(dataset_info(path), path=located(path)))


def labelled(info: DatasetInfo) -> xr.Dataset:
    """A dataset as :func:`open_dataset` gives it; its coordinates ``scan_y, scan_x`` are numbers of the stored scan."""
    # they take as long to load as all the rest, and blocks are read without them
    import dask.array as da
    import xarray as xr
    from dask.tokenize import tokenize

    from .lazy import lazy

    store, root, arrays = documents_of(info.path)
    with _told(store):
        group = open_group(store)
        variables = {
            name: lazy(group, name, getattr(arrays, name), store.address, _REMEDY)
            for name in DatasetArrays.model_fields
        }
    # Dask names what is computed by what it is: the same in every process that opens the same dataset
    token = f"{info.path} {info.fingerprint}"
    shard = dict(zip(DIMS[:2], info.shard, strict=True))
    chunks = {"counts": shard, "positions": {}, "mask": {}}  # the small ones whole: else each is read once per shard
    variables = {
        name: variables[name].chunk(chunks[name], name=f"ptychodask-{name}-{tokenize(token, shard)}")
        for name in variables
    }
    if (affine := root.attributes.get("scan_affine")) is not None:
        stored, drift = variables["positions"], root.attributes.get("row_drift")
        moved = da.map_blocks(
            placed, stored.data, affine, drift, dtype=np.float64,
            name=f"ptychodask-placed-{tokenize(token, affine, drift)}",
        )  # fmt: skip
        variables["positions"] = stored.copy(data=moved)
    data = xr.Dataset(variables, attrs=dict(root.attributes))
    angle = (np.arange(info.detector.pixels) - info.detector.pixels // 2) * info.detector.angular_step_mrad
    data = data.assign_coords(
        ky=("ky", angle, {"units": "mrad"}),
        kx=("kx", angle, {"units": "mrad"}),
        axis=("axis", ["y", "x"]),
        scan_y=np.arange(info.scan_shape[0]),
        scan_x=np.arange(info.scan_shape[1]),
    )
    data.attrs["path"] = info.path
    return data


def read_truth(path: str | Path) -> xr.Dataset | None:
    """Ground truth of a simulation, or None: ``phase (y, x)``, ``probe (mode, probe_y, probe_x)``, ``positions``.

    Raises
    ------
    InputError
        If it is damaged.
    """
    import xarray as xr

    store, _, _ = documents_of(arguments.path(path, "path"))
    if store.size("truth/zarr.json") == 0:
        return None
    with _told(store):
        documents = arrays_in(store, "truth")
        described(TruthArrays, {"arrays": documents}, "truth")
        for name, array in documents.items():
            check_size(store, f"truth/{name}", array)
        # the user's own: whatever xarray wrote of it, xarray decodes
        where, root = store.zarr()
        return xr.open_zarr(where, group=f"{root}truth", consolidated=False, chunks=None, zarr_format=3).load()


def read_positions(path: str | Path, *, recorded: bool = False) -> np.ndarray:
    """Positions [J, 2] (y, x) in angstrom, float64; ``recorded`` ones are those before any calibration.

    Raises
    ------
    InputError
        If they cannot be read or are not finite.
    """
    positions = _read(path, "positions").astype(np.float64)
    if not np.isfinite(positions).all():
        wrong = int((~np.isfinite(positions)).any(axis=-1).sum())
        raise InputError(f"{path}: {wrong} of {positions.size // 2} positions are not finite: write the dataset again")
    store, root, _ = documents_of(path)
    with _told(store):
        said = None if recorded else _attributes(store, root)
    if said is not None and said.scan_affine is not None:
        if said.row_drift is not None and len(said.row_drift) != len(positions):
            raise InputError(
                f"{path}: row_drift has {len(said.row_drift)} rows, the scan {len(positions)}: calibrate again"
            )
        positions = placed(positions, said.scan_affine, said.row_drift)
    return positions.reshape(-1, 2)


def placed(positions: np.ndarray, affine: Any, drift: Any = None) -> np.ndarray:
    """Recorded positions (..., 2) in the axes of the detector, by the map [2, 3] that a calibration stored.

    A drift of the rows [scan_y, 2] wants positions (scan_y, scan_x, 2).
    """
    matrix = np.asarray(affine, np.float64)
    found = np.asarray(positions.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2])
    return found if drift is None else found + np.asarray(drift, np.float64)[:, None]


def read_mask(path: str | Path) -> np.ndarray:
    """Detector mask [N, N] float32, corner-centred, 1 = use.

    Raises
    ------
    InputError
        If it cannot be read, or excludes every pixel.
    """
    mask = _read(path, "mask")
    if not mask.any():
        raise InputError(f"{path}: the mask excludes every detector pixel: non-zero means use, write the dataset again")
    return np.fft.ifftshift(mask != 0).astype(np.float32)


def _read(path: str | Path, name: str) -> np.ndarray:
    store, _, arrays = documents_of(path)
    _check_files(store, name, getattr(arrays, name))
    with _told(store):
        array = open_group(store)[name]
        assert isinstance(array, zarr.Array)
        values = read_values(array, ..., f"{store.address}: {name}", "write the dataset again")
    # what was removed while it was read came as zeros
    _check_files(documents_of(path)[0], name, getattr(arrays, name))
    return values
