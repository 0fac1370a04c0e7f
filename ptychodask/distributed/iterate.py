"""The loop of map, merge and advance over plain futures. It knows no physics: all values are opaque.

Every pass t is a map of ``partial`` over the blocks, a tree of ``merge`` in a fixed order, and ``advance``; results
travel from worker to worker. Keys of blocks' tasks go to fixed workers softly, so counts stay where they were read.
A pass may take several rounds, each of which merges its share of the blocks and advances; the metrics of such a pass
are those of the states that its rounds looked at. At most two passes are in flight. A checkpoint cuts the chain of
futures that the scheduler would otherwise keep.
"""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from distributed import Client, Future

from .._array import held_bytes
from ..model.blocks import Block, BlockSource
from .placement import FAN_IN, placement
from .stream import Supply, block_data, supplies

IN_FLIGHT = 2


class Algorithm(Protocol):
    """What is run: states, models (what blocks need of a state) and updates are opaque. All methods are pure."""

    @property
    def data_key(self) -> str: ...
    @property
    def searches_line(self) -> bool: ...
    def prepare(self, block: Block, counts: Any) -> Any: ...
    def view(self, state: Any) -> Any: ...
    def partial(self, block: Block, data: Any, model: Any, evaluate_only: bool) -> Any: ...
    def merge(self, updates: list[Any]) -> Any: ...
    def direction(self, state: Any, update: Any) -> Any: ...
    def line_search(self, block: Block, data: Any, model: Any, move: Any) -> Any: ...
    def advance(self, state: Any, move: Any, line: Any) -> Any: ...
    def scalars(self, update: Any) -> Any: ...
    def metrics(self, update: Any) -> dict[str, float]: ...


@dataclass(frozen=True)
class Parcel:
    """An update and what it took to make and move it, in bytes."""

    update: Any
    bytes_read: int
    bytes_merged: int
    bytes_exchanged: int = 0
    """Frames of the object and of its sums that tiles got from each other."""

    __sizeof__ = held_bytes


@dataclass(frozen=True)
class Pass:
    """A state (a future, or a bundle of them), and the metrics of the pass over all blocks that looked at it."""

    iteration: int
    state: Any
    metrics: dict[str, float]


@dataclass(frozen=True)
class Job:
    """One reconstruction on a cluster.

    Parameters
    ----------
    client : distributed.Client
    algorithm : Future of an Algorithm
        Rooted in a task, so that it is rebuilt where a worker is lost.
    searches_line : bool
        ``algorithm.searches_line``, known to the client.
    source : BlockSource
    blocks : sequence of Block
    cache_bytes : int
        Budget of every worker's cache.
    rounds : int
        Updates per pass, each from its own share of the blocks.
    """

    client: Client
    algorithm: Future
    searches_line: bool
    source: BlockSource
    blocks: Sequence[Block]
    cache_bytes: int
    name: str
    rounds: int = 1


def new_name() -> str:
    """Prefix for the keys of one job."""
    return f"ptychodask-{uuid.uuid4().hex[:8]}"


def _partial(
    algorithm: Algorithm, source: BlockSource, block: Block, supply: Supply, model: Any, evaluate_only: bool
) -> Parcel:
    data, read = block_data(algorithm, source, block, supply)
    update = algorithm.partial(block, data, model, evaluate_only)
    return Parcel(update, read, update.nbytes)


def _line(algorithm: Algorithm, source: BlockSource, block: Block, supply: Supply, model: Any, move: Any) -> Parcel:
    data, read = block_data(algorithm, source, block, supply)
    update = algorithm.line_search(block, data, model, move)
    return Parcel(update, read, update.nbytes)


def _merge(algorithm: Algorithm, parcels: list[Parcel]) -> Parcel:
    update = algorithm.merge([p.update for p in parcels])
    exchanged = sum(p.bytes_exchanged for p in parcels)
    return Parcel(update, sum(p.bytes_read for p in parcels), sum(p.bytes_merged for p in parcels), exchanged)


def _metrics(algorithm: Algorithm, parcel: Parcel) -> dict[str, float]:
    extra = {"bytes_read": float(parcel.bytes_read), "bytes_merged": float(parcel.bytes_merged)}
    return {**algorithm.metrics(parcel.update), **extra}


def _direction(algorithm: Algorithm, state: Any, parcel: Parcel) -> Any:
    return algorithm.direction(state, parcel.update)


def _advance(algorithm: Algorithm, state: Any, move: Any, line: Parcel | None) -> Any:
    return algorithm.advance(state, move, None if line is None else line.update)


def _step(algorithm: Algorithm, state: Any, parcel: Parcel) -> Any:
    return algorithm.advance(state, algorithm.direction(state, parcel.update), None)


def _view(algorithm: Algorithm, state: Any) -> Any:
    return algorithm.view(state)


def workers_of(client: Client) -> dict[str, int]:
    """Addresses of the workers now, and their threads; asked for every map, so that new ones are used from the next
    iteration on."""
    workers = client.scheduler_info(n_workers=-1).get("workers", {})  # empty where the scheduler is gone
    return {name: worker["nthreads"] for name, worker in workers.items()}


def scalars_of(algorithm: Algorithm, parcel: Parcel) -> Parcel:
    """What metrics need of a round."""
    return replace(parcel, update=algorithm.scalars(parcel.update))


def share(blocks: int, rounds: int, turn: int) -> range:
    """Numbers of the blocks of a round: every ``rounds``-th, so that each round sees all of the scan thinly."""
    return range(turn, blocks, rounds)


def map_blocks(
    job: Job,
    label: str,
    function: Callable[..., Any],
    *arguments: Any,
    numbers: Sequence[int] | None = None,
    goes_on: bool = True,
    places: Sequence[str] | None = None,
) -> list[Future]:
    """``function(algorithm, source, block, supply, *arguments)`` for every block or those given, each at its place.

    ``places`` of all blocks are those of :func:`ptychodask.distributed.placement.placement`, unless they are given.
    ``goes_on`` says that another pass over the same blocks follows, whose first ones are worth reading ahead.
    """
    workers = workers_of(job.client)
    everywhere = placement(len(job.blocks), list(workers) or [""]) if places is None else places
    chosen = range(len(job.blocks)) if numbers is None else numbers
    blocks, places = [job.blocks[i] for i in chosen], [everywhere[i] for i in chosen]
    return [
        job.client.submit(
            function,
            job.algorithm,
            job.source,
            block,
            supply,
            *arguments,
            key=f"{job.name}-{label}-{block.index}",
            workers=[place] if place else None,
            allow_other_workers=bool(place),
            pure=False,
            # in order: tasks that become ready together have none of their own, and blocks are read ahead in it
            priority=-block.index / len(job.blocks),
        )
        for block, place, supply in zip(
            blocks, places, supplies(blocks, places, workers, job.cache_bytes, goes_on), strict=True
        )
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


def _submit_round(
    job: Job, label: str, state: Future, evaluate_only: bool, numbers: Sequence[int] | None
) -> tuple[Future, Future | None]:
    """Futures of a round's merged update and of the next state."""
    submit = job.client.submit
    model = submit(_view, job.algorithm, state, key=f"{job.name}-{label}-model", pure=False)
    goes_on = not evaluate_only and numbers is None
    merged = merge_tree(
        job, label, map_blocks(job, label, _partial, model, evaluate_only, numbers=numbers, goes_on=goes_on)
    )
    if evaluate_only:
        return merged, None
    key = f"{job.name}-{label}-state"
    if not job.searches_line:
        return merged, submit(_step, job.algorithm, state, merged, key=key, pure=False)
    move = submit(_direction, job.algorithm, state, merged, key=f"{job.name}-{label}-direction", pure=False)
    line = merge_tree(job, f"{label}-line", map_blocks(job, f"{label}-line", _line, model, move, numbers=numbers))
    return merged, submit(_advance, job.algorithm, state, move, line, key=key, pure=False)


def _submit_pass(job: Job, label: str, state: Future, last: bool) -> tuple[Future, Future | None]:
    """Futures of the pass's metrics and of the next state. The last pass only looks, at one state."""
    submit = job.client.submit
    following: Future | None = state
    if last or job.rounds == 1:
        merged, following = _submit_round(job, label, state, last, None)
    else:
        parts = []
        for turn in range(job.rounds):
            assert following is not None
            numbers = share(len(job.blocks), job.rounds, turn)
            merged, following = _submit_round(job, f"{label}-{turn}", following, False, numbers)
            parts.append(
                submit(scalars_of, job.algorithm, merged, key=f"{job.name}-{label}-{turn}-scalars", pure=False)
            )
        merged = merge_tree(job, f"{label}-scalars", parts)
    return submit(_metrics, job.algorithm, merged, key=f"{job.name}-{label}-metrics", pure=False), following


def passes(
    job: Job,
    state: Any,
    first: int,
    last: int,
    *,
    attempt: int = 0,
    cut: Callable[[int, Any], Any] | None = None,
    cut_every: int = 10,
    submit_pass: Callable[[Job, str, Any, bool], tuple[Future, Any]] | None = None,
) -> Generator[Pass, None, None]:
    """Look at the states after ``first``, ``first + 1``, ... ``last`` updates, in order.

    Parameters
    ----------
    state : Future
        State after ``first`` updates.
    attempt : int
        Number of restarts, which keeps keys apart.
    cut : callable
        Given an iteration and its state, stores it and returns a future of the same state that is rooted in the store.
    cut_every : int
        Iterations between cuts.
    submit_pass : callable
        How a pass is submitted, where the state is not one future; see :mod:`ptychodask.distributed.tiled`.
    """
    submit = submit_pass or _submit_pass
    in_flight: deque[tuple[int, Any, Future]] = deque()
    iteration = first
    while True:
        while len(in_flight) < IN_FLIGHT and iteration <= last:
            if cut is not None and iteration > first and iteration % cut_every == 0:
                state = cut(iteration, state)
            metrics, following = submit(job, f"{attempt}-{iteration}", state, iteration == last)
            in_flight.append((iteration, state, metrics))
            if following is not None:
                state = following
            iteration += 1
        if not in_flight:
            return
        seen, its_state, metrics = in_flight.popleft()
        yield Pass(seen, its_state, metrics.result())
