"""Real runs on this machine for ``scaling_model.py``: wall clock, CPU of the workers, and seconds in their kernels."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

import ptychodask
from ptychodask.events import Event, Iterated


def used() -> tuple[float, float]:
    """On a worker: CPU seconds of the process, and of its main thread, the event loop."""
    return time.process_time(), time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident or 0))


def run(client: Client, path: Path, job: dict[str, Any]) -> list[float]:
    """Seconds of an iteration: wall clock, CPU of all workers and of their event loops, wall clock in the kernels."""
    seen: list[list[float]] = []
    computing: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Iterated):
            seen.append([time.perf_counter(), *np.sum(list(client.run(used).values()), axis=0)])
            computing.append(event.seconds_computing)

    ptychodask.reconstruct(path, job, client, progress=watch)
    # the first pass compiles; the last one only looks, and is in flight beside the one before it
    counted = len(seen) - 4
    return [*(float(b - a) / counted for a, b in zip(seen[1], seen[-3], strict=True)), sum(computing[2:-2]) / counted]
