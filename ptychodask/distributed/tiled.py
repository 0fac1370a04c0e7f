"""The loop over a state in tiles, each with its owner; neighbours exchange frames. It knows no physics.

A pass: tiles lend frames of their state, each assembles what its blocks need, blocks make updates, each tile merges
those of its own and gives to the others what lies in their area; peaks and sums over all tiles, which are small,
decide the step; every tile goes on by itself. A line search needs the direction too, which is lent and assembled as
states are. All travels from worker to worker, and nothing is larger than a tile with its halo.

A whole object is one tile. It has nobody to exchange with, so all between its merged update and its next state is one
task. A pass may take several rounds, each of which takes its share of every tile's blocks and advances; the metrics of
such a pass are those of the states that its rounds looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from distributed import Future

from ..model.blocks import Block
from ..model.tiles import Tile, deal
from .iterate import Job, Parcel, Pass, merge_tree, passes, scalars_of, share
from .machine import all_threads
from .rounds import Round, metrics_of, places_of, totals_of
from .together import Together


class Algorithm(Protocol):
    """What is run. All methods are pure.

    States of tiles, the shared state, models (what blocks need of a state), updates, sums, directions (of a tile, or on
    its reach) and moves are opaque; frames and pieces have ``nbytes``. ``lend`` is asked for states and for directions.
    A lone tile is asked to ``decide`` and to ``go_on`` instead; what it moves to has ``tile`` and ``shared``.
    """

    @property
    def data_key(self) -> str: ...
    def prepare(self, block: Block, counts: Any) -> Any: ...
    def partial(self, block: Block, data: Any, model: Any, evaluate_only: bool) -> Any: ...
    def merge(self, updates: list[Any]) -> Any: ...
    def scalars(self, update: Any) -> Any: ...
    def metrics(self, update: Any) -> dict[str, float]: ...
    def lend(self, owner: int, part: Any, to: int) -> Any: ...
    def assemble(self, index: int, state: Any, shared: Any, frames: list[Any]) -> Any: ...
    def give(self, update: Any, to: int) -> Any: ...
    def collect(self, index: int, pieces: list[Any]) -> Any: ...
    def totals(self, update: Any) -> Any: ...
    def peak(self, index: int, sums: Any) -> Any: ...
    def highest(self, peaks: list[Any]) -> Any: ...
    def pool(self, index: int, state: Any, shared: Any, model: Any, sums: Any, highest: Any) -> Any: ...
    def step(self, parts: list[Any], shared: Any, totals: Any) -> Any: ...
    def direction(self, index: int, sums: Any, highest: Any) -> Any: ...
    def assemble_direction(self, index: int, direction: Any, frames: list[Any]) -> Any: ...
    def line_search(self, block: Block, data: Any, model: Any, direction: Any, move: Any) -> Any: ...
    def advance_tile(
        self, index: int, state: Any, shared: Any, model: Any, sums: Any, highest: Any, move: Any, line: Any
    ) -> Any: ...
    def advance_shared(self, shared: Any, move: Any, line: Any) -> Any: ...
    def decide(self, state: Any, shared: Any, update: Any) -> Any: ...
    def line_search_alone(self, block: Block, data: Any, model: Any, decided: Any) -> Any: ...
    def go_on(self, state: Any, shared: Any, decided: Any, line: Any) -> Any: ...


@dataclass(frozen=True)
class InTiles:
    """A state on the cluster: a future of every tile, and one of what all tiles share."""

    tiles: tuple[Future, ...]
    shared: Future


Submitted = tuple[Future, Future | None, InTiles | None]


def _submit_pass(
    tiles: Sequence[Tile], job: Job, label: str, state: InTiles, last: bool
) -> tuple[Future, InTiles | None]:
    """Futures of the pass's metrics and of the next state; the last pass only looks, at one state. All its tasks are
    sent together, in which what stands for them takes the part of futures."""
    together = Together(job.client)
    run = Round(replace(job, client=together), label, tiles, places_of(together, tiles, job.blocks))
    submit_round = _submit_alone if len(tiles) == 1 else _submit_round
    following: InTiles | None = state
    lines: list[Future] = []
    if last or job.rounds == 1:
        totals, line, following = submit_round(run, state, last, not last)
        if line is not None:  # an update takes memory, and must not wait for it
            totals, lines = run.task(scalars_of, "scalars", totals), [line]
    else:
        parts = []
        for turn in range(job.rounds):
            assert following is not None
            numbers = share(len(job.blocks), job.rounds, turn)
            its = replace(run, label=f"{label}-{turn}", tiles=deal(tiles, numbers))
            totals, line, following = submit_round(its, following, False, False)
            parts.append(its.task(scalars_of, "scalars", totals))
            lines += [] if line is None else [line]
        totals = merge_tree(run.job, f"{label}-scalars", parts)
    wanted = [run.task(metrics_of, "metrics", totals, lines)]
    if following is not None:
        wanted += [following.shared, *following.tiles]
    metrics, *state_parts = together.send(f"{job.name}-{label}", wanted)
    return metrics, InTiles(tuple(state_parts[1:]), state_parts[0]) if state_parts else None


def _submit_alone(run: Round, state: InTiles, evaluate_only: bool, goes_on: bool) -> Submitted:
    """As :func:`_submit_round`, for a lone tile."""
    (tile,), shared = state.tiles, state.shared
    model = run.call("assemble", "model", 0, tile, shared, [])
    (parts,) = run.on_blocks("partial", "", lambda t: (model, evaluate_only), goes_on)
    merged = merge_tree(run.job, run.label, parts)
    if evaluate_only:
        return merged, None, None
    line = None
    if run.job.searches_line:
        decided = run.task(_decide, "direction", tile, shared, merged)
        (parts,) = run.on_blocks("line_search_alone", "-line", lambda t: (model, decided), True)
        line = merge_tree(run.job, f"{run.label}-line", parts)
        both = run.call("go_on", "state", tile, shared, decided, line)
    else:
        both = run.task(_decide_and_go_on, "state", tile, shared, merged)
    tile = run.task(_part_of, "state-0", both, "tile")
    return merged, line, InTiles((tile,), run.task(_part_of, "shared", both, "shared"))


def _decide_and_go_on(algorithm: Algorithm, state: Any, shared: Any, merged: Parcel) -> Any:
    return algorithm.go_on(state, shared, _decide(algorithm, state, shared, merged), None)


def _decide(algorithm: Algorithm, state: Any, shared: Any, merged: Parcel) -> Any:
    with all_threads():  # nothing else is to be done meanwhile
        return algorithm.decide(state, shared, merged.update)


def _part_of(algorithm: Algorithm, both: Any, name: str) -> Any:
    return getattr(both, name)


def _submit_round(run: Round, state: InTiles, evaluate_only: bool, goes_on: bool) -> Submitted:
    """Futures of a round's totals, of its line search if there is one, and of the next state."""
    job, tiles, every = run.job, run.tiles, range(len(run.tiles))
    assemble = run.on_reach("assemble", "model", state.tiles, state.shared)
    models = [assemble(tile) for tile in tiles]
    parts = run.on_blocks("partial", "", lambda t: (models[t], evaluate_only), goes_on)
    merged = [merge_tree(job, f"{run.label}-tile{t}", parts[t]) if parts[t] else None for t in every]
    received = [[model] for model in models]
    if evaluate_only:
        return _merged_totals(run, merged, received), None, None
    sums = [run.sums(tile, merged) for tile in tiles]
    highest = run.call("highest", "highest", [run.call("peak", f"peak-{t}", t, sums[t], at=t) for t in every])
    along = _directions(run, sums, highest) if job.searches_line else {}
    received = [[models[t], sums[t], *([along[t]] if t in along else [])] for t in every]
    totals = _merged_totals(run, merged, received)
    shared = state.shared
    pooled = [
        run.call("pool", f"pool-{t}", t, state.tiles[t], shared, models[t], sums[t], highest, at=t) for t in every
    ]
    move, line = run.call("step", "step", pooled, shared, totals), None
    if job.searches_line:
        found = run.on_blocks("line_search", "-line", lambda t: (models[t], along[t], move), True)
        line = merge_tree(job, f"{run.label}-line", [part for its in found for part in its])
    following = tuple(
        run.call(
            "advance_tile", f"state-{t}", t, state.tiles[t], state.shared, models[t], sums[t], highest, move, line, at=t
        )
        for t in every
    )
    return totals, line, InTiles(following, run.call("advance_shared", "shared", state.shared, move, line))


def _directions(run: Round, sums: list[Future], highest: Future) -> dict[int, Future]:
    """The direction on the reach of every tile that has blocks."""
    own = [run.call("direction", f"direction-{t}", t, its, highest, at=t) for t, its in enumerate(sums)]
    assemble = run.on_reach("assemble_direction", "along", own)
    return {tile.index: assemble(tile) for tile in run.tiles if tile.blocks}


def _merged_totals(run: Round, merged: list[Future | None], received: list[list[Future]]) -> Future:
    """Totals of all tiles, and the bytes that they received from each other."""
    own = [run.task(totals_of, f"totals-{t}", its, received[t], at=t) for t, its in enumerate(merged)]
    return merge_tree(run.job, f"{run.label}-totals", own)


def tiled_passes(
    job: Job,
    tiles: Sequence[Tile],
    state: InTiles,
    first: int,
    last: int,
    *,
    attempt: int = 0,
    cut: Callable[[int, InTiles], InTiles] | None = None,
    cut_every: int = 10,
) -> Generator[Pass, None, None]:
    """See :func:`ptychodask.distributed.iterate.passes`."""
    submit_pass = partial(_submit_pass, tiles)
    return passes(job, state, first, last, submit_pass, attempt=attempt, cut=cut, cut_every=cut_every)
