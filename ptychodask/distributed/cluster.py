"""Where to run: threads in this process, local processes, GPUs, a running scheduler, or a client that the caller has.

A job on a batch system, for instance with dask-jobqueue on SLURM (``pip install dask-jobqueue``)::

    from dask.distributed import Client
    from dask_jobqueue import SLURMCluster

    if __name__ == "__main__":
        cluster = SLURMCluster(
            cores=16, processes=2, memory="64GB", walltime="02:00:00", interface="ib0",
            worker_extra_args=["--lifetime", "115m", "--lifetime-stagger", "4m"],
        )
        cluster.adapt(maximum_jobs=20)
        ptychodask.reconstruct("/shared/scan.zarr", output="/shared/result.zarr", client=Client(cluster))

All workers see the same files. New ones are used from the next iteration on, lost ones cost the recomputation of their
blocks. A job that is pre-empted (SIGTERM) stores a checkpoint and leaves with exit code 143; put this in a batch script
that is requeued::

    if [ -e result.zarr.run ] || [ -e result.zarr ]; then ptychodask resume result.zarr --gpus all
    else ptychodask reconstruct scan.zarr -o result.zarr --gpus all; fi

Beyond one machine, encrypt: start scheduler and workers with ``--protocol tls --tls-ca-file ca.pem --tls-cert me.pem
--tls-key me.key`` and say ``engine.scheduler = "tls://host:8786"`` with ``engine.tls_ca_file``, ``tls_cert`` and
``tls_key``. Who reaches an unencrypted scheduler can run code on its workers; those that we start listen on 127.0.0.1.
"""

from __future__ import annotations

import gc
import importlib.util
import inspect
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import singledispatchmethod
from multiprocessing import resource_tracker
from typing import Any

import dask
import distributed.core
from distributed import Client, KilledWorker, LocalCluster
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError, get_address_host
from distributed.security import Security
from distributed.worker_state_machine import WorkerState

from .._arguments import shown
from .._errors import InputError
from ..model.place import Place
from .inline import Inline
from .machine import cores
from .port import knock
from .process import check_script
from .prompt import speak_promptly

CONNECT_SECONDS = 10
"""For a scheduler to answer."""
WORKERS_SECONDS = 20
"""For the first worker to join."""
LOOPBACK = "127.0.0.1"
_ADDRESS = re.compile(r"://|:\d+$")
"""What tells the address of a scheduler from a path: its scheme or its port."""
ROLES = ("client", "scheduler", "worker")
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(64 * 2**20), "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20)}
"""Environment of worker processes: what a block has used is there for the next one. Dask's default (64 KiB) has glibc
give every array back to the system at once and take it anew, page by page: 10 to 25 % of a run on CPUs."""
SETTINGS = {
    # blocks have their place (see placement); stealing would only move them away from their cached counts
    "distributed.scheduler.work-stealing": False,
    # Dask looks so long after a death whether the worker is back, and gives it up for good if it is down at that
    # moment: one that dies twice in that time would be lost
    "distributed.deploy.lost-worker-timeout": "365d",
    # what the user's own environment says goes first
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ALLOCATOR.items()},
}
PRELOAD = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
import ptychodask.io.source
import ptychodask.kernels.cpu
"""
"""Workers of our own ignore Ctrl-C, a batch system's SIGTERM and a closed terminal's SIGHUP, which go to all processes:
the state to be stored is on them. And they join when they have imported what they need: until then nobody waits for
them."""


def a_place(client: Any) -> Any:
    """The argument ``client``, if it can be one: None, a client, a cluster, or the address of a scheduler.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(client, os.PathLike) or (isinstance(client, str) and not _ADDRESS.search(client)):
        raise InputError(
            f"client = {shown(os.fspath(client))} is no address of a scheduler, such as tcp://host:8786: where to write"
            " is said by its name, output=..."
        )
    if client is None or isinstance(client, Client | Inline | str) or hasattr(client, "scheduler_address"):
        return client
    raise InputError(
        f"client = {shown(client)}: give a distributed.Client, a cluster, the address of a scheduler, or nothing"
    )


Waiting = Callable[[str], None]
"""Told what is waited for."""


@contextmanager
def connect(client: Any = None, waiting: Waiting | None = None, place: Place | None = None) -> Iterator[Client]:
    """A Dask client for one job; what is started here is closed again.

    Parameters
    ----------
    client : distributed.Client, cluster, address or Inline, optional
        Used as it is and left open.
    waiting : callable, optional
        Told if there are no workers yet.
    place : Place, optional
        Workers to start (a script that starts processes needs ``if __name__ == "__main__":``), or a running scheduler.
        By default threads in this process serve; only the dashboard listens, on a free port of 127.0.0.1.

    Raises
    ------
    InputError
        If there is no such place to run.
    """
    if isinstance(client, Inline):
        yield client  # type: ignore[misc]
        return
    if client is not None:
        with _quiet(), _given(client) as usable:
            _wait_for_workers(usable, waiting)
            yield usable
        return
    place = place or Place()
    if place.scheduler is not None:
        with _quiet(), _attach(place.scheduler, _security(place)) as attached:
            yield attached
        return
    with dask.config.set(SETTINGS), ExitStack() as stack:
        cluster = _cluster(place)
        servers = (cluster.scheduler, *cluster.workers.values())
        folders = [getattr(server, "local_directory", "") for server in servers]
        stack.callback(_let_go, folders)
        stack.enter_context(cluster)
        started = stack.enter_context(Client(cluster, set_as_default=False))
        speak_promptly(cluster.scheduler, started)
        yield started


def _let_go(folders: Sequence[str] = ()) -> None:
    """A scheduler that closed, or never started, would be kept with all it knew, in what Dask remembers of two
    functions: the dashboard for ever, its server until 128 handlers later; and so would the finders of its folders.
    Python 3.13.0 keeps clients and workers' states in their methods that dispatch by type (cpython#127750)."""
    dashboard = sys.modules.get("distributed.dashboard.scheduler")
    if dashboard is not None:
        remembered = inspect.getclosurevars(dashboard.template_variables).nonlocals.get("cache")
        if isinstance(remembered, dict):
            remembered.clear()
    with suppress(AttributeError):  # private: another version may do without
        distributed.core._expects_comm.cache_clear()
    for method in (*vars(Client).values(), *vars(WorkerState).values()):
        kept = getattr(method, "_method_cache", None) if isinstance(method, singledispatchmethod) else None
        if kept is not None:
            kept.clear()
    for folder in folders:
        sys.path_importer_cache.pop(folder, None)


@contextmanager
def _given(client: Any) -> Iterator[Client]:
    """What the caller has, as a client that can be used here."""
    if isinstance(client, str):
        with _attach(client, None) as attached:
            yield attached
        return
    if not isinstance(client, Client) and not hasattr(client, "scheduler_address"):
        raise InputError(
            f"client is {type(client).__name__} {str(client)[:60]!r}: give a distributed.Client, a cluster or an"
            " address such as 'tcp://host:8786'"
        )
    kind = "client" if isinstance(client, Client) else "cluster"
    status = getattr(client.status, "name", client.status)
    if client.asynchronous:
        raise InputError(
            f"the {kind} is asynchronous: make it without asynchronous=True, and call from outside of its event loop"
        )
    if status != "running":
        raise InputError(f"the {kind} is {status}: open a new one")
    if isinstance(client, Client):
        yield client
        return
    with Client(client, set_as_default=False) as started:
        yield started


def _wait_for_workers(client: Client, waiting: Waiting | None) -> None:
    """A cluster that grows, or whose jobs are queued, may take its time; others have workers or never will."""
    if client.scheduler_info(n_workers=-1)["workers"]:
        return
    address = client.scheduler.address if client.scheduler else ""
    if waiting is not None:
        waiting(f"the cluster at {address} has no workers yet: waiting for the first")
    cluster = client.cluster
    if getattr(cluster, "_adaptive", None) is not None or getattr(cluster, "worker_spec", None):
        client.submit(int, pure=False).result()  # a cluster that adapts starts workers for work only
        return
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError:
        raise InputError(
            f"the scheduler at {address} has no workers after {WORKERS_SECONDS} s: start some, with"
            f" cluster.scale(n) or 'dask worker {address}'"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Dask logs in this process of a cluster that is lost: the run says it in one line."""
    quiet = _Quiet()
    # those that print by default: who sends logs elsewhere wants them
    handlers = [*logging.getLogger("distributed").handlers, *filter(None, [logging.lastResort])]
    for handler in handlers:
        handler.addFilter(quiet)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(quiet)


class _Quiet(logging.Filter):
    """Drops what Dask and its event loop log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.split(".")[0] not in ("distributed", "tornado", "asyncio")


def _start_tracker() -> None:
    """Start what Python has to clear up after processes, with SIGHUP blocked: it would die of a closed terminal."""
    if hasattr(signal, "SIGHUP"):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            resource_tracker.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cluster(place: Place) -> LocalCluster:
    """A started cluster on this machine."""
    options: dict[str, Any] = {
        "dashboard_address": f"{LOOPBACK}:0",
        "worker_dashboard_address": f"{LOOPBACK}:0",
        "silence_logs": 50,
    }
    kind: Any = LocalCluster
    options["threads_per_worker"] = place.threads_each(cores())
    if place.kind == "threads":
        options |= {"n_workers": 1, "processes": False, "memory_limit": 0}
    else:
        if dask.config.get("distributed.worker.multiprocessing-method") != "fork":
            check_script()
        _start_tracker()
        options |= {"host": place.host, "preload": [PRELOAD], **_protocol(place)}
    if place.kind == "processes":
        options |= {"n_workers": place.workers, "processes": True}
    if place.gpus is not None:
        kind = _gpu_cluster()
        options["CUDA_VISIBLE_DEVICES"] = None if place.gpus == "all" else list(place.gpus)
    cluster, trouble = _tried(lambda: kind(**options), Exception)
    if cluster is None:
        raise InputError(
            f"no workers can be started here ({trouble}): check engine.host, engine.gpus and 'ptychodask doctor'; a"
            " script has to call it under if __name__ == '__main__'"
        )
    return cluster


def _tried(make: Callable[[], Any], *errors: type[Exception]) -> tuple[Any, str]:
    """What is made; or None, and why it cannot be.

    What was half made closes itself when it is collected. That must be here and now: collected while the next client or
    cluster starts, which holds a lock of Dask's event loops, its closing would wait for that lock, and both for ever.
    """
    try:
        return make(), ""
    except errors as error:
        trouble = f"{type(error).__name__}: {_first_line(error)}"
    _let_go()
    gc.collect()  # with the error, whose frames hold it, out of the way
    return None, trouble


def _first_line(error: BaseException) -> str:
    """Why, in one line; of an error without a text, where it was raised."""
    cause = error.__cause__ or error
    lines = str(cause).splitlines()
    if lines and lines[0]:
        return lines[0]
    *_, last = traceback.extract_tb(cause.__traceback__) or [traceback.FrameSummary("?", 0, "?")]
    return f"line {last.lineno} of {last.filename}"


def _gpu_cluster() -> Any:
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError as error:
        raise InputError(
            f"engine.gpus needs dask-cuda ({error}): pip install 'ptychodask[cuda12]', or [cuda13] for CUDA 13"
        ) from None
    return LocalCUDACluster


def has_dask_cuda() -> bool:
    """Is dask-cuda installed?"""
    return importlib.util.find_spec("dask_cuda") is not None


def has_ucx() -> bool:
    """Is UCX installed for Dask?"""
    return importlib.util.find_spec("distributed_ucxx") is not None


def _protocol(place: Place) -> dict[str, Any]:
    if place.protocol == "ucx" and not has_ucx():
        raise InputError(
            "engine.protocol = 'ucx' needs distributed-ucxx: pip install distributed-ucxx-cu12 (or -cu13), or leave"
            " engine.protocol unset for tcp"
        )
    security = _security(place)
    return {"protocol": place.protocol} if security is None else {"protocol": "tls", "security": security}


def _security(place: Place) -> Security | None:
    """Dask's TLS settings; None leaves it to Dask's own configuration."""
    if place.tls is None:
        return None
    authority, certificate, key = place.tls
    files = {"cert": certificate, "key": key}
    roles = {f"tls_{role}_{part}": files[part] for role in ROLES for part in files}
    security = Security(require_encryption=True, tls_ca_file=authority, **roles)
    try:
        security.get_connection_args("client")
    except (OSError, ValueError) as error:
        raise InputError(
            f"the TLS files {authority}, {certificate} and {key} cannot be used ({error}):"
            " give PEM files that belong together"
        ) from None
    return security


def _attach(address: str, security: Security | None) -> Client:

    def attach() -> Client:
        get_address_host(address)  # a client of a malformed address would leave its event loop behind
        knock(address, CONNECT_SECONDS)
        # a default client that fails to connect would stay dask's default scheduler
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False, security=security)

    client, trouble = _tried(attach, OSError, TimeoutError, ValueError, TypeError)
    if client is None:
        raise InputError(
            f"no Dask scheduler answers at {address} ({trouble.partition(':')[0]}): start one with 'dask"
            " scheduler' and give the address that it prints, tcp://host:port, or tls://host:port with certificates"
        )
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
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


def cluster_trouble(error: BaseException) -> str | None:
    """What happened to the cluster, for people; None for errors of the work itself."""
    if isinstance(error, KilledWorker):
        return (
            f"the same task was on {error.allowed_failures + 1} workers that died, the last at"
            f" {error.last_worker.address}: look for too little memory in its log"
        )
    if isinstance(error, (CancelledError, ClosedClientError, CommClosedError)):
        return "the Dask scheduler is gone or cannot be reached"
    return None
