"""How many workers and threads a job has, and how much memory each may use."""

from __future__ import annotations

from dataclasses import dataclass

import dask
import psutil
from distributed import Client
from distributed.system import MEMORY_LIMIT

from .machine import cores


@dataclass(frozen=True)
class Site:
    """Where a job runs.

    Parameters
    ----------
    workers : int
        Worker processes, or 1 for threads of this process.
    threads : int
        Per worker.
    limit : int or None
        Bytes that a worker process may hold before Dask pauses it; None where nothing is said.
    here : bool
        Workers share the memory of this machine.
    in_process : bool
        They are threads of this process.
    """

    workers: int
    threads: int
    limit: int | None
    here: bool
    in_process: bool


def site_of(client: Client) -> Site:
    """The site of a running cluster; of unequal workers the smallest counts."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        return Site(1, 1, None, False, False)
    threads = min(w["nthreads"] for w in workers.values())
    limits = [w["memory_limit"] for w in workers.values() if w["memory_limit"]]
    inside = all(name.startswith("inproc") for name in workers)
    here = inside or all("127.0.0.1" in name for name in workers)
    return Site(len(workers), threads, _usable(min(limits)) if limits else None, here, inside)


def site_here(workers: int | None, threads: int | None, gpus: int | None = None) -> Site:
    """The site that :func:`ptychodask.distributed.cluster.connect` starts without a scheduler, on so many GPUs."""
    if gpus is not None:
        return Site(gpus, threads or 1, _usable(MEMORY_LIMIT // gpus), True, False)  # what dask-cuda gives its workers
    available = cores()
    threads = threads or max(1, available // (workers or 1))
    if workers is None:
        return Site(1, threads, None, True, True)
    # what a LocalCluster gives its workers
    return Site(workers, threads, _usable(int(MEMORY_LIMIT * min(1, threads / available))), True, False)


def _usable(limit: int) -> int:
    return int(limit * (dask.config.get("distributed.worker.memory.pause") or 1.0))


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def available_bytes() -> int:
    """Memory that is left on this machine, or in this control group where that has less."""
    return int(min(psutil.virtual_memory().available, max(0, MEMORY_LIMIT - resident_bytes())))
