"""What fits stays: the cache of prepared blocks keeps its budget, and a run never evicts its own blocks."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from ptychodask.distributed.cache import AHEAD, STALE, BlockCache


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


# -- reading ahead -------------------------------------------------------------------------------------------------


class Reads:
    """Makes entries of 10 bytes, and keeps count; a gate holds them up."""

    def __init__(self, run="run", nbytes=10, fail=False):
        self.run, self.nbytes, self.fail = run, nbytes, fail
        self.made, self.threads, self.gate = [], set(), threading.Event()
        self.gate.set()

    def of(self, *names):
        return [(name, lambda name=name: self(name)) for name in names]

    def __call__(self, name):
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(10)
        self.made.append(name)
        if self.fail:
            raise OSError(f"block {name} is damaged")
        return Entry((self.run, name), self.nbytes)


def settle(cache):
    """Wait until the reader has nothing to do."""
    if cache._reader is not None:
        cache._reader.submit(int).result(10)


def known(cache, reads, budget):
    """A cache that knows how large the run's blocks are."""
    cache.get(reads.run, "first", lambda: reads("first"), budget)
    reads.made.clear()
    reads.threads.clear()


def test_a_block_that_was_read_ahead_is_not_read_again():
    cache, reads = BlockCache(), Reads()
    known(cache, reads, 100)
    cache.read_ahead("run", reads.of(1), 100)
    value, kept = cache.get("run", 1, lambda: reads("again"), 100)
    assert reads.made == [1] and value.name == ("run", 1) and not kept
    assert all("reader" in name for name in reads.threads)
    assert cache.get("run", 1, lambda: reads("again"), 100) == (value, True)
    assert cache.ahead == 0


def test_a_task_waits_for_a_read_under_way_and_reads_itself_what_has_not_begun():
    cache, reads = BlockCache(), Reads()
    known(cache, reads, 100)
    reads.gate.clear()
    cache.read_ahead("run", reads.of(1, 2), 100)
    second = cache.get("run", 2, lambda: Entry("by the task"), 100)[0]  # waits behind block 1, so the task takes it
    assert second.name == "by the task"
    got = []
    waiting = threading.Thread(target=lambda: got.append(cache.get("run", 1, lambda: reads("again"), 100)[0]))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive() and not got
    reads.gate.set()
    waiting.join(10)
    settle(cache)
    assert [g.name for g in got] == [("run", 1)] and reads.made == [1] and cache.ahead == 0


def test_at_most_two_are_read_ahead_by_one_thread():
    cache, reads = BlockCache(), Reads()
    known(cache, reads, 1000)
    cache.read_ahead("run", reads.of(1, 2, 3, 4), 1000)
    cache.read_ahead("run", reads.of(3, 4, 5), 1000)
    settle(cache)
    assert AHEAD == 2 and reads.made == [1, 2] and cache.ahead == 2 and cache.nbytes == 30
    assert len(reads.threads) == 1


def test_what_is_cached_or_under_way_is_not_read_again():
    cache, reads = BlockCache(), Reads()
    known(cache, reads, 100)
    cache.read_ahead("run", reads.of("first", 1), 100)
    cache.read_ahead("run", reads.of(1), 100)
    settle(cache)
    assert reads.made == [1]


def test_reading_ahead_counts_in_the_budget():
    """A run that does not fit gives up its last entries for it; the cycle then hits all but those, and never more."""
    cache, reads, budget = BlockCache(), Reads(), 50
    for _ in range(3):
        reads.made.clear()
        hits = []
        for name in range(8):
            hits.append(cache.get("run", name, lambda name=name: reads(name), budget)[1])
            cache.read_ahead("run", reads.of((name + 1) % 8, (name + 2) % 8), budget)
            settle(cache)
            assert cache.nbytes <= budget
    assert hits == [True] * 3 + [False] * 5
    assert sorted(reads.made) == [3, 4, 5, 6, 7]


def test_what_fits_is_all_kept_although_it_was_read_ahead():
    cache, reads, budget = BlockCache(), Reads(), 80
    for _ in range(2):
        hits = []
        for name in range(8):
            hits.append(cache.get("run", name, lambda name=name: reads(name), budget)[1])
            cache.read_ahead("run", reads.of((name + 1) % 8, (name + 2) % 8), budget)
            settle(cache)
            assert cache.nbytes <= budget
    assert all(hits) and sorted(reads.made) == list(range(8)) and cache.ahead == 0


def test_a_budget_of_less_than_a_block_reads_nothing_ahead():
    for budget in (0, 9):
        cache, reads = BlockCache(), Reads()
        for name in range(3):
            cache.get("run", name, reads.of(name)[0][1], budget)
            cache.read_ahead("run", reads.of(name + 1), budget)
        assert reads.made == [0, 1, 2] and cache.ahead == 0 and cache.nbytes == 0


def test_a_budget_of_one_block_reads_one_ahead():
    cache, reads = BlockCache(), Reads()
    for name in range(4):
        cache.get("run", name, lambda name=name: reads(name), 15)
        cache.read_ahead("run", reads.of(name + 1, name + 2), 15)
        settle(cache)
        assert cache.ahead == (name > 0)  # that block 1 does not fit is known once it is there
        assert cache.nbytes == 10
    assert reads.made == [0, 1, 2, 3, 4]


def test_a_failed_read_ahead_is_tried_again_by_the_task_and_fails_there():
    cache, good = BlockCache(), Reads()
    known(cache, good, 100)
    bad = Reads(fail=True)
    cache.read_ahead("run", bad.of(1, 2), 100)
    settle(cache)
    assert bad.made == [1, 2] and cache.nbytes == 10
    assert cache.get("run", 1, lambda: good(1), 100)[0].name == ("run", 1)
    with pytest.raises(OSError, match="block 2 is damaged"):
        cache.get("run", 2, lambda: bad(2), 100)
    assert cache.ahead == 0


def test_blocks_read_ahead_for_another_run_are_given_up():
    cache, old, new = BlockCache(), Reads("old"), Reads("new")
    known(cache, old, 100)
    cache.read_ahead("old", old.of(1, 2), 100)
    settle(cache)
    known(cache, new, 100)
    cache.read_ahead("new", new.of(1), 100)
    settle(cache)
    assert new.made == [1] and cache.ahead == 1


def test_a_block_that_nobody_fetches_is_given_up():
    """It was moved to another worker; the room must not be lost for the rest of the run."""
    cache, reads = BlockCache(), Reads()
    known(cache, reads, 100)
    cache.read_ahead("run", reads.of("moved", "moved too"), 100)
    for _ in range(STALE):
        cache.read_ahead("run", reads.of(1), 100)
    assert cache.ahead == 2
    cache.read_ahead("run", reads.of(1), 100)
    settle(cache)
    assert reads.made == ["moved", "moved too", 1] and cache.ahead == 1


def test_threads_may_read_ahead_together():
    cache, wrong, start = BlockCache(), [], threading.Barrier(6)

    def visit():
        start.wait()
        for turn in range(400):
            name = turn % 9
            value, _ = fetch(cache, "run", name, budget=45)
            cache.read_ahead("run", Reads().of((name + 1) % 9, (name + 2) % 9), 45)
            if value.name != ("run", name) or cache.nbytes > 45 or cache.ahead > AHEAD:
                wrong.append((value, cache.nbytes, cache.ahead))

    threads = [threading.Thread(target=visit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
