"""Nobody waits for messages of a cluster of our own."""

from __future__ import annotations

import os
import signal
import time

import pytest
from distributed import Client, LocalCluster

from ptychodask.distributed.cluster import connect
from ptychodask.model.place import Place


def intervals(client, scheduler):
    to_client, to_workers = scheduler.client_comms[client.id], scheduler.stream_comms.values()
    from_workers = client.run(lambda dask_worker: dask_worker.batched_stream.interval).values()
    here = [sender.interval for sender in (client.scheduler_comm, to_client, *to_workers)]
    return {*here, *from_workers}, len(from_workers)


def test_in_threads():
    with connect() as client:
        assert intervals(client, client.cluster.scheduler) == ({0}, 1)


@pytest.mark.distributed
def test_in_processes_also_after_one_was_replaced():
    with connect(place=Place(workers=2, threads=1)) as client:
        scheduler = client.cluster.scheduler
        assert intervals(client, scheduler) == ({0}, 2)
        before = set(scheduler.workers)
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while len(scheduler.workers) < 2 or set(scheduler.workers) == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert intervals(client, scheduler) == ({0}, 2)


def test_a_cluster_of_somebody_else_is_left_as_it_is():
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as mine,
        connect(mine) as client,
    ):
        assert 0 not in intervals(client, cluster.scheduler)[0]
