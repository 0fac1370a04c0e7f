"""Two halves of a result's electrons, each reconstructed on its own: a group that is added to the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .atomic import remove
from .described.result import HALVES, HalvesArrays
from .documents import described, told
from .reading import array_at, arrays_in, check_files
from .stored import checked_encoding
from .stores import writable

GROUP = "halves"


def write_halves(
    result: Path, images: Mapping[str, xr.DataArray], scratch: Path, attributes: Mapping[str, Any]
) -> None:
    """Add the phases of halves (y, x) to a result, in place of earlier ones.

    They are written to ``scratch``, a folder on the same disk, and then moved: a reader meets all of them or none.

    Parameters
    ----------
    images : mapping of DataArray (y, x)
        ``first`` and ``second`` in rad on the same coordinates, and ``vacuum_first`` and ``vacuum_second`` if known.
    """
    # plain arrays: what xarray knows of a picture is not what is stored
    values = {
        name: (("y", "x"), np.asarray(image.values, np.float32), {"units": "rad"}) for name, image in images.items()
    }
    any_ = next(iter(images.values()))
    axes = {a: (a, np.asarray(any_[a].values, float), {"units": "angstrom"}) for a in ("y", "x")}
    data = xr.Dataset(values, axes, dict(attributes))
    made, old = scratch / "made.zarr", scratch / "old.zarr"
    for left in (made, old):
        remove(left)
    how: Any = {"consolidated": False, "zarr_format": 3, "write_empty_chunks": True}
    with writable(made, new=True) as store:
        data.to_zarr(store, encoding=checked_encoding(data), **how)
    place = result / GROUP
    if place.exists():
        place.rename(old)
    made.rename(place)
    remove(old)


def read_halves(store: Any, path: str, remedy: str) -> xr.Dataset | None:
    """The group of a result, loaded; None where there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if store.size(f"{GROUP}/zarr.json") == 0:
        return None
    with told(f"{path} is damaged", remedy):
        documents = arrays_in(store, GROUP)
        described(
            HalvesArrays, {name: array_at(store, f"{GROUP}/{name}") for name in HALVES if name in documents}, GROUP
        )
        for name, array in documents.items():
            check_files(store, f"{GROUP}/{name}", array)
        where, root = store.zarr()
        found = xr.open_zarr(where, group=f"{root}{GROUP}", consolidated=False, chunks=None, zarr_format=3)
        return found[[name for name in HALVES if name in documents and name not in ("y", "x")]].load()
