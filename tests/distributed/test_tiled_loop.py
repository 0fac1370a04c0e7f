"""The loop over tiles knows no physics: here states are numbers on a line of tiles, and sums record their order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from distributed import Client

from ptychodask.distributed import stream
from ptychodask.distributed.cache import BlockCache
from ptychodask.distributed.iterate import Job, new_name
from ptychodask.distributed.rounds import tile_places
from ptychodask.distributed.tiled import InTiles, tiled_passes
from ptychodask.model.blocks import make_blocks
from ptychodask.model.tiles import Rect, make_tiles


@dataclass(frozen=True)
class Text:
    value: str
    nbytes: int = 1


@dataclass(frozen=True)
class Source:
    key: str = "texts"
    rows: int = 1

    def read(self, block):
        return Text("", 5)

    def nbytes(self, block):
        return 5


CALLS: list[tuple[str, int]] = []


@dataclass(frozen=True)
class Toy:
    """Every value is a text that tells how it was made."""

    data_key: str = "toy"

    def prepare(self, block, counts):
        (strip,) = counts
        return strip

    def lend(self, owner, state, to):
        return Text(f"{state}>{to}", 10)

    def assemble(self, index, state, shared, frames):
        return f"{state}{shared}" + "".join(f"[{f.value}]" for f in frames)

    def partial(self, block, data, model, evaluate_only):
        CALLS.append(("evaluate" if evaluate_only else "partial", block.index))
        return Text(f"b{block.index}({model})", 3)

    def merge(self, updates):
        return Text("+".join(u.value for u in updates))

    def give(self, update, to):
        return Text(f"{update.value}@{to}", 100)

    def collect(self, index, pieces):
        return " & ".join(p.value for p in pieces)

    def totals(self, update):
        return Text("0" if update is None else "1")

    def peak(self, index, sums):
        return index

    def highest(self, peaks):
        return max(peaks)

    def pool(self, index, state, shared, model, sums, highest):
        return f"p{index}{highest}"

    def step(self, parts, shared, totals):
        return ",".join(parts) + ":" + totals.value

    def direction(self, index, sums, highest):
        return f"d{index}{highest}"

    def assemble_direction(self, index, direction, frames):
        return direction + "".join(f"[{f.value}]" for f in frames)

    def line_search(self, block, data, model, direction, move):
        CALLS.append(("line", block.index))
        return Text(f"b{block.index}({model}, {direction}, {move})", 3)

    def advance_tile(self, index, state, shared, model, sums, highest, move, line):
        CALLS.append(("advance", index))
        return (index, state, shared, model, sums, highest, move, line and line.value)

    def advance_shared(self, shared, move, line):
        return f"{shared}'" if line is None else f"{shared}''"

    def scalars(self, update):
        return Text(f"s({update.value})")

    def metrics(self, update):
        return {"order": update.value}


# four tiles of 10 pixels in a row; three blocks, the last of which is alone; tile 2 has none
WINDOWS = [Rect(0, 8, 0, 12), Rect(0, 8, 8, 17), Rect(0, 8, 30, 40)]
TILES = make_tiles((8, 40), 10, WINDOWS, 1)


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as started:
        yield started


@pytest.fixture
def job(client, monkeypatch):
    monkeypatch.setattr(stream, "WORKER_CACHE", BlockCache())
    CALLS.clear()
    algorithm = client.submit(Toy, pure=False)
    return Job(client, algorithm, False, Source(), make_blocks((1, 3), (1, 1)), 1000, new_name())


@pytest.fixture
def searching(job):
    return replace(job, searches_line=True)


def start(client):
    states = tuple(client.submit(str, name, pure=False) for name in "ABCD")
    return InTiles(states, client.submit(str, "s", pure=False))


def test_a_pass_from_frames_to_the_next_states(job, client):
    assert [t.blocks for t in TILES] == [(0,), (1,), (), (2,)]
    assert [t.lenders for t in TILES] == [(1,), (0, 2), (1, 3), (2,)]
    assert [t.givers for t in TILES] == [(0, 1), (0, 1), (3,), (3,)]
    seen = list(tiled_passes(job, TILES, start(client), 0, 1))
    assert [p.iteration for p in seen] == [0, 1]
    first, second, third, fourth = (f.result() for f in seen[1].state.tiles)
    zero, one, three = "b0(As[B>0])", "b1(Bs[A>1][C>1])", "b2(Ds[C>3])"
    step = "p03,p13,p23,p33:1+1+0+1"
    assert first == (0, "A", "s", "As[B>0]", f"{zero}@0 & {one}@0", 3, step, None)
    assert second == (1, "B", "s", "Bs[A>1][C>1]", f"{zero}@1 & {one}@1", 3, step, None)
    assert third == (2, "C", "s", "Cs[B>2][D>2]", f"{three}@2", 3, step, None)
    assert fourth == (3, "D", "s", "Ds[C>3]", f"{three}@3", 3, step, None)
    assert seen[1].state.shared.result() == "s'"


def test_bytes_count_what_comes_from_other_tiles(job, client):
    seen = list(tiled_passes(job, TILES, start(client), 0, 1))
    # six frames; 0 and 1 give to each other, and 3 to 2
    assert seen[0].metrics["bytes_exchanged"] == 6 * 10 + 3 * 100
    assert seen[1].metrics["bytes_exchanged"] == 6 * 10  # the last pass only looks
    assert [p.metrics["bytes_merged"] for p in seen] == [9.0, 9.0]
    assert [p.metrics["bytes_read"] for p in seen] == [15.0, 0.0]


def test_a_line_search_goes_over_the_blocks_again_and_all_tiles_take_its_step(searching, client):
    seen = list(tiled_passes(searching, TILES, start(client), 0, 1))
    states = [f.result() for f in seen[1].state.tiles]
    step = "p03,p13,p23,p33:1+1+0+1"
    assert all(state[6] == step for state in states)
    # directions travel as states do, but not to the tile that has no blocks
    lines = [
        f"b0(As[B>0], d03[d13>0], {step})",
        f"b1(Bs[A>1][C>1], d13[d03>1][d23>1], {step})",
        f"b2(Ds[C>3], d33[d23>3], {step})",
    ]
    assert {state[7] for state in states} == {"+".join(lines)}
    assert seen[1].state.shared.result() == "s''"
    assert [name for name, _ in CALLS].count("line") == 3


def test_frames_of_the_direction_are_counted(searching, client):
    seen = list(tiled_passes(searching, TILES, start(client), 0, 1))
    assert seen[0].metrics["bytes_exchanged"] == 6 * 10 + 3 * 100 + 4 * 10
    assert seen[1].metrics["bytes_exchanged"] == 6 * 10
    # as for a whole object, neither what is read for it nor its two numbers are counted
    assert [p.metrics["bytes_merged"] for p in seen] == [9.0, 9.0]
    assert [p.metrics["bytes_read"] for p in seen] == [15.0, 0.0]


def test_rounds_take_their_share_of_every_tiles_blocks(job, client):
    """Two rounds: blocks 0 and 2, then block 1 alone, whose tile then gives to itself and to its neighbour only."""
    seen = list(tiled_passes(replace(job, rounds=2), TILES, start(client), 0, 1))
    states = [f.result() for f in seen[1].state.tiles]
    assert seen[1].state.shared.result() == "s''"
    zero, one, three = "b0(As[B>0])", "b2(Ds[C>3])", "p03,p13,p23,p33:1+0+0+1"
    before = [
        (0, "A", "s", "As[B>0]", f"{zero}@0", 3, three, None),
        (1, "B", "s", "Bs[A>1][C>1]", f"{zero}@1", 3, three, None),
        (2, "C", "s", "Cs[B>2][D>2]", f"{one}@2", 3, three, None),
        (3, "D", "s", "Ds[C>3]", f"{one}@3", 3, three, None),
    ]
    assert [state[1] for state in states] == before
    assert [state[6] for state in states] == ["p03,p13,p23,p33:0+1+0+0"] * 4
    assert [state[4].count("b1(") for state in states] == [1, 1, 0, 0]
    # one merge per tile with blocks, of totals, and of scalars; the last pass takes no rounds
    assert seen[0].metrics["order"] == "s(1+0+0+1)+s(0+1+0+0)" and seen[1].metrics["order"] == "1+1+0+1"
    # frames in both rounds; 0 gives to 1 and 3 to 2, then 1 to 0
    assert seen[0].metrics["bytes_exchanged"] == 2 * 6 * 10 + 3 * 100
    assert [p.metrics["bytes_read"] for p in seen] == [15.0, 0.0]
    assert [p.metrics["bytes_merged"] for p in seen] == [9.0, 9.0]


def test_rounds_search_along_their_own_blocks(searching, client):
    list(tiled_passes(replace(searching, rounds=3), TILES, start(client), 0, 1))
    rounds = [index for name, index in CALLS if name == "line"]
    assert rounds == [0, 1, 2]


def test_the_last_pass_only_evaluates(job, client):
    list(tiled_passes(job, TILES, start(client), 0, 2))
    names = [name for name, _ in CALLS]
    assert names.count("partial") == 6 and names.count("evaluate") == 3 and names.count("advance") == 8


def test_cut_gets_the_bundle_and_its_state_is_gone_on_from(job, client):
    cuts = []

    def cut(iteration, state):
        cuts.append((iteration, len(state.tiles), state.shared.result()))
        return start(client)

    seen = list(tiled_passes(job, TILES, start(client), 0, 3, cut=cut, cut_every=2))
    assert cuts == [(2, 4, "s''")]
    assert [p.state.shared.result() for p in seen] == ["s", "s'", "s", "s'"]


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("patterns", [[9], [0, 0, 5], [1, 1, 1, 1, 1, 1], [100, 1, 1, 98], [0, 0]])
def test_places_are_contiguous_and_share_the_patterns(patterns, workers):
    names = [f"tcp://10.0.0.{i}:1" for i in range(workers)]
    places = tile_places(patterns, names)
    assert places == tile_places(patterns, names[::-1]) == sorted(places)
    assert set(places) <= set(names)
    loads = [sum(n for n, p in zip(patterns, places, strict=True) if p == name) for name in names]
    assert max(loads) <= sum(patterns) / workers + max(patterns)
