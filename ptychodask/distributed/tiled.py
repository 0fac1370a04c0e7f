"""The loop of ``iterate`` for a state in tiles, each with its owner; neighbours exchange frames. It knows no physics.

A pass: tiles lend frames of their state, each assembles what its blocks need, blocks make updates, each tile merges
those of its own and gives to the others what lies in their area; peaks and sums over all tiles, which are small,
decide the step; every tile goes on by itself. All travels from worker to worker, and nothing is larger than a tile
with its halo.
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

    States of tiles, the shared state, models, updates, sums and moves are opaque; frames and pieces have ``nbytes``.
    """

    def lend(self, owner: int, state: Any, to: int) -> Any: ...
    def assemble(self, index: int, state: Any, shared: Any, frames: list[Any]) -> Any: ...
    def give(self, update: Any, to: int) -> Any: ...
    def collect(self, index: int, pieces: list[Any]) -> Any: ...
    def totals(self, update: Any) -> Any: ...
    def peak(self, index: int, sums: Any) -> Any: ...
    def highest(self, peaks: list[Any]) -> Any: ...
    def pool(self, index: int, state: Any, shared: Any, sums: Any, highest: Any) -> Any: ...
    def step(self, parts: list[Any], totals: Any) -> Any: ...
    def advance_tile(
        self, index: int, state: Any, shared: Any, model: Any, sums: Any, highest: Any, move: Any
    ) -> Any: ...
    def advance_shared(self, shared: Any, move: Any) -> Any: ...


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


def _lend(algorithm: TiledAlgorithm, owner: int, state: Any, to: int) -> Any:
    return algorithm.lend(owner, state, to)


def _assemble(algorithm: TiledAlgorithm, index: int, state: Any, shared: Any, frames: list[Any]) -> _Received:
    return _Received(algorithm.assemble(index, state, shared, frames), sum(f.nbytes for f in frames))


def _partial(
    algorithm: Any, source: BlockSource, block: Block, supply: Supply, model: _Received, evaluate_only: bool
) -> Parcel:
    data, read = block_data(algorithm, source, block, supply)
    update = algorithm.partial(block, data, model.value, evaluate_only)
    return Parcel(update, read, update.nbytes)


def _give(algorithm: TiledAlgorithm, merged: Parcel, to: int) -> Any:
    return algorithm.give(merged.update, to)


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


def _peak(algorithm: TiledAlgorithm, index: int, sums: _Received) -> Any:
    return algorithm.peak(index, sums.value)


def _highest(algorithm: TiledAlgorithm, peaks: list[Any]) -> Any:
    return algorithm.highest(peaks)


def _pool(algorithm: TiledAlgorithm, index: int, state: Any, shared: Any, sums: _Received, highest: Any) -> Any:
    return algorithm.pool(index, state, shared, sums.value, highest)


def _step(algorithm: TiledAlgorithm, parts: list[Any], totals: Parcel) -> Any:
    return algorithm.step(parts, totals.update)


def _advance_tile(
    algorithm: TiledAlgorithm,
    index: int,
    state: Any,
    shared: Any,
    model: _Received,
    sums: _Received,
    highest: Any,
    move: Any,
) -> Any:
    return algorithm.advance_tile(index, state, shared, model.value, sums.value, highest, move)


def _advance_shared(algorithm: TiledAlgorithm, shared: Any, move: Any) -> Any:
    return algorithm.advance_shared(shared, move)


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


@dataclass(frozen=True)
class _Submit:
    """Submits tasks of one pass, each at its place, with the algorithm as the first argument."""

    client: Client
    algorithm: Future
    prefix: str
    places: list[str]

    def __call__(self, function: Callable[..., Any], name: str, *arguments: Any, at: int | None = None) -> Future:
        place = self.places[at] if at is not None else ""
        return self.client.submit(
            function,
            self.algorithm,
            *arguments,
            key=f"{self.prefix}-{name}",
            workers=[place] if place else None,
            allow_other_workers=bool(place),
            pure=False,
        )


def places_of(client: Client, patterns: Sequence[int]) -> list[str]:
    """Where tiles with so many patterns live now; empty texts where there are no workers."""
    return tile_places(patterns, list(workers_of(client)) or [""])


def _submit_pass(
    tiles: Sequence[Tile], job: Job, label: str, state: InTiles, last: bool
) -> tuple[Future, InTiles | None]:
    """Futures of the pass's metrics and of the next state; as in ``iterate``."""
    patterns = [sum(job.blocks[b].size for b in tile.blocks) for tile in tiles]
    submit = _Submit(job.client, job.algorithm, f"{job.name}-{label}", places_of(job.client, patterns))
    models, merged = [], []
    order = [(b, submit.places[tile.index]) for tile in tiles for b in tile.blocks]
    given = supplies(
        [job.blocks[b] for b, _ in order], [p for _, p in order], workers_of(job.client), job.cache_bytes, not last
    )
    supply = {b: its for (b, _), its in zip(order, given, strict=True)}
    for tile in tiles:
        t = tile.index
        frames = [submit(_lend, f"lend-{u}-{t}", u, state.tiles[u], t, at=u) for u in tile.lenders]
        models.append(submit(_assemble, f"model-{t}", t, state.tiles[t], state.shared, frames, at=t))
        parts = [
            submit(_partial, f"{b}", job.source, job.blocks[b], supply[b], models[t], last, at=t) for b in tile.blocks
        ]
        merged.append(merge_tree(job, f"{label}-tile{t}", parts) if parts else None)
    sums = [] if last else [_sums(submit, tile, merged) for tile in tiles]
    received = [[model, *([sums[t]] if sums else [])] for t, model in enumerate(models)]
    own = [submit(_totals, f"totals-{t}", merged[t], received[t], at=t) for t in range(len(tiles))]
    totals = merge_tree(job, f"{label}-totals", own)
    metrics = submit(_metrics, "metrics", totals)
    if last:
        return metrics, None
    peaks = [submit(_peak, f"peak-{t}", t, sums[t], at=t) for t in range(len(tiles))]
    highest = submit(_highest, "highest", peaks)
    pooled = [
        submit(_pool, f"pool-{t}", t, state.tiles[t], state.shared, sums[t], highest, at=t) for t in range(len(tiles))
    ]
    move = submit(_step, "step", pooled, totals)
    following = tuple(
        submit(_advance_tile, f"state-{t}", t, state.tiles[t], state.shared, models[t], sums[t], highest, move, at=t)
        for t in range(len(tiles))
    )
    return metrics, InTiles(following, submit(_advance_shared, "shared", state.shared, move))


def _sums(submit: _Submit, tile: Tile, merged: list[Future | None]) -> Future:
    """Sums on a tile's work area: what its givers' updates say about it."""
    t = tile.index
    given = [merged[t] if u == t else submit(_give, f"give-{u}-{t}", merged[u], t, at=u) for u in tile.givers]
    return submit(_collect, f"sums-{t}", t, tile.givers, given, at=t)


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
