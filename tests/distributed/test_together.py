"""Tasks that are sent as one graph are what they would be one by one."""

from __future__ import annotations

import threading
import time

import pytest
from distributed import Client

from ptychodask.distributed.together import Together

GO = threading.Event()


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as started:
        yield started


def test_tasks_depend_on_each_other_and_on_futures(client):
    sent, together = client.submit(int, 3, pure=False), Together(client)
    four = together.submit(sum, [sent, 1], key="together-four")
    both = together.submit(lambda *a: a, "together-four", [four, sent, [four]], [], None, key="together-both")
    of_four, of_both = together.send("together-values", [four, both])
    assert of_four.result() == 4
    # a text that happens to be a key stays a text
    assert of_both.result() == ("together-four", [4, 3, [4]], [], None)


def test_hints_are_those_of_their_task_and_the_rest_is_forgotten(client):
    workers = list(client.scheduler_info(n_workers=-1)["workers"])
    together, scheduler = Together(client), client.cluster.scheduler
    key = "together-placed-{}".format
    placed = [
        together.submit(
            int, i, key=key(i), workers=[workers[i]] if i < 2 else None, allow_other_workers=i == 1, priority=-i
        )
        for i in range(3)
    ]
    total = together.submit(_wait_for, placed, key="together-total")
    (future,) = together.send("together-hints", [total])
    _until(lambda: "together-total" in scheduler.tasks)
    tasks = [scheduler.tasks[key(i)] for i in range(3)]
    assert [t.worker_restrictions or set() for t in tasks] == [{workers[0]}, {workers[1]}, set()]
    assert [bool(t.loose_restrictions) for t in tasks] == [False, True, False]
    assert [t.priority[0] for t in tasks] == [0, 1, 2]
    GO.set()
    assert future.result() == 3
    _until(lambda: all(scheduler.tasks[key(i)].state == "released" for i in range(3)))


def _wait_for(values):
    GO.wait(10)
    return sum(values)


def _until(happened):
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it does not happen")


def test_all_maps_of_a_pass_see_the_same_workers(client):
    together = Together(client)
    assert together.scheduler_info(n_workers=-1) is together.scheduler_info(n_workers=-1)


def test_an_error_comes_to_who_asked(client):
    together = Together(client)
    broken = together.submit(divmod, 1, 0, key="together-broken")
    after = together.submit(sum, [broken], key="together-after")
    (future,) = together.send("together-error", [after])
    with pytest.raises(ZeroDivisionError):
        future.result()
