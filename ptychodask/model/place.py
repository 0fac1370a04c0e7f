"""Where to run, said once: made of the engine's options, and asked by all that starts, counts or describes workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEVICE_THREADS = 2
"""Threads of this process that share a device: one prepares what the other computes. More of them, sampled with 16,
mostly wait for Python's lock."""


@dataclass(frozen=True)
class Place:
    """Threads of this process, processes of this machine, one worker per CUDA device, or a scheduler that runs.

    Parameters
    ----------
    workers : int, optional
        Processes to start.
    threads : int, optional
        Of each worker.
    gpus : 'all' or tuple of int, optional
        Devices that get a worker each.
    scheduler : str, optional
        Address of a running one.
    host : str
        That workers of our own listen on.
    protocol : 'tcp' or 'ucx', optional
        Between workers of our own.
    tls : (str, str, str), optional
        Files of the certificate authority, of our certificate and of its key.
    device : bool
        Do threads of this process compute on a CUDA device?
    """

    workers: int | None = None
    threads: int | None = None
    gpus: Literal["all"] | tuple[int, ...] | None = None
    scheduler: str | None = None
    host: str = "127.0.0.1"
    protocol: Literal["tcp", "ucx"] | None = None
    tls: tuple[str, str, str] | None = None
    device: bool = False

    @property
    def kind(self) -> Literal["threads", "processes", "devices", "scheduler"]:
        """What takes the work."""
        if self.scheduler is not None:
            return "scheduler"
        if self.gpus is not None:
            return "devices"
        return "threads" if self.workers is None else "processes"

    def count(self, devices: int) -> int:
        """Workers to start where so many devices are found."""
        if self.gpus is not None:
            return devices if self.gpus == "all" else len(self.gpus)
        return self.workers or 1

    def threads_each(self, cores: int) -> int:
        """Threads of a worker on a machine with so many cores, which workers share; one that has a device to itself
        wants one."""
        if self.threads is not None:
            return self.threads
        if self.kind == "threads" and self.device:
            return min(DEVICE_THREADS, cores)
        return 1 if self.gpus is not None else max(1, cores // (self.workers or 1))

    def threads_per_device(self, cores: int) -> int:
        """Threads that may share a device: those of its own worker, or of all workers."""
        if self.gpus is not None or self.threads is not None or self.kind == "threads":
            return self.threads_each(cores) * (1 if self.gpus is not None else self.workers or 1)
        return cores
