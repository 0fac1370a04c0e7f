"""Where a job runs: nothing listens beyond this machine, and what was not started here is left alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from types import SimpleNamespace

import dask
import psutil
import pytest
from dask.utils import parse_timedelta
from distributed import Client, KilledWorker, LocalCluster, Scheduler, Worker

from ptychodask import InputError
from ptychodask.distributed import cluster
from ptychodask.distributed.cluster import connect, describe
from ptychodask.model.place import Place


def listeners() -> set[tuple[str, int]]:
    """Addresses on which this process or a child of it listens."""
    me = psutil.Process()
    found = set()
    for process in [me, *me.children(recursive=True)]:
        try:
            connections = process.net_connections("inet")
        except psutil.Error:
            continue
        found |= {tuple(c.laddr) for c in connections if c.status == psutil.CONN_LISTEN}
    return found


def test_by_default_threads_serve_and_only_loopback_listens():
    before = listeners()
    with connect() as client:
        new = listeners() - before
        about = describe(client)
        assert client.submit(os.getpid).result() == os.getpid()
    assert new, "the dashboard listens, or this test sees nothing"
    assert {host for host, _ in new} <= {"127.0.0.1", "::1"}, new
    assert about["workers"] == 1 and about["threads"] >= 1
    assert about["dashboard"].startswith("http://127.0.0.1:")
    assert int(about["dashboard"].split(":")[2].split("/")[0]) in {port for _, port in new}
    assert client.status == "closed"
    assert not listeners() - before


@pytest.mark.distributed
def test_worker_processes_listen_on_loopback_only_and_ignore_control_c():
    before = listeners()
    with connect(place=Place(workers=2, threads=1)) as client:
        new = listeners() - before
        pids = client.run(os.getpid)
        about = describe(client)
        assert len(set(pids.values()) - {os.getpid()}) == 2
        # what is freed is kept for the next block, whatever Dask has as default
        assert set(client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values()) == {str(64 * 2**20)}
        for pid in pids.values():
            os.kill(pid, signal.SIGINT)
        assert set(client.run(os.getpid).values()) == set(pids.values())
    assert {host for host, _ in new} <= {"127.0.0.1", "::1"}, new
    assert len(new) >= 5  # scheduler, dashboard, and every worker
    assert (about["workers"], about["threads"]) == (2, 2)
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_threads_are_as_asked():
    with connect(place=Place(threads=3)) as client:
        assert describe(client)["threads"] == 3


def test_blocks_stay_where_they_were_put():
    with connect() as client:
        extensions = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.extensions))
    assert extensions and "stealing" not in extensions


def test_a_given_client_is_used_and_left_open():
    with Client(processes=False, dashboard_address="127.0.0.1:0", n_workers=1, threads_per_worker=1) as mine:
        with connect(mine, place=Place(workers=5)) as client:
            assert client is mine
        assert mine.status == "running"
        assert mine.submit(int, 3).result() == 3
        with pytest.raises(KeyError), connect(client=mine):
            raise KeyError
        assert mine.status == "running"


def test_a_running_scheduler_is_attached_to_and_left_running():
    with LocalCluster(
        1, processes=False, protocol="tcp", host="127.0.0.1", threads_per_worker=2, dashboard_address="127.0.0.1:0"
    ) as running:
        with connect(place=Place(scheduler=running.scheduler_address)) as client:
            assert client.submit(int, 3).result() == 3
            assert describe(client)["threads"] == 2
        assert client.status == "closed"
        with connect(place=Place(scheduler=running.scheduler_address)) as again:
            assert again.submit(int, 4).result() == 4


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:port"])
def test_an_unreachable_scheduler_is_one_line(monkeypatch, address):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with (
        pytest.raises(InputError, match="no Dask scheduler answers at") as error,
        connect(place=Place(scheduler=address)),
    ):
        pass
    assert address in str(error.value) and "dask scheduler" in str(error.value) and "\n" not in str(error.value)
    assert "tcp://host:port" in str(error.value)


@pytest.mark.parametrize("scheme", ["tcp://", "tls://", ""])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_where_nobody_listens_is_told_without_waiting(monkeypatch, scheme, host):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 5)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody else takes the port, and nobody listens
        address = f"{scheme}{host}:{held.getsockname()[1]}"
        with (
            pytest.raises(InputError, match=rf"no Dask scheduler answers at {address} \(ConnectionRefusedError\)"),
            connect(client=address),
        ):
            pass


def test_a_port_behind_which_nobody_speaks_is_not_waited_for_for_ever(monkeypatch):
    """Dask alone has no limit there."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        with (
            pytest.raises(InputError, match=r"no Dask scheduler answers at .* \(TimeoutError\)"),
            connect(place=Place(scheduler=address)),
        ):
            pass


def test_dask_itself_is_left_as_it_was(monkeypatch):
    """Whatever else this process computes with dask goes on as before, also after a failure."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    before = dask.config.get("scheduler", None)
    with connect():
        assert dask.config.get("scheduler", None) == before
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(InputError), connect(place=Place(scheduler=address)):
            pass
    assert dask.config.get("scheduler", None) == before
    assert dask.delayed(int)(3).compute() == 3


def test_what_was_started_is_closed_after_an_error():
    before = listeners()
    with pytest.raises(KeyError), connect() as client:
        raise KeyError
    assert client.status == "closed"
    assert not listeners() - before


def test_a_lost_cluster_is_told_from_an_error_of_the_work():
    worker = SimpleNamespace(address="tcp://10.0.0.1:5")  # what Dask's error keeps of a worker is not ours to build
    text = cluster.cluster_trouble(KilledWorker("partial-3", worker, 3))
    assert "on 4 workers that died, the last at tcp://10.0.0.1:5" in text and "memory" in text
    with Client(processes=False, dashboard_address="127.0.0.1:0", n_workers=1, threads_per_worker=1) as client:
        future = client.submit(int, 3)
        future.cancel()
        with pytest.raises(Exception) as cancelled:
            future.result()
        left = client
    assert "scheduler is gone" in cluster.cluster_trouble(cancelled.value)
    with pytest.raises(Exception) as closed:
        left.submit(int, 4)
    assert "scheduler is gone" in cluster.cluster_trouble(closed.value)
    assert (
        cluster.cluster_trouble(ValueError("negative")) is None and cluster.cluster_trouble(OSError(28, "full")) is None
    )


def test_a_worker_that_dies_twice_is_not_given_up():
    """Dask would close a worker that is down 15 s after an earlier death, and a cluster of one would be empty."""
    before = dask.config.get("distributed.deploy.lost-worker-timeout")
    with connect():
        assert parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout")) > 10 * 86_400
    assert dask.config.get("distributed.deploy.lost-worker-timeout") == before


# -- clients that callers have
# ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running():
    with LocalCluster(
        1, processes=False, protocol="tcp", host="127.0.0.1", threads_per_worker=1, dashboard_address=None
    ) as started:
        yield started


def test_a_cluster_or_an_address_will_do_for_a_client(running):
    for given in (running, running.scheduler_address):
        with connect(given) as client:
            assert client.submit(int, 3).result() == 3
        assert client.status == "closed"
    assert running.status.name == "running"


def test_a_client_that_cannot_be_used_is_one_line(running, monkeypatch):
    with Client(running, set_as_default=False) as closed:
        pass

    async def asynchronous():
        async with Client(running.scheduler_address, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(InputError, match="client is asynchronous: make it without") as error, connect(client):
                pass
        return str(error.value)

    lines = [asyncio.run(asynchronous())]
    for given, message in [
        (closed, "client is closed: open a new one"),
        (3, "client is int '3': give a distributed.Client, a cluster or an address"),
        ({"workers": 2}, "client is dict"),
        ("nonsense://x", "no Dask scheduler answers at nonsense://x"),
    ]:
        with pytest.raises(InputError, match=message) as error, connect(given):
            pass
        lines.append(str(error.value))
    assert not any("\n" in line for line in lines)


def test_a_client_without_workers_is_waited_for_a_while(monkeypatch):
    monkeypatch.setattr(cluster, "WORKERS_SECONDS", 0.2)
    told = []
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", threads_per_worker=1, dashboard_address=None
    ) as empty:
        with (
            Client(empty.scheduler_address, set_as_default=False) as client,
            pytest.raises(InputError, match=r"has no workers after 0.2 s: start some"),
            connect(client, told.append),
        ):
            pass
        assert len(told) == 1 and "no workers yet" in told[0]
        empty.adapt(minimum=0, maximum=1, interval="50ms")  # starts workers for work only
        with Client(empty, set_as_default=False) as client, connect(client, told.append) as usable:
            assert usable.submit(int, 3).result() == 3


def test_what_dask_logs_is_not_printed_during_a_run(running, capsys):
    logger = logging.getLogger("distributed.client")
    with connect(running):
        logger.error("lost")
        logging.getLogger("asyncio").error("lost")
    assert "lost" not in capsys.readouterr().err
    assert not any(handler.filters for handler in logging.getLogger("distributed").handlers)


def test_nothing_is_kept_of_a_cluster_that_was_closed():
    def kept():
        gc.collect()
        return [type(o).__name__ for o in gc.get_objects() if issubclass(type(o), (Scheduler, Worker, Client))]

    with connect():
        pass
    before, paths = kept(), set(sys.path_importer_cache)
    for _ in range(3):
        with connect() as client:
            assert client.submit(int, 3).result() == 3
        del client
    for _ in range(100):  # threads that close connections may still hold some
        if len(kept()) <= len(before):
            break
        time.sleep(0.1)
    assert len(kept()) <= len(before), (before, kept())
    assert set(sys.path_importer_cache) == paths
