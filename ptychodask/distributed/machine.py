"""What a machine, and the workers of a cluster, have: cores, memory, devices, versions."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from dask.system import cpu_count
from distributed import Client, get_worker
from distributed.system import memory_limit

__all__ = ["Device", "all_threads", "cores", "cuda_devices", "memory_limit", "spill_folder", "worker_versions"]


@dataclass(frozen=True)
class Device:
    """A CUDA device: its name, memory in bytes, and the versions of driver and runtime (12040 is 12.4)."""

    name: str
    memory: int
    free: int
    driver: int
    runtime: int


def cores() -> int:
    """Cores that this process may use: its affinity and the limit of its control group."""
    return cpu_count()


@contextmanager
def all_threads() -> Iterator[None]:
    """For a task that runs while its worker has nothing else to do: its transforms may take all of its threads."""
    from scipy import fft  # loaded with the first transform: many verbs make none

    try:
        threads = get_worker().state.nthreads
    except ValueError:  # in line, where there is no worker
        threads = 1
    with fft.set_workers(threads):
        yield


def spill_folder() -> Path:
    """Where workers put what does not fit in memory (Dask's ``temporary-directory``)."""
    return Path(dask.config.get("temporary-directory") or tempfile.gettempdir())


def cuda_devices() -> tuple[list[Device], str]:
    """Devices that CuPy finds, and why there is none."""
    try:
        import cupy
    except Exception as error:  # a broken installation fails in many ways
        absent = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        return [], "CuPy is not installed" if absent else f"CuPy cannot be imported ({_line(error)})"
    try:
        runtime = cupy.cuda.runtime
        found = []
        for number in range(runtime.getDeviceCount()):
            with cupy.cuda.Device(number):
                free, total = runtime.memGetInfo()
            name = runtime.getDeviceProperties(number)["name"].decode()
            found.append(Device(name, total, free, runtime.driverGetVersion(), runtime.runtimeGetVersion()))
        return found, "" if found else "CuPy finds no device"
    except Exception as error:
        return [], f"CuPy finds no usable device ({_line(error)})"


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def worker_versions(client: Client, packages: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Versions of Python and of packages by place: ``here``, ``scheduler`` and the workers' addresses."""
    names = list(packages)
    versions: Any = client.get_versions(packages=names)
    places = {"here": versions["client"], "scheduler": versions["scheduler"], **versions["workers"]}
    return {
        place: {"python": found["packages"]["python"], **{n: found["packages"].get(n) for n in names}}
        for place, found in places.items()
    }


def give_back_memory() -> None:
    """Have this process's allocator give back to the system what it keeps for later, where it is glibc's."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
