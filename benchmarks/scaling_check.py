"""Real runs on this machine for ``scaling_model.py``: wall clock, and where the CPU of the workers goes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

import ptychodask
from ptychodask.solver.lsqml import LsqMl


def watch_kernels() -> None:
    """On a worker: add up the CPU seconds in the kernels."""
    plain = LsqMl.partial
    LsqMl.seconds_in_kernels = 0.0  # type: ignore[attr-defined]

    def timed(self: LsqMl, *arguments: Any) -> Any:
        started = time.thread_time()
        update = plain(self, *arguments)
        LsqMl.seconds_in_kernels += time.thread_time() - started  # type: ignore[attr-defined]
        return update

    LsqMl.partial = timed  # type: ignore[method-assign]


def used() -> tuple[float, float, float]:
    """On a watched worker: CPU seconds of the process, of its kernels, and of its main thread, the event loop."""
    loop = time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident or 0))
    return time.process_time(), LsqMl.seconds_in_kernels, loop  # type: ignore[attr-defined]


def run(client: Client, path: Path, job: dict[str, Any]) -> list[float]:
    """Seconds of an iteration: wall clock, and CPU of all workers, of their kernels, of their event loops."""
    seen: list[list[float]] = []

    def watch(event: str, values: dict[str, Any]) -> None:
        if event == "iteration":
            seen.append([time.perf_counter(), *np.sum(list(client.run(used).values()), axis=0)])

    ptychodask.reconstruct(path, job, client, progress=watch)
    # the first pass compiles; the last one only looks, and is in flight beside the one before it
    return [float(b - a) / (len(seen) - 4) for a, b in zip(seen[1], seen[-3], strict=True)]
