"""What fits stays: the cache of prepared blocks keeps its budget, and a run never evicts its own blocks."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ptychodask.distributed.cache import WORKER_CACHE, BlockCache


@dataclass(frozen=True)
class Entry:
    name: object
    nbytes: int = 10


def fetch(cache, run, name, budget=100, nbytes=10):
    return cache.get(run, name, lambda: Entry((run, name), nbytes), budget)


def test_an_entry_is_made_once_and_then_found():
    cache, made = BlockCache(), []

    def make():
        made.append(1)
        return Entry("a")

    first, found_first = cache.get("run", 0, make, 100)
    second, found_second = cache.get("run", 0, make, 100)
    assert first is second and (found_first, found_second) == (False, True)
    assert len(made) == 1 and cache.nbytes == 10


def test_runs_and_blocks_do_not_share_entries():
    cache = BlockCache()
    assert fetch(cache, "a", 0)[0].name == ("a", 0)
    assert fetch(cache, "b", 0)[0].name == ("b", 0)
    assert fetch(cache, "a", 1)[0].name == ("a", 1)
    assert cache.nbytes == 30


def test_the_budget_is_kept_to_the_byte():
    cache = BlockCache()
    for name in range(5):
        fetch(cache, "run", name, budget=30)
    assert cache.nbytes == 30
    exact = BlockCache()
    fetch(exact, "run", 0, budget=10)
    assert exact.nbytes == 10
    none = BlockCache()
    value, found = fetch(none, "run", 0, budget=0)
    assert none.nbytes == 0 and not found and value.name == ("run", 0)


def test_a_cyclic_visit_keeps_hitting_what_fits():
    """Dropping the least recently used would miss every time."""
    cache = BlockCache()
    for _ in range(3):
        hits = [fetch(cache, "run", name, budget=30)[1] for name in range(5)]
    assert hits == [True, True, True, False, False]


def test_entries_of_other_runs_go_first_and_only_as_many_as_needed():
    cache = BlockCache()
    for name in range(3):
        fetch(cache, "old", name, budget=30)
    fetch(cache, "new", 0, budget=30)
    assert cache.nbytes == 30
    assert [fetch(cache, "old", name, budget=0)[1] for name in range(3)] == [False, True, True]
    fetch(cache, "new", 1, budget=30)
    fetch(cache, "new", 2, budget=30)
    fetch(cache, "new", 3, budget=30)
    assert [fetch(cache, "new", name, budget=0)[1] for name in range(4)] == [True, True, True, False]


def test_what_cannot_fit_drops_nothing():
    cache = BlockCache()
    fetch(cache, "old", 0, budget=30)
    fetch(cache, "new", 0, budget=30, nbytes=31)
    assert cache.nbytes == 10 and fetch(cache, "old", 0, budget=30)[1]


def test_threads_may_use_it_together():
    cache, wrong, start = BlockCache(), [], threading.Barrier(8)

    def visit(run):
        start.wait()
        for turn in range(300):
            name = turn % 7
            value, _ = fetch(cache, run, name, budget=100)
            if value.name != (run, name):
                wrong.append(value)
            if cache.nbytes > 100:
                wrong.append(cache.nbytes)

    threads = [threading.Thread(target=visit, args=(f"run {i % 2}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.nbytes <= 100


def test_a_slow_read_does_not_hold_up_other_threads():
    cache, reading, go_on = BlockCache(), threading.Event(), threading.Event()

    def slow():
        reading.set()
        assert go_on.wait(10)
        return Entry("slow")

    thread = threading.Thread(target=cache.get, args=("run", "slow", slow, 100))
    thread.start()
    assert reading.wait(10)
    other = threading.Thread(target=fetch, args=(cache, "run", "quick"))
    other.start()
    other.join(5)
    stuck = other.is_alive()
    go_on.set()
    thread.join()
    assert not stuck and cache.nbytes == 20


def test_a_failed_read_leaves_nothing():
    cache = BlockCache()

    def fail():
        raise OSError("disk")

    for _ in range(2):
        try:
            cache.get("run", 0, fail, 100)
        except OSError:
            pass
        else:
            raise AssertionError("the error was swallowed")
    assert cache.nbytes == 0
    assert fetch(cache, "run", 0)[1] is False


def test_a_process_has_one():
    assert isinstance(WORKER_CACHE, BlockCache)
