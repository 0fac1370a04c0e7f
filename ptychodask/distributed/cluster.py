"""Where to run: threads in this process, local processes, a running scheduler, or a client that the caller has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.comm import get_address_host

from .._errors import InputError

CONNECT_SECONDS = 20
# Ctrl-C in a terminal goes to all processes of a group, and the state to be stored is on the workers
DEAF_TO_INTERRUPTS = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"


@contextmanager
def connect(
    *,
    workers: int | None = None,
    threads: int | None = None,
    scheduler: str | None = None,
    client: Client | None = None,
) -> Iterator[Client]:
    """A Dask client for one job; what is started here is closed again.

    Parameters
    ----------
    workers : int, optional
        Start so many worker processes on 127.0.0.1 (a script that does so needs ``if __name__ == "__main__":``).
        Without any option, threads in this process serve; only the dashboard listens, on a free port of 127.0.0.1.
    threads : int, optional
        Threads per worker; all cores shared out by default.
    scheduler : str, optional
        Address of a running scheduler.
    client : distributed.Client, optional
        Used as it is and left open.
    """
    if client is not None:
        yield client
        return
    if scheduler is not None:
        with _attach(scheduler) as attached:
            yield attached
        return
    cores = _cores()
    # blocks have their place (see placement); stealing would only move them away from their cached counts
    with dask.config.set({"distributed.scheduler.work-stealing": False}):
        if workers is None:
            kind: dict[str, Any] = {"processes": False, "memory_limit": 0}
        else:
            kind = {"processes": True, "host": "127.0.0.1", "preload": [DEAF_TO_INTERRUPTS]}
        cluster = LocalCluster(
            n_workers=workers or 1,
            threads_per_worker=threads or max(1, cores // (workers or 1)),
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=50,
            **kind,
        )
        with cluster, Client(cluster, set_as_default=False) as started:
            yield started


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _attach(address: str) -> Client:
    try:
        get_address_host(address)  # a client of a malformed address would leave its event loop behind
        # a default client that fails to connect would stay dask's default scheduler
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}): start one with 'dask"
            " scheduler' or check the address"
        ) from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        raise InputError(
            f"the scheduler at {address} has no workers: start some with 'dask worker {address}'"
        ) from None
    return client


def describe(client: Client) -> dict[str, Any]:
    """Workers, threads and the dashboard's address (None where there is none)."""
    info = client.scheduler_info(n_workers=-1)
    threads = sum(w["nthreads"] for w in info["workers"].values())
    port = info.get("services", {}).get("dashboard")
    link = None if port is None else client.dashboard_link
    if info["address"].startswith("inproc"):  # dask names this machine's address, but the port is bound to loopback
        link = f"http://127.0.0.1:{port}/status"
    return {"workers": len(info["workers"]), "threads": threads, "dashboard": link}
