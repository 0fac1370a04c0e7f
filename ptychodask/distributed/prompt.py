"""Messages of a cluster of our own leave at once.

Dask lets them wait for others, up to 10 ms on their way from the client, 5 ms to a worker and 2 ms back, which spares a
scheduler of hundreds of workers some work. An iteration is a chain of tasks, each of which waits for the one before:
where blocks take a millisecond, it would wait more than it computes. No option of Dask says how long.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from distributed import Client, SchedulerPlugin, WorkerPlugin


def speak_promptly(scheduler: Any, client: Client) -> None:
    """Let messages between a scheduler of this process, its workers and this client leave at once.

    Parameters
    ----------
    scheduler : distributed.Scheduler
    client : distributed.Client
        Connected to it.
    """
    with suppress(AttributeError, KeyError):  # not documented: another version may do without
        both_ways: Any = (client.scheduler_comm, scheduler.client_comms[client.id])
        for sender in both_ways:
            sender.interval = 0
        to_workers = _ToWorkers()
        scheduler.add_plugin(to_workers)
        for worker in list(scheduler.stream_comms):
            to_workers.add_worker(scheduler, worker)
    client.register_plugin(_FromWorkers())


class _ToWorkers(SchedulerPlugin):
    """Also to workers that replace others."""

    name = "ptychodask-prompt-to-workers"

    def add_worker(self, scheduler: Any, worker: str) -> None:
        with suppress(AttributeError, KeyError):
            scheduler.stream_comms[worker].interval = 0


class _FromWorkers(WorkerPlugin):
    name = "ptychodask-prompt-from-workers"

    def setup(self, worker: Any) -> None:
        with suppress(AttributeError):
            worker.batched_stream.interval = 0
