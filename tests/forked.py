"""Worker processes that are forked from one which has imported what they need: half of the time of a start."""

from __future__ import annotations

import multiprocessing

IMPORTED = ["distributed", "ptychodask.io.source", "ptychodask.kernels.cpu", "ptychodask.jobs.tasks"]


def fork_workers() -> None:
    """Have Dask start its workers so in this process; those of the command line are started as for a user."""
    import dask
    import distributed.utils

    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    # Dask says what it wants imported, once
    if hasattr(distributed.utils, "get_mp_context"):
        distributed.utils.get_mp_context()
    multiprocessing.get_context("forkserver").set_forkserver_preload(IMPORTED)
