"""Open a dataset: lazily for people (xarray), block by block for the engine, see
:mod:`ptychodask.io.source`."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from .._errors import InputError
from .._text import Row
from ..model.optics import Microscope
from ..model.scan import Detector

if TYPE_CHECKING:
    import xarray as xr

DIMS = ("scan_y", "scan_x", "ky", "kx")
SCHEMA = "ptychodask-dataset/1"


@dataclass(frozen=True)
class DatasetInfo:
    """Everything about a dataset but its counts."""

    path: str
    microscope: Microscope
    detector: Detector
    scan_shape: tuple[int, int]
    scan_step: tuple[float, float]
    tile: tuple[int, int]
    dtype: str
    fingerprint: str
    attributes: dict[str, Any]
    has_truth: bool
    inner_rows: int
    """Scan rows of an inner chunk: what has to be decoded together."""


def _open_group(path: str | Path) -> zarr.Group:
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{path} does not exist: give the path of a dataset made by 'ptychodask simulate' or create_dataset"
        )
    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=3)
    except Exception as error:
        raise InputError(f"{path} is not a Zarr group ({_first_line(error)}): give a ptychodask dataset") from error
    schema = group.attrs.get("schema")
    if schema != SCHEMA:
        raise InputError(f"{path} has schema {schema!r}, expected {SCHEMA!r}: write it with ptychodask.create_dataset")
    try:
        missing = [name for name in ("counts", "positions", "mask") if name not in group]
    except ValueError as error:  # an array's own description
        raise InputError(f"{path} is damaged ({_first_line(error)}): copy or write the dataset again") from error
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: the dataset is truncated, write it again")
    return group


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def dataset_info(path: str | Path, *, whole: bool = True) -> DatasetInfo:
    """Read the metadata of a dataset and check that they fit each other; no counts are read.

    ``whole`` refuses missing shards of counts too.
    """
    group = _open_group(path)
    counts, positions = group["counts"], group["positions"]
    assert isinstance(counts, zarr.Array) and isinstance(positions, zarr.Array)
    for name in ("counts", "positions", "mask") if whole else ("positions", "mask"):
        _check_shards(Path(path), name, group[name])  # type: ignore[arg-type]
    names = tuple(counts.metadata.dimension_names or ())  # type: ignore[union-attr]
    if names != DIMS:
        raise InputError(
            f"{path}: counts have dimensions {names}, expected {DIMS}: transpose them and write the dataset again"
        )
    if counts.shape[2] != counts.shape[3]:
        raise InputError(f"{path}: patterns are {counts.shape[2]} x {counts.shape[3]} pixels, they must be square")
    if positions.shape != (*counts.shape[:2], 2):
        raise InputError(f"{path}: positions have shape {positions.shape}, expected {(*counts.shape[:2], 2)}")
    attributes: dict[str, Any] = dict(group.attrs)
    try:
        microscope = Microscope(attributes["energy_ev"], attributes["semi_angle_mrad"], attributes["aberrations"])
        detector = Detector(counts.shape[2], attributes["angular_step_mrad"])
        step: Any = tuple(attributes["scan_step_angstrom"])
        fingerprint = attributes["fingerprint"]
    except KeyError as error:
        raise InputError(f"{path} lacks the attribute {error}: the dataset is truncated, write it again") from error
    tile: Any = (counts.shards or counts.chunks)[:2]
    return DatasetInfo(
        str(path),
        microscope,
        detector,
        (counts.shape[0], counts.shape[1]),
        step,
        tile,
        str(counts.dtype),
        fingerprint,
        attributes,
        "truth" in group,
        counts.chunks[0],
    )


def _check_shards(path: Path, name: str, array: zarr.Array) -> None:
    """Refuse an array with missing or empty shard files: Zarr would read them as zeros. One look per file."""
    grid = [math.ceil(n / side) for n, side in zip(array.shape, array.shards or array.chunks, strict=True)]
    keys = [array.metadata.encode_chunk_key(index) for index in np.ndindex(*grid)]
    missing = [key for key in keys if not _has_bytes(path / name / key)]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(keys)} shards of {name} are missing ({missing[0]} is the first):"
            " the dataset is truncated, write it again"
            + (", or leave their positions out: --mask-damaged (data.on_damage = mask)" if name == "counts" else "")
        )


def _has_bytes(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def dataset_facts(info: DatasetInfo) -> tuple[Row, ...]:
    """What a dataset is, as rows for a table."""
    scope, about = info.microscope, info.attributes
    shape = " x ".join(str(n) for n in (*info.scan_shape, info.detector.pixels, info.detector.pixels))
    rows: list[Row] = [
        ("counts", shape, f"{info.dtype}, scan_y x scan_x x ky x kx", None),
        ("shards", f"{info.tile[0]} x {info.tile[1]}", "scan positions", None),
        ("energy", f"{scope.energy_ev / 1e3:g}", "keV", None),
        ("semi-angle", f"{scope.semi_angle_mrad:g}", "mrad", None),
        ("defocus", f"{scope.defocus_angstrom:g}", "angstrom, positive is underfocus", None),
        ("scan step", f"{info.scan_step[0]:g} x {info.scan_step[1]:g}", "angstrom, y x x", None),
    ]
    if "specimen" in about:
        rows.append(("specimen", str(about["specimen"]), str(about.get("specimen_status", "")), None))
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
        in angstrom; ``mask (ky, kx)``; coordinates ``ky, kx`` in mrad with 0 in the centre.

    Raises
    ------
    InputError
        If the store is missing, truncated or of another schema.

    Examples
    --------
    >>> data = ptychodask.open_dataset("zif8.zarr")
    >>> data.counts.mean(("scan_y", "scan_x")).compute()
    """
    info = dataset_info(path)
    data = _open_xarray(path, None, chunks=dict(zip(DIMS[:2], info.tile, strict=True)))
    angle = (np.arange(info.detector.pixels) - info.detector.pixels // 2) * info.detector.angular_step_mrad
    data = data.assign_coords(
        ky=("ky", angle, {"units": "mrad"}),
        kx=("kx", angle, {"units": "mrad"}),
        axis=("axis", ["y", "x"]),
        scan_y=np.arange(info.scan_shape[0]),
        scan_x=np.arange(info.scan_shape[1]),
    )
    data.attrs["path"] = str(path)
    return data


def _open_xarray(path: str | Path, group: str | None, chunks: dict[str, int] | None) -> xr.Dataset:
    import xarray as xr  # takes as long to load as the rest, and blocks are read without it

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*separate the stored chunks.*")
        return xr.open_zarr(str(path), group=group, consolidated=False, chunks=chunks, zarr_format=3)


def read_truth(path: str | Path) -> xr.Dataset | None:
    """Ground truth of a simulation, or None: ``phase (y, x)``, ``probe (mode, probe_y, probe_x)``, ``positions``."""
    if "truth" not in _open_group(path):
        return None
    return _open_xarray(path, "truth", None).load()


def read_positions(path: str | Path) -> np.ndarray:
    """Positions [J, 2] (y, x) in angstrom, float64."""
    return _read(path, "positions").astype(np.float64).reshape(-1, 2)


def read_mask(path: str | Path) -> np.ndarray:
    """Detector mask [N, N] float32, corner-centred, 1 = use."""
    return np.fft.ifftshift(_read(path, "mask")).astype(np.float32)


def _read(path: str | Path, name: str) -> np.ndarray:
    array = _open_group(path)[name]
    assert isinstance(array, zarr.Array)
    _check_shards(Path(path), name, array)
    try:
        return np.asarray(array[...])
    except Exception as error:
        raise InputError(f"{path}: {name} cannot be read ({_first_line(error)}): write the dataset again") from error
