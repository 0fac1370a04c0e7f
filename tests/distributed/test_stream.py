"""Blocks come from the cache, from the reader, or from the store: the same data, and every byte reported once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest
from distributed import Client

from ptychodask.distributed import stream
from ptychodask.distributed.cache import AHEAD, BlockCache
from ptychodask.distributed.iterate import Job, map_blocks, new_name, workers_of
from ptychodask.distributed.placement import placement
from ptychodask.distributed.stream import Supply, block_data, supplies
from ptychodask.model.blocks import make_blocks

READS: list[tuple[int, str]] = []


@dataclass(frozen=True)
class Source:
    """Counts of value ``index`` in two strips per block, read slowly."""

    delay: float = 0.0
    broken: int = -1
    key: str = "source"
    rows: int = 2

    def read(self, block):
        time.sleep(self.delay)
        READS.append((block.index, threading.current_thread().name))
        if block.index == self.broken:
            raise OSError(f"block {block.index} is damaged")
        return np.full((block.size, 2, 2), block.index, np.uint8)

    def nbytes(self, block):
        return 4 * block.size


@dataclass(frozen=True)
class Algorithm:
    data_key: str = "plain"

    def prepare(self, block, counts):
        return np.concatenate(list(counts))


BLOCKS = make_blocks((8, 4), (4, 1))
BYTES = 4 * 4


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    cache = BlockCache()
    monkeypatch.setattr(stream, "WORKER_CACHE", cache)
    READS.clear()
    return cache


def settle(cache):
    if cache._reader is not None:
        cache._reader.submit(int).result(10)


def visit(source, budget, passes=3, blocks=BLOCKS):
    """Take the blocks in order, pass after pass, as a worker with one thread does."""
    hints = supplies(blocks, ["here"] * len(blocks), {"here": 1}, budget, True)
    found = []
    for _ in range(passes):
        for block, supply in zip(blocks, hints, strict=True):
            got = block_data(Algorithm(), source, block, supply)
            assert (got.data == block.index).all() and len(got.data) == block.size
            settle(stream.WORKER_CACHE)
            found.append(got.bytes_read)
    return np.reshape(found, (passes, -1))


@pytest.mark.parametrize("budget", [0, BYTES, 3 * BYTES, 5 * BYTES, 8 * BYTES, 1000])
def test_every_byte_that_is_needed_is_reported_once_and_where_it_is_used(budget):
    read = visit(Source(), budget)
    assert (read[0] == BYTES).all()
    kept = 8 if budget >= 8 * BYTES else max(0, budget // BYTES - AHEAD)
    np.testing.assert_array_equal(read[2], [0] * kept + [BYTES] * (8 - kept))


def test_the_reader_reads_all_but_the_first_block_and_the_first_that_does_not_fit(fresh):
    visit(Source(), 4 * BYTES, passes=3)
    by_tasks = [index for index, thread in READS if "reader" not in thread]
    assert by_tasks == [0, 0, 4, 4]  # two strips each, in the first pass
    assert fresh.nbytes <= 4 * BYTES


def test_the_next_block_is_read_while_one_is_computed():
    """Computing a block does not end before the next one was read: only another thread can have read it."""
    hints = supplies(BLOCKS, ["here"] * 8, {"here": 1}, 4 * BYTES, True)
    visit(Source(), 4 * BYTES, passes=1)
    READS.clear()
    for block, supply in zip(BLOCKS, hints, strict=True):
        block_data(Algorithm(), Source(), block, supply)
        wanted = {b.index for b in supply.following} - {0, 1}  # those are kept
        late = time.monotonic() + 10
        while not wanted <= {index for index, _ in READS}:
            assert time.monotonic() < late, (block, wanted, READS)
            time.sleep(0.001)


def test_seconds_of_reading_and_of_waiting_are_told_where_the_block_is_used():
    """Every strip takes 20 ms, by whomever it is read."""
    source, hints = Source(delay=0.02), supplies(BLOCKS, ["here"] * 8, {"here": 1}, 4 * BYTES, True)
    first, second, *rest = [block_data(Algorithm(), source, b, s) for b, s in zip(BLOCKS, hints, strict=True)]
    assert first.seconds_reading > 0.02 and first.seconds_waiting == 0  # nobody had read it ahead
    assert min(got.seconds_reading for got in (second, *rest)) > 0.02
    assert max(got.seconds_waiting for got in (second, *rest)) > 0.01  # for nothing is computed meanwhile
    kept = block_data(Algorithm(), source, BLOCKS[0], hints[0])
    assert (kept.bytes_read, kept.seconds_reading, kept.seconds_waiting) == (0, 0, 0)


def test_a_damaged_block_fails_in_its_own_task():
    hints = supplies(BLOCKS, ["here"] * 8, {"here": 1}, 1000, True)
    source = Source(broken=2)
    for block, supply in zip(BLOCKS[:2], hints, strict=False):
        block_data(Algorithm(), source, block, supply)
    settle(stream.WORKER_CACHE)
    with pytest.raises(OSError, match="block 2 is damaged"):
        block_data(Algorithm(), source, BLOCKS[2], hints[2])
    assert [thread for index, thread in READS if index == 2 and "reader" in thread]  # it had been tried before
    assert (block_data(Algorithm(), source, BLOCKS[3], hints[3]).data == 3).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 20])
def test_hints_name_what_the_place_takes_next(threads):
    blocks = make_blocks((1, 11), (1, 1))
    places = ["a"] * 6 + ["b"] * 5
    hints = [[b.index for b in s.following] for s in supplies(blocks, places, {"a": threads, "b": 1}, 0, False)]
    assert hints[6:] == [[7, 8], [8, 9], [9, 10], [10], []]
    assert hints[:6] == [[k for k in (i + threads, i + threads + 1) if k < 6] for i in range(6)]


def test_hints_go_on_with_the_first_blocks_where_another_pass_follows():
    blocks = make_blocks((1, 5), (1, 1))
    hints = [[b.index for b in s.following] for s in supplies(blocks, ["a"] * 5, {"a": 2}, 0, True)]
    assert hints == [[2, 3], [3, 4], [4, 0], [0, 1], [1, 2]]
    alone = supplies(blocks[:1], ["a"], {"a": 1}, 0, True)
    assert alone == [Supply(0)]


def _sum(algorithm, source, block, supply):
    got = block_data(algorithm, source, block, supply)
    time.sleep(0.002)
    return int(got.data.sum()), got.bytes_read


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("threads", [1, 3])
def test_tasks_of_a_cluster_read_ahead(workers, threads, fresh):
    """Workers that are threads of this process share the cache, so blocks also come from where nobody expects them."""
    blocks = make_blocks((4, 30), (4, 1))
    with Client(
        processes=False, n_workers=workers, threads_per_worker=threads, dashboard_address=None, protocol="inproc"
    ) as client:
        algorithm = client.submit(Algorithm, pure=False)
        job = Job(client, algorithm, False, Source(delay=0.001), blocks, 6 * BYTES, new_name())
        places = placement(len(blocks), list(workers_of(client)))
        for turn in range(3):
            out = client.gather(map_blocks(job, f"turn{turn}", _sum, lambda b: (), places, goes_on=turn < 2))
            assert [total for total, _ in out] == [16 * b.index for b in blocks]
    settle(fresh)
    assert [thread for _, thread in READS if "reader" in thread]
    assert fresh.nbytes <= 6 * BYTES and fresh.ahead <= AHEAD
