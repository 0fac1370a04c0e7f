"""Stored arrays as variables of xarray, read when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing

from .described.store import ArrayDocument
from .documents import Damage
from .reading import read_values


class _Stored(BackendArray):
    """An array that Zarr reads when it is asked for; damage is one line."""

    def __init__(self, array: zarr.Array, what: str, remedy: str) -> None:
        self.array, self.what, self.remedy = array, what, remedy
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        return read_values(self.array, key, self.what, self.remedy)


def lazy(group: zarr.Group, name: str, document: ArrayDocument, address: str, remedy: str) -> xr.Variable:
    """An array of a group with its dimensions and attributes; its values are read when they are asked for."""
    array = group[name]
    if not isinstance(array, zarr.Array) or array.shape != document.shape:
        raise Damage(f"{name} is not the array that its description says")
    what = f"{address}: {name}"
    data: Any = indexing.LazilyIndexedArray(_Stored(array, what, remedy))
    attributes = {key: value for key, value in document.attributes.items() if key != "_FillValue"}
    return xr.Variable(document.dimension_names or (), data, attributes)
