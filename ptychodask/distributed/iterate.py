"""Blocks, merges and passes over plain futures: what every loop needs. It knows no physics: all values are opaque.

Results travel from worker to worker. Keys of blocks' tasks go to fixed workers softly, so counts stay where they were
read; merges have a fixed tree. At most two passes are in flight. A checkpoint cuts the chain of futures that the
scheduler would otherwise keep. What a pass consists of is in :mod:`ptychodask.distributed.tiled`.
"""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distributed import Client, Future

from .._array import held_bytes
from ..model.blocks import Block, BlockSource
from .machine import give_back_memory
from .placement import FAN_IN
from .spent import Spent, add
from .stream import supplies
from .together import Together

IN_FLIGHT = 2
PATIENCE = 10.0
"""Seconds without news of a pass after which paused workers are looked for."""


@dataclass(frozen=True)
class Parcel:
    """An update and what it took to make and move it, in bytes and in seconds."""

    update: Any
    bytes_read: int
    bytes_merged: int
    bytes_exchanged: int = 0
    """Frames of the object and of its sums that tiles got from each other."""
    spent: Spent = ()

    __sizeof__ = held_bytes


@dataclass(frozen=True)
class Pass:
    """A state (a future, or a bundle of them), and the metrics of the pass over all blocks that looked at it."""

    iteration: int
    state: Any
    metrics: dict[str, float]
    by_worker: Spent = ()


@dataclass(frozen=True)
class Job:
    """One reconstruction on a cluster.

    Parameters
    ----------
    client : distributed.Client or Together
    algorithm : Future of an Algorithm, see :mod:`ptychodask.distributed.tiled`
        Rooted in a task, so that it is rebuilt where a worker is lost.
    searches_line : bool
        ``algorithm.searches_line``, known to the client.
    source : BlockSource
    blocks : sequence of Block
    cache_bytes : int
        Budget of every worker's cache.
    rounds : int
        Updates per pass, each from its own share of the blocks.
    waits : callable, optional
        Told why a pass does not end, where that is known.
    """

    client: Any
    algorithm: Future
    searches_line: bool
    source: BlockSource
    blocks: Sequence[Block]
    cache_bytes: int
    name: str
    rounds: int = 1
    waits: Callable[[str], None] | None = None


def new_name() -> str:
    """Prefix for the keys of one job."""
    return f"ptychodask-{uuid.uuid4().hex[:8]}"


def _merge(algorithm: Any, parcels: list[Parcel]) -> Parcel:
    update = algorithm.merge([p.update for p in parcels])
    read, merged = sum(p.bytes_read for p in parcels), sum(p.bytes_merged for p in parcels)
    return Parcel(update, read, merged, sum(p.bytes_exchanged for p in parcels), add(p.spent for p in parcels))


def workers_of(client: Client | Together) -> dict[str, int]:
    """Addresses of the workers now, and their threads; asked for every pass, so that new ones are used from the next
    iteration on."""
    workers = client.scheduler_info(n_workers=-1).get("workers", {})  # empty where the scheduler is gone
    return {name: worker["nthreads"] for name, worker in workers.items()}


def paused_workers(client: Client | Together) -> list[str]:
    """What holds up workers that Dask has paused for their memory: they start no task until some is free."""
    workers = client.scheduler_info(n_workers=-1).get("workers", {})
    return [
        f"worker {name} is paused by Dask: it holds {its['metrics']['memory'] / 2**20:.0f} MiB of its limit of"
        f" {its['memory_limit'] / 2**20:.0f}. It goes on where memory becomes free; else stop the run (it can be"
        " resumed) and give workers more memory, or set engine.cache_gib or engine.threads lower"
        for name, its in workers.items()
        if its.get("status") == "paused" and its["memory_limit"]
    ]


def _awaited(job: Job, metrics: Future) -> Any:
    """The value; where it does not come, paused workers give back what they only keep, and then are told."""
    asked = False
    while isinstance(metrics, Future) and job.waits is not None:
        try:
            return metrics.result(timeout=PATIENCE)
        except TimeoutError:
            if metrics.done():  # it is the task's own error
                break
            held_up = paused_workers(job.client)
            if held_up and not asked:
                job.client.run(give_back_memory)
            elif asked:
                for text in held_up:
                    job.waits(text)
            asked = bool(held_up)
    return metrics.result()


def scalars_of(algorithm: Any, parcel: Parcel) -> Parcel:
    """What metrics need of a round."""
    return replace(parcel, update=algorithm.scalars(parcel.update))


def share(blocks: int, rounds: int, turn: int) -> range:
    """Numbers of the blocks of a round: every ``rounds``-th, so that each round sees all of the scan thinly."""
    return range(turn, blocks, rounds)


def map_blocks(
    job: Job,
    label: str,
    function: Callable[..., Any],
    arguments: Callable[[int], tuple[Any, ...]],
    places: Sequence[str],
    *,
    numbers: Sequence[int] | None = None,
    goes_on: bool = True,
) -> list[Future]:
    """``function(algorithm, source, block, supply, *arguments(number))`` for every block or those given.

    Each is at its place: ``places`` are those of all blocks. ``goes_on`` says that another pass over the same blocks
    follows, whose first ones are worth reading ahead.
    """
    chosen = range(len(job.blocks)) if numbers is None else numbers
    blocks, at = [job.blocks[b] for b in chosen], [places[b] for b in chosen]
    given = supplies(blocks, at, workers_of(job.client), job.cache_bytes, goes_on)
    return [
        job.client.submit(
            function,
            job.algorithm,
            job.source,
            job.blocks[b],
            supply,
            *arguments(b),
            key=f"{job.name}-{label}-{b}",
            workers=[place] if place else None,
            allow_other_workers=bool(place),
            pure=False,
            # in order: tasks that become ready together have none of their own, and blocks are read ahead in it
            priority=-turn / len(chosen),
        )
        for turn, (b, place, supply) in enumerate(zip(chosen, at, given, strict=True))
    ]


def merge_tree(job: Job, label: str, parts: list[Future]) -> Future:
    """Merge in a tree whose shape depends on the number of parts alone."""
    for level in itertools.count():
        if len(parts) == 1 and level > 0:
            return parts[0]
        parts = [
            job.client.submit(
                _merge,
                job.algorithm,
                parts[i : i + FAN_IN],
                key=f"{job.name}-{label}-merge{level}-{i}",
                pure=False,
                priority=level + 1,  # before further blocks: updates that wait for their merge take memory
            )
            for i in range(0, len(parts), FAN_IN)
        ]
    raise AssertionError("unreachable: the tree ends in one part")


def passes(
    job: Job,
    state: Any,
    first: int,
    last: int,
    submit_pass: Callable[[Job, str, Any, bool], tuple[Future, Any]],
    *,
    attempt: int = 0,
    cut: Callable[[int, Any], Any] | None = None,
    cut_every: int = 10,
) -> Generator[Pass, None, None]:
    """Look at the states after ``first``, ``first + 1``, ... ``last`` updates, in order.

    Parameters
    ----------
    state
        State after ``first`` updates, on the cluster.
    submit_pass : callable
        Given the job, a label, a state and whether it is the last one, which is only looked at: futures of the pass's
        metrics, with seconds by worker, and of the next state.
    attempt : int
        Number of restarts, which keeps keys apart.
    cut : callable
        Given an iteration and its state, stores it and returns the same state, rooted in the store.
    cut_every : int
        Iterations between cuts.
    """
    in_flight: deque[tuple[int, Any, Future]] = deque()
    iteration = first
    while True:
        while len(in_flight) < IN_FLIGHT and iteration <= last:
            if cut is not None and iteration > first and iteration % cut_every == 0:
                state = cut(iteration, state)
            metrics, following = submit_pass(job, f"{attempt}-{iteration}", state, iteration == last)
            in_flight.append((iteration, state, metrics))
            if following is not None:
                state = following
            iteration += 1
        if not in_flight:
            return
        seen, its_state, metrics = in_flight.popleft()
        yield Pass(seen, its_state, *_awaited(job, metrics))
