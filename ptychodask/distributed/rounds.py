"""Tasks of one round over tiles: what runs on the workers, and how it is submitted where its tile lives.

Methods of the algorithm are called by their names; counts of bytes travel beside what they return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distributed import Client, Future

from .._array import held_bytes
from ..model.blocks import Block, BlockSource
from ..model.tiles import Tile
from .iterate import Job, Parcel, map_blocks, workers_of
from .placement import placement
from .spent import Spent, add, of_this_worker, timed, totals
from .stream import Supply, block_data
from .together import Together


@dataclass(frozen=True)
class Received:
    """What was put together, and the bytes that came from other tiles."""

    value: Any
    bytes_exchanged: int

    __sizeof__ = held_bytes


def _plain(argument: Any) -> Any:
    """What the algorithm knows: a value without its count of bytes."""
    if isinstance(argument, Received):
        return argument.value
    return argument.update if isinstance(argument, Parcel) else argument


def _call(algorithm: Any, method: str, *arguments: Any) -> Any:
    return getattr(algorithm, method)(*map(_plain, arguments))


def _assemble(algorithm: Any, method: str, frames: list[Any], *arguments: Any) -> Received:
    return Received(_call(algorithm, method, *arguments, frames), sum(f.nbytes for f in frames))


def _on_block(
    algorithm: Any, source: BlockSource, block: Block, supply: Supply, method: str, *arguments: Any
) -> Parcel:
    got = block_data(algorithm, source, block, supply)
    update, computing = timed(_call, algorithm, method, block, got.data, *arguments)
    spent = of_this_worker(computing, got.seconds_reading, got.seconds_waiting)
    return Parcel(update, got.bytes_read, update.nbytes, spent=spent)


def _collect(algorithm: Any, index: int, givers: Sequence[int], given: list[Any]) -> Received:
    """``given`` are pieces of other tiles, and at its own place the tile's merged parcel."""
    pieces = [
        algorithm.give(piece.update, index) if giver == index else piece
        for giver, piece in zip(givers, given, strict=True)
    ]
    others = (piece.nbytes for giver, piece in zip(givers, pieces, strict=True) if giver != index)
    return Received(algorithm.collect(index, pieces), sum(others))


def totals_of(algorithm: Any, merged: Parcel | None, received: list[Received]) -> Parcel:
    """What is no map in a tile's merged update, with the bytes that the tile received."""
    exchanged = sum(r.bytes_exchanged for r in received)
    if merged is None:
        return Parcel(algorithm.totals(None), 0, 0, exchanged)
    return replace(merged, update=algorithm.totals(merged.update), bytes_exchanged=exchanged)


def metrics_of(algorithm: Any, parcel: Parcel, lines: list[Parcel]) -> tuple[dict[str, float], Spent]:
    """Metrics of a pass, with its counts of bytes and seconds, and these by worker.

    Seconds are those of its ``lines`` too, the searches along directions; bytes are those of the first visits.
    """
    spent = add((parcel.spent, *(line.spent for line in lines)))
    names = ("bytes_read", "bytes_merged", "bytes_exchanged")
    counts = {name: float(getattr(parcel, name)) for name in names}
    return {**algorithm.metrics(parcel.update), **counts, **totals(spent)}, spent


def tile_places(patterns: Sequence[int], workers: Sequence[str]) -> list[str]:
    """Worker of every tile: contiguous runs with about the same number of ``patterns``, not of pixels."""
    ordered, total, before = sorted(workers), max(sum(patterns), 1), 0
    places = []
    for count in patterns:
        places.append(ordered[min(int((before + count / 2) * len(ordered) / total), len(ordered) - 1)])
        before += count
    return places


@dataclass(frozen=True)
class Places:
    """Where tiles and blocks live now; empty texts stand for anywhere."""

    tiles: list[str]
    blocks: list[str]


def places_of(client: Client | Together, tiles: Sequence[Tile], blocks: Sequence[Block]) -> Places:
    """Tiles in contiguous runs, and blocks where their tile is. A lone tile is nowhere in particular, and its blocks
    are dealt out to all workers."""
    workers = list(workers_of(client)) or [""]
    if len(tiles) == 1:
        return Places([""], placement(len(blocks), workers))
    own = tile_places([sum(blocks[b].size for b in tile.blocks) for tile in tiles], workers)
    of_blocks = {b: own[tile.index] for tile in tiles for b in tile.blocks}
    return Places(own, [of_blocks[b] for b in range(len(blocks))])


@dataclass(frozen=True)
class Round:
    """Submits the tasks of one round, each where its tile lives."""

    job: Job
    label: str
    tiles: Sequence[Tile]
    places: Places

    def task(self, function: Callable[..., Any], name: str, *arguments: Any, at: int | None = None) -> Future:
        """``function(algorithm, *arguments)``, at the place of a tile or anywhere."""
        place = self.places.tiles[at] if at is not None else ""
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
        tile_of = {b: tile.index for tile in self.tiles for b in tile.blocks}
        parts = map_blocks(
            self.job,
            f"{self.label}{name}",
            _on_block,
            lambda b: (method, *arguments(tile_of[b])),
            self.places.blocks,
            numbers=list(tile_of),
            goes_on=goes_on,
        )
        made: list[list[Future]] = [[] for _ in self.tiles]
        for tile, part in zip(tile_of.values(), parts, strict=True):
            made[tile].append(part)
        return made

    def sums(self, tile: Tile, merged: list[Future | None]) -> Future:
        """Sums on a tile's work area: what its givers' updates say about it."""
        t = tile.index
        given = [merged[t] if u == t else self.call("give", f"give-{u}-{t}", merged[u], t, at=u) for u in tile.givers]
        return self.task(_collect, f"sums-{t}", t, tile.givers, given, at=t)
