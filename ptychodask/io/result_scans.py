"""Of a result of several scans, what it has of each further one: a group with its probe and its positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..model.scan import Canvas
from .described.result import ScanArrays
from .documents import described, told
from .reading import array_at, check_files
from .stored import checked_encoding

NAMES = ("probe", "positions")


@dataclass(frozen=True)
class FurtherScan:
    """A scan besides the first.

    Parameters
    ----------
    probe : complex array [M, N, N]
        In full-dose units.
    positions : float64 array [J, 2]
        Canvas pixels.
    scan_shape : (int, int)
    """

    probe: np.ndarray
    positions: np.ndarray
    scan_shape: tuple[int, int]


def group_of(number: int) -> str:
    """Name of the group of a scan, counted from 1; the first has none."""
    return f"scan_{number}"


def write_scans(store: Any, further: Sequence[FurtherScan], canvas: Canvas) -> None:
    """Add the groups of further scans to a result that is being written."""
    angstrom: dict[str, Any] = {"units": "angstrom"}
    how: Any = {"consolidated": False, "zarr_format": 3, "write_empty_chunks": True}
    for number, its in enumerate(further, start=2):
        n = its.probe.shape[-1]
        centred = (np.arange(n) - n // 2) * canvas.pixel
        positions = (its.positions * canvas.pixel + np.array(canvas.origin)).reshape(*its.scan_shape, 2)
        data = xr.Dataset(
            {
                "probe": (("mode", "probe_y", "probe_x"), its.probe, {"units": "sqrt(electron)"}),
                "positions": (("scan_y", "scan_x", "axis"), positions, {**angstrom, "axis": "y, x"}),
            },
            {"probe_y": ("probe_y", centred, angstrom), "probe_x": ("probe_x", centred, angstrom)},
        )
        data.to_zarr(store, group=group_of(number), mode="a", encoding=checked_encoding(data), **how)


def read_scan(store: Any, path: str, number: int, remedy: str) -> xr.Dataset:
    """The group of a further scan, loaded.

    Raises
    ------
    InputError
        If it is damaged.
    """
    group = group_of(number)
    with told(f"{path} is damaged", remedy):
        documents = {name: array_at(store, f"{group}/{name}") for name in ScanArrays.model_fields}
        described(ScanArrays, documents, group)
        for name, array in documents.items():
            check_files(store, f"{group}/{name}", array)
        where, root = store.zarr()
        found = xr.open_zarr(where, group=f"{root}{group}", consolidated=False, chunks=None, zarr_format=3)
        return found[list(NAMES)].load()
