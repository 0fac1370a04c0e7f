"""How many workers and threads a job has, and how much memory each may use."""

from __future__ import annotations

from dataclasses import dataclass

import dask
import psutil
from distributed import Client
from distributed.system import MEMORY_LIMIT

from ..model.place import Place
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


def site_here(place: Place, devices: int) -> Site:
    """The site that :func:`ptychodask.distributed.cluster.connect` starts at a place without a scheduler, where so many
    devices are found."""
    available, workers = cores(), max(1, place.count(devices))
    threads = place.threads_each(available)
    if place.kind == "threads":
        return Site(1, threads, None, True, True)
    # what dask-cuda and a LocalCluster give their workers
    share = 1 / workers if place.kind == "devices" else min(1, threads / available)
    return Site(workers, threads, _usable(int(MEMORY_LIMIT * share)), True, False)


def _usable(limit: int) -> int:
    return int(limit * (dask.config.get("distributed.worker.memory.pause") or 1.0))


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def available_bytes() -> int:
    """Memory that is left on this machine, or in this control group where that has less."""
    return int(min(psutil.virtual_memory().available, max(0, MEMORY_LIMIT - resident_bytes())))
