"""Seconds that blocks took, by worker: small tables that travel with updates and are merged with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from distributed import get_worker

from ..events import WorkerSeconds

HERE = "inproc://here"
"""Address of the thread that computes, where no worker does."""
Spent = tuple[WorkerSeconds, ...]
"""One entry per worker, in the order of their addresses."""


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """A value, and the seconds until it was there."""
    started = time.perf_counter()
    value = function(*arguments)
    return value, time.perf_counter() - started


def of_this_worker(computing: float, reading: float, waiting: float) -> Spent:
    """Seconds of a task, in which this is called."""
    try:
        worker = get_worker().address
    except ValueError:
        worker = HERE
    return (WorkerSeconds(worker, computing, reading, waiting),)


def add(tables: Iterable[Spent]) -> Spent:
    """Sums by worker."""
    found: dict[str, WorkerSeconds] = {}
    for entry in chain.from_iterable(tables):
        found[entry.worker] = found[entry.worker] + entry if entry.worker in found else entry
    return tuple(found[worker] for worker in sorted(found))


def totals(spent: Spent) -> dict[str, float]:
    """Seconds of all workers."""
    names = ("seconds_computing", "seconds_reading", "seconds_waiting")
    return {name: sum((getattr(entry, name) for entry in spent), 0.0) for name in names}
