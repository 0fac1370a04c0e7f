"""The loop of ``iterate`` for a state in tiles, each with its owner; neighbours exchange frames. It knows no physics.

A pass: tiles lend frames of their state, each assembles what its blocks need, blocks make updates, each tile merges
those of its own and gives to the others what lies in their area; peaks and sums over all tiles, which are small,
decide the step; every tile goes on by itself. A line search needs the direction too, which is lent and assembled as
states are. All travels from worker to worker, and nothing is larger than a tile with its halo.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from distributed import Client, Future

from .._array import held_bytes
from ..model.blocks import Block, BlockSource
from ..model.tiles import Tile
from .iterate import Job, Parcel, Pass, merge_tree, passes, workers_of
from .stream import Supply, block_data, supplies


class TiledAlgorithm(Protocol):
    """What is run besides ``data_key``, ``prepare``, ``partial`` and ``merge`` of an Algorithm. All methods are pure.

    States of tiles, the shared state, models, updates, sums, directions (of a tile, or on its reach) and moves are
    opaque; frames and pieces have ``nbytes``. ``lend`` is asked for states and for directions.
    """

    def lend(self, owner: int, part: Any, to: int) -> Any: ...
    def assemble(self, index: int, state: Any, shared: Any, frames: list[Any]) -> Any: ...
    def give(self, update: Any, to: int) -> Any: ...
    def collect(self, index: int, pieces: list[Any]) -> Any: ...
    def totals(self, update: Any) -> Any: ...
    def peak(self, index: int, sums: Any) -> Any: ...
    def highest(self, peaks: list[Any]) -> Any: ...
    def pool(self, index: int, state: Any, shared: Any, sums: Any, highest: Any) -> Any: ...
    def step(self, parts: list[Any], totals: Any) -> Any: ...
    def direction(self, index: int, sums: Any, highest: Any) -> Any: ...
    def assemble_direction(self, index: int, direction: Any, frames: list[Any]) -> Any: ...
    def line_search(self, block: Block, data: Any, model: Any, direction: Any, move: Any) -> Any: ...
    def advance_tile(
        self, index: int, state: Any, shared: Any, model: Any, sums: Any, highest: Any, move: Any, line: Any
    ) -> Any: ...
    def advance_shared(self, shared: Any, move: Any, line: Any) -> Any: ...


@dataclass(frozen=True)
class InTiles:
    """A state on the cluster: a future of every tile, and one of what all tiles share."""

    tiles: tuple[Future, ...]
    shared: Future


@dataclass(frozen=True)
class _Received:
    """What was put together, and the bytes that came from other tiles."""

    value: Any
    bytes_exchanged: int

    __sizeof__ = held_bytes


def _plain(argument: Any) -> Any:
    """What the algorithm knows: a value without its count of bytes."""
    if isinstance(argument, _Received):
        return argument.value
    return argument.update if isinstance(argument, Parcel) else argument


def _call(algorithm: Any, method: str, *arguments: Any) -> Any:
    return getattr(algorithm, method)(*map(_plain, arguments))


def _assemble(algorithm: Any, method: str, frames: list[Any], *arguments: Any) -> _Received:
    return _Received(_call(algorithm, method, *arguments, frames), sum(f.nbytes for f in frames))


def _on_block(
    algorithm: Any, method: str, source: BlockSource, block: Block, supply: Supply, *arguments: Any
) -> Parcel:
    data, read = block_data(algorithm, source, block, supply)
    update = _call(algorithm, method, block, data, *arguments)
    return Parcel(update, read, update.nbytes)


def _collect(algorithm: TiledAlgorithm, index: int, givers: Sequence[int], given: list[Any]) -> _Received:
    """``given`` are pieces of other tiles, and at its own place the tile's merged parcel."""
    pieces = [
        algorithm.give(piece.update, index) if giver == index else piece
        for giver, piece in zip(givers, given, strict=True)
    ]
    others = (piece.nbytes for giver, piece in zip(givers, pieces, strict=True) if giver != index)
    return _Received(algorithm.collect(index, pieces), sum(others))


def _totals(algorithm: TiledAlgorithm, merged: Parcel | None, received: list[_Received]) -> Parcel:
    exchanged = sum(r.bytes_exchanged for r in received)
    if merged is None:
        return Parcel(algorithm.totals(None), 0, 0, exchanged)
    return Parcel(algorithm.totals(merged.update), merged.bytes_read, merged.bytes_merged, exchanged)


def _metrics(algorithm: Any, parcel: Parcel) -> dict[str, float]:
    names = ("bytes_read", "bytes_merged", "bytes_exchanged")
    return {**algorithm.metrics(parcel.update), **{name: float(getattr(parcel, name)) for name in names}}


def tile_places(patterns: Sequence[int], workers: Sequence[str]) -> list[str]:
    """Worker of every tile: contiguous runs with about the same number of ``patterns``, not of pixels."""
    ordered, total, before = sorted(workers), max(sum(patterns), 1), 0
    places = []
    for count in patterns:
        places.append(ordered[min(int((before + count / 2) * len(ordered) / total), len(ordered) - 1)])
        before += count
    return places


def places_of(client: Client, patterns: Sequence[int]) -> list[str]:
    """Where tiles with so many patterns live now; empty texts where there are no workers."""
    return tile_places(patterns, list(workers_of(client)) or [""])


@dataclass(frozen=True)
class _Round:
    """Submits the tasks of one round, each where its tile lives."""

    job: Job
    label: str
    tiles: Sequence[Tile]
    places: list[str]

    def task(self, function: Callable[..., Any], name: str, *arguments: Any, at: int | None = None) -> Future:
        place = self.places[at] if at is not None else ""
        return self.job.client.submit(
            function,
            self.job.algorithm,
            *arguments,
            key=f"{self.job.name}-{self.label}-{name}",
            workers=[place] if place else None,
            allow_other_workers=bool(place),
            pure=False,
        )

    def call(self, method: str, name: str, *arguments: Any, at: int | None = None) -> Future:
        """The value of a method of the algorithm."""
        return self.task(_call, name, method, *arguments, at=at)

    def on_reach(self, method: str, name: str, parts: Sequence[Future], *more: Future) -> Callable[[Tile], Future]:
        """How a tile assembles what it needs, from its own part and the frames that others lend of theirs."""

        def assemble(tile: Tile) -> Future:
            t = tile.index
            frames = [self.call("lend", f"lend-{name}-{u}-{t}", u, parts[u], t, at=u) for u in tile.lenders]
            return self.task(_assemble, f"{name}-{t}", method, frames, t, parts[t], *more, at=t)

        return assemble

    def on_blocks(
        self, method: str, name: str, arguments: Callable[[int], tuple[Any, ...]], goes_on: bool
    ) -> list[list[Future]]:
        """Of every tile, what its blocks make of their data and the tile's ``arguments``."""
        job, order = self.job, [(tile.index, b) for tile in self.tiles for b in tile.blocks]
        blocks, places = [job.blocks[b] for _, b in order], [self.places[t] for t, _ in order]
        given = supplies(blocks, places, workers_of(job.client), job.cache_bytes, goes_on)
        made: list[list[Future]] = [[] for _ in self.tiles]
        for (t, b), supply in zip(order, given, strict=True):
            data = (method, job.source, job.blocks[b], supply)
            made[t].append(self.task(_on_block, f"{name}{b}", *data, *arguments(t), at=t))
        return made

    def sums(self, tile: Tile, merged: list[Future | None]) -> Future:
        """Sums on a tile's work area: what its givers' updates say about it."""
        t = tile.index
        given = [merged[t] if u == t else self.call("give", f"give-{u}-{t}", merged[u], t, at=u) for u in tile.givers]
        return self.task(_collect, f"sums-{t}", t, tile.givers, given, at=t)


def _submit_pass(
    tiles: Sequence[Tile], job: Job, label: str, state: InTiles, last: bool
) -> tuple[Future, InTiles | None]:
    """Futures of the pass's metrics and of the next state; as in ``iterate``."""
    patterns = [sum(job.blocks[b].size for b in tile.blocks) for tile in tiles]
    run = _Round(job, label, tiles, places_of(job.client, patterns))
    totals, following = _submit_round(run, state, last, not last)
    return run.task(_metrics, "metrics", totals), following


def _submit_round(run: _Round, state: InTiles, evaluate_only: bool, goes_on: bool) -> tuple[Future, InTiles | None]:
    """Futures of a round's totals and of the next state."""
    job, tiles, every = run.job, run.tiles, range(len(run.tiles))
    assemble = run.on_reach("assemble", "model", state.tiles, state.shared)
    models = [assemble(tile) for tile in tiles]
    parts = run.on_blocks("partial", "", lambda t: (models[t], evaluate_only), goes_on)
    merged = [merge_tree(job, f"{run.label}-tile{t}", parts[t]) if parts[t] else None for t in every]
    received = [[model] for model in models]
    if evaluate_only:
        return _merged_totals(run, merged, received), None
    sums = [run.sums(tile, merged) for tile in tiles]
    highest = run.call("highest", "highest", [run.call("peak", f"peak-{t}", t, sums[t], at=t) for t in every])
    along = _directions(run, sums, highest) if job.searches_line else {}
    received = [[models[t], sums[t], *([along[t]] if t in along else [])] for t in every]
    totals = _merged_totals(run, merged, received)
    pooled = [run.call("pool", f"pool-{t}", t, state.tiles[t], state.shared, sums[t], highest, at=t) for t in every]
    move, line = run.call("step", "step", pooled, totals), None
    if job.searches_line:
        found = run.on_blocks("line_search", "line-", lambda t: (models[t], along[t], move), True)
        line = merge_tree(job, f"{run.label}-line", [part for its in found for part in its])
    following = tuple(
        run.call(
            "advance_tile", f"state-{t}", t, state.tiles[t], state.shared, models[t], sums[t], highest, move, line, at=t
        )
        for t in every
    )
    return totals, InTiles(following, run.call("advance_shared", "shared", state.shared, move, line))


def _directions(run: _Round, sums: list[Future], highest: Future) -> dict[int, Future]:
    """The direction on the reach of every tile that has blocks."""
    own = [run.call("direction", f"direction-{t}", t, its, highest, at=t) for t, its in enumerate(sums)]
    assemble = run.on_reach("assemble_direction", "along", own)
    return {tile.index: assemble(tile) for tile in run.tiles if tile.blocks}


def _merged_totals(run: _Round, merged: list[Future | None], received: list[list[Future]]) -> Future:
    """Totals of all tiles, and the bytes that they received from each other."""
    own = [run.task(_totals, f"totals-{t}", its, received[t], at=t) for t, its in enumerate(merged)]
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
    """See :func:`ptychodask.distributed.iterate.passes`; ``job.algorithm`` is a future of a TiledAlgorithm."""
    submit_pass = partial(_submit_pass, tiles)
    return passes(job, state, first, last, attempt=attempt, cut=cut, cut_every=cut_every, submit_pass=submit_pass)
