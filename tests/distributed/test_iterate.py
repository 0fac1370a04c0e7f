"""The loop knows no physics: here it runs an algorithm of plain numbers and texts, on a lone tile."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import dask
import pytest
from distributed import Client

from ptychodask.distributed import iterate, rounds, stream, tiled
from ptychodask.distributed.cache import BlockCache
from ptychodask.distributed.iterate import FAN_IN, IN_FLIGHT, Job, map_blocks, merge_tree, new_name
from ptychodask.distributed.maps import run_all
from ptychodask.distributed.placement import placement
from ptychodask.distributed.rounds import places_of
from ptychodask.distributed.tiled import InTiles, tiled_passes
from ptychodask.model.blocks import make_blocks
from ptychodask.model.tiles import Rect, make_tiles


@dataclass(frozen=True)
class Counts:
    """What the source reads."""

    value: int
    nbytes: int = 5


@dataclass(frozen=True)
class Number:
    """An update: a number and the recorded order in which it was merged."""

    value: float
    order: str
    nbytes: int = 3


@dataclass(frozen=True)
class Source:
    key: str = "numbers"
    rows: int = 1

    def read(self, block):
        READS.append(block.index)
        return Counts(block.index + 1)

    def nbytes(self, block):
        return Counts(block.index + 1).nbytes


READS: list[int] = []
CALLS: list[tuple[str, Any]] = []
LATE = threading.Event()


def _late_part(index):
    if index == 0:
        assert LATE.wait(10)
    return iterate.Parcel(Number(1.0, str(index)), 0, 0)


@dataclass(frozen=True)
class Both:
    tile: float
    shared: float


@dataclass(frozen=True)
class Toy:
    """state -> state + sum over blocks of (index + 1) * state; merging is recorded and does not commute.

    The shared state counts the updates.
    """

    searches_line: bool = False
    data_key: str = "toy"

    def prepare(self, block, counts):
        (only,) = counts
        return Counts(10 * only.value)

    def assemble(self, index, state, shared, frames):
        assert index == 0 and frames == []
        return state

    def partial(self, block, data, model, evaluate_only):
        CALLS.append(("evaluate" if evaluate_only else "partial", block.index))
        return Number(data.value / 10 * model, str(block.index))

    def merge(self, updates):
        return Number(sum(u.value for u in updates), "(" + " ".join(u.order for u in updates) + ")")

    def decide(self, state, shared, update):
        return update.value

    def line_search_alone(self, block, data, model, decided):
        CALLS.append(("line", block.index))
        return Number(decided, str(block.index))

    def go_on(self, state, shared, decided, line):
        CALLS.append(("advance", state))
        return Both(state + (decided if line is None else line.value / 1000), shared + 1)

    def scalars(self, update):
        return update

    def metrics(self, update):
        return {"sum": update.value, "order": update.order}


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as started:
        yield started


@pytest.fixture
def make(client, monkeypatch):
    monkeypatch.setattr(stream, "WORKER_CACHE", BlockCache())
    READS.clear()
    CALLS.clear()

    def job(blocks=3, cache_bytes=10_000, rounds=1, **toy):
        algorithm = Toy(**toy)
        future = client.submit(lambda: algorithm, pure=False)
        made = make_blocks((1, blocks), (1, 1))
        return Job(client, future, algorithm.searches_line, Source(), made, cache_bytes, new_name(), rounds)

    return job


def start(client, value):
    return InTiles((client.submit(lambda: value, pure=False),), client.submit(int, pure=False))


def passes(job, state, first, last, **options):
    """On the one tile of the job."""
    tiles = make_tiles((8, 8), 8, [Rect(0, 8, 0, 8)] * len(job.blocks), 0)
    return tiled_passes(job, tiles, state, first, last, **options)


def value(state):
    (tile,) = state.tiles
    return tile.result()


def test_the_states_and_what_was_seen_of_them(make, client):
    seen = list(passes(make(), start(client, 1.0), 0, 3))
    assert [p.iteration for p in seen] == [0, 1, 2, 3]
    # 1 + 2 + 3 blocks: every update multiplies by 7
    assert [value(p.state) for p in seen] == [1.0, 7.0, 49.0, 343.0]
    assert [p.state.shared.result() for p in seen] == [0, 1, 2, 3]
    assert [p.metrics["sum"] for p in seen] == [6.0, 42.0, 294.0, 2058.0]


def test_it_can_start_in_the_middle_and_a_single_pass_only_looks(make, client):
    seen = list(passes(make(), start(client, 2.0), 5, 6))
    assert [(p.iteration, value(p.state)) for p in seen] == [(5, 2.0), (6, 14.0)]
    CALLS.clear()
    only = list(passes(make(), start(client, 2.0), 4, 4))
    assert [(p.iteration, value(p.state)) for p in only] == [(4, 2.0)]
    assert {name for name, _ in CALLS} == {"evaluate"}
    assert list(passes(make(), start(client, 2.0), 4, 3)) == []


def test_the_last_pass_only_evaluates(make, client):
    list(passes(make(), start(client, 1.0), 0, 2))
    names = [name for name, _ in CALLS]
    assert names.count("partial") == 6 and names.count("evaluate") == 3 and names.count("advance") == 2


def test_the_line_search_is_a_second_map(make, client):
    seen = list(passes(make(searches_line=True), start(client, 1.0), 0, 2))
    names = [name for name, _ in CALLS]
    assert names.count("line") == 6
    # three blocks report the move: state + 3 * 6 * state / 1000
    assert [value(p.state) for p in seen] == pytest.approx([1.0, 1.018, 1.018**2])


def test_rounds_deal_out_the_blocks_one_by_one(make, client):
    seen = list(passes(make(blocks=5, rounds=2), start(client, 1.0), 0, 2))
    # blocks 0, 2, 4 weigh 1 + 3 + 5 and blocks 1, 3 weigh 2 + 4: every pass multiplies by 10 and then by 7
    assert [value(p.state) for p in seen] == [1.0, 70.0, 4900.0]
    # the last pass looks at one state; the others at one state per round
    assert [p.metrics["sum"] for p in seen] == [9 + 6 * 10, 70 * 69.0, 4900 * 15.0]
    assert seen[0].metrics["order"] == "((0 2 4) (1 3))"
    assert [p.metrics["bytes_read"] for p in seen] == [25.0, 0.0, 0.0]
    names = [name for name, _ in CALLS]
    assert names.count("advance") == 4 and names.count("partial") == 10 and names.count("evaluate") == 5


def test_counts_are_read_once_and_their_bytes_reported(make, client):
    seen = list(passes(make(), start(client, 1.0), 0, 2))
    assert sorted(READS) == [0, 1, 2]
    assert [p.metrics["bytes_read"] for p in seen] == [15.0, 0.0, 0.0]
    assert [p.metrics["bytes_merged"] for p in seen] == [9.0, 9.0, 9.0]
    assert [p.metrics["bytes_exchanged"] for p in seen] == [0.0, 0.0, 0.0]


def test_without_a_cache_counts_are_read_in_every_pass(make, client):
    seen = list(passes(make(cache_bytes=0), start(client, 1.0), 0, 2))
    assert sorted(READS) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [p.metrics["bytes_read"] for p in seen] == [15.0, 15.0, 15.0]


def test_at_most_two_passes_are_in_flight(make, client, monkeypatch):
    submitted = []
    submit_pass = tiled._submit_pass

    def watched(tiles, job, label, state, last):
        submitted.append(label)
        return submit_pass(tiles, job, label, state, last)

    monkeypatch.setattr(tiled, "_submit_pass", watched)
    running = passes(make(), start(client, 1.0), 0, 6)
    counts = []
    for seen in running:
        counts.append(len(submitted) - seen.iteration)
    assert IN_FLIGHT == 2
    assert counts == [2, 2, 2, 2, 2, 2, 1]


def test_abandoned_passes_are_dropped(make, client):
    running = passes(make(), start(client, 1.0), 0, 100)
    next(running)
    running.close()
    assert len([name for name, _ in CALLS if name == "advance"]) <= 3


def test_cut_is_called_and_its_state_is_gone_on_from(make, client):
    cuts = []

    def cut(iteration, state):
        cuts.append((iteration, value(state)))
        return start(client, -1.0)

    seen = list(passes(make(), start(client, 1.0), 2, 8, cut=cut, cut_every=3))
    assert [i for i, _ in cuts] == [3, 6]
    assert cuts[0][1] == 7.0 and cuts[1][1] == -343.0
    assert [value(p.state) for p in seen] == [1.0, -1.0, -7.0, -49.0, -1.0, -7.0, -49.0]


def test_the_state_it_starts_from_is_not_cut(make, client):
    cuts = []

    def cut(iteration, state):
        cuts.append(iteration)
        return state

    list(passes(make(), start(client, 1.0), 4, 8, cut=cut, cut_every=2))
    assert cuts == [6, 8]


@pytest.mark.parametrize("blocks", [1, 7, 8, 9, 65])
def test_the_merge_tree_has_a_fixed_shape_and_order(make, client, blocks):
    def expected(parts):
        while True:
            parts = ["(" + " ".join(parts[i : i + FAN_IN]) + ")" for i in range(0, len(parts), FAN_IN)]
            if len(parts) == 1:
                return parts[0]

    job = make(blocks)
    orders = set()
    for turn in range(3):
        parts = map_blocks(job, f"turn{turn}", rounds._on_block, lambda b: ("partial", 1.0, False), [""] * blocks)
        orders.add(merge_tree(job, f"turn{turn}", parts).result().update.order)
    assert orders == {expected([str(b) for b in range(blocks)])}


def test_the_tree_does_not_wait_for_the_order_in_which_parts_finish(make, client):
    """The first part comes last; the merge is the same."""
    job = make(9)
    LATE.clear()
    parts = [client.submit(_late_part, i, pure=False) for i in range(9)]
    top = merge_tree(job, "late", parts)
    parts[8].result()
    LATE.set()
    assert top.result().update.order == "((0 1 2 3 4 5 6 7) (8))"


def test_an_error_on_a_worker_comes_to_the_caller(make, client):
    with pytest.raises(ZeroDivisionError):
        broken = InTiles((client.submit(lambda: 1 // 0, pure=False),), client.submit(int, pure=False))
        list(passes(make(), broken, 0, 3))


@pytest.mark.parametrize("blocks", [1, 2, 5, 64])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_placement_is_a_pure_function_of_the_blocks_and_the_set_of_workers(blocks, workers):
    names = [f"tcp://10.0.0.{i}:1" for i in range(workers)]
    places = placement(blocks, names)
    assert places == placement(blocks, names[::-1])
    shares = [places.count(name) for name in names]
    assert max(shares) - min(shares) <= 1 and sum(shares) == blocks


def test_blocks_of_a_lone_tile_are_dealt_out_and_others_stay_with_their_tile(make, monkeypatch):
    names = ["a", "b"]
    monkeypatch.setattr(rounds, "workers_of", lambda client: dict.fromkeys(names, 1))
    blocks, windows = make_blocks((1, 4), (1, 1)), [Rect(0, 8, x, x + 8) for x in (0, 0, 16, 24)]
    alone = places_of(None, make_tiles((8, 32), 32, windows, 0), blocks)
    assert alone.tiles == [""] and alone.blocks == placement(4, names)
    two = places_of(None, make_tiles((8, 32), 16, windows, 0), blocks)
    assert two.tiles == names and two.blocks == ["a", "a", "b", "b"]


@pytest.mark.parametrize("rounds", [1, 2])
def test_seconds_come_by_worker_with_those_of_the_line_search(make, client, monkeypatch, rounds):
    def slow(self, block, data, model, decided):
        time.sleep(0.02)
        return Number(decided, str(block.index))

    monkeypatch.setattr(Toy, "line_search_alone", slow)
    seen = list(passes(make(searches_line=True, rounds=rounds), start(client, 1.0), 0, 2))
    for looked_at in seen:
        (entry,) = looked_at.by_worker
        assert entry.worker in iterate.workers_of(client)
        for name in ("seconds_computing", "seconds_reading", "seconds_waiting"):
            assert looked_at.metrics[name] == getattr(entry, name)
    assert seen[0].by_worker[0].seconds_reading > 0 == seen[1].by_worker[0].seconds_reading  # the counts are kept
    assert all(looked_at.metrics["seconds_computing"] >= 3 * 0.02 for looked_at in seen[:-1])
    assert 0 < seen[-1].metrics["seconds_computing"] < 3 * 0.02  # the last pass only looks


def test_a_pass_can_be_asked_for_while_there_are_no_workers(make, client, monkeypatch):
    for module in (iterate, rounds):
        monkeypatch.setattr(module, "workers_of", lambda client: {})
    assert [value(p.state) for p in passes(make(), start(client, 1.0), 0, 1)] == [1.0, 7.0]


def test_run_all_keeps_the_order_and_counts(client):
    told = []
    assert run_all(client, [(pow, (i, 2)) for i in range(5)], lambda done, all_: told.append((done, all_))) == [
        0,
        1,
        4,
        9,
        16,
    ]
    assert told == [(i, 5) for i in range(6)]


def test_run_all_raises_the_first_error(client):
    with pytest.raises(ZeroDivisionError):
        run_all(client, [(divmod, (1, 0)), (pow, (1, 1))], lambda done, all_: None)


def test_a_worker_takes_its_blocks_in_order(client, make):
    """They all wait for the model and become ready together; what is read ahead is what comes next in this order."""
    job = make(40, cache_bytes=0)
    for turn in range(3):
        READS.clear()
        gate = client.submit(_pause, turn, pure=False)
        client.gather(map_blocks(job, f"ordered{turn}", _after, lambda b, gate=gate: (gate,), [""] * 40))
        # two threads: a block may overtake the one before it
        assert all(abs(index - place) <= 2 for place, index in enumerate(READS)), READS


def _pause(turn):
    time.sleep(0.2)
    return turn


def _after(algorithm, source, block, supply, gate):
    READS.append(block.index)
    time.sleep(0.002)


@pytest.mark.distributed
def test_a_worker_that_dask_has_paused_is_told(monkeypatch):
    monkeypatch.setattr(iterate, "PATIENCE", 0.2)
    told = []

    def waits(text):
        told.append(text)
        raise InterruptedError  # it would wait for ever

    with (
        dask.config.set({"distributed.worker.memory.pause": 0.01}),  # of 2 GiB: what a process takes by itself
        Client(n_workers=1, threads_per_worker=1, memory_limit="2GiB", dashboard_address=None) as client,
    ):
        run, asked = client.run, []
        monkeypatch.setattr(client, "run", lambda function: asked.append(len(run(function))))
        while not (told := iterate.paused_workers(client)):
            time.sleep(0.05)
        algorithm = client.submit(Toy, pure=False)
        job = Job(client, algorithm, False, Source(), make_blocks((1, 2), (1, 1)), 1000, new_name(), waits=waits)
        with pytest.raises(InterruptedError):
            list(passes(job, start(client, 1.0), 0, 1))
    assert asked == [1], "first its memory is asked for"
    assert "is paused by Dask: it holds" in told[-1] and "of its limit of 2048" in told[-1]


def test_an_error_of_a_task_that_is_a_timeout_is_raised(make, client, monkeypatch):
    monkeypatch.setattr(iterate, "PATIENCE", 0.2)

    def late():
        raise TimeoutError("of a disk")

    with pytest.raises(TimeoutError, match="of a disk"):
        iterate._awaited(replace(make(), waits=print), client.submit(late, pure=False))
