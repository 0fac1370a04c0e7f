"""``view``: checks, one pass over the counts, images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...distributed.cluster import connect
from ...distributed.maps import run_all, shared
from ...model.place import Place
from ..places import check_places
from .images import images_of
from .tasks import glance
from .wanted import Wanted

if TYPE_CHECKING:
    import xarray as xr

    from ...distributed.cluster import Client

Steps = Callable[[str, int, int], None]


def view(wanted: Wanted, client: Client | None, workers: int | None, progress: Steps | None) -> xr.Dataset:
    """Images of a dataset.

    Sums are made block by block in runs that the dataset alone decides, and merged in the order of the runs: any
    workers give the same bits. A worker holds a strip of a block, its sums and its part of the parallax image.

    Raises
    ------
    InputError
        If something cannot be seen: before any counts are read.
    """
    _ = wanted.weights, wanted.grid, wanted.parallax  # what cannot be is said before anything is started
    report: Steps = progress or (lambda label, done, of: None)
    with connect(client, place=Place(workers=workers)) as dask_client:
        check_places(dask_client, wanted.info, list[Path]())
        held = shared(dask_client, wanted)
        calls = [(glance, (held, run)) for run in wanted.runs]
        return images_of(wanted, run_all(dask_client, calls, lambda done, of: report("blocks", done, of)))
