"""Blocks come to the tasks of a worker from its cache, or from the store, ahead of time where that is possible.

The client knows the order in which a worker takes its blocks, and gives every task the next ones at the same place as a
hint. A hint changes no result: a block that was read ahead and goes elsewhere is dropped, one that was not is read by
its task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..model.blocks import Block, BlockSource
from .cache import AHEAD, WORKER_CACHE
from .spent import timed


class Preparer(Protocol):
    """What turns counts into data to compute with; ``data_key`` names how."""

    @property
    def data_key(self) -> str: ...
    def prepare(self, block: Block, counts: Any) -> Any: ...


@dataclass(frozen=True)
class Supply:
    """How a task gets its block.

    Parameters
    ----------
    cache_bytes : int
        Budget of the worker's cache, blocks that are read ahead included.
    following : tuple of Block
        Blocks that this worker will want next.
    """

    cache_bytes: int
    following: tuple[Block, ...] = ()


@dataclass(frozen=True)
class _Loaded:
    data: Any
    bytes_read: int
    seconds: float
    ahead: bool

    @property
    def nbytes(self) -> int:
        return self.data.nbytes


@dataclass(frozen=True)
class Supplied:
    """Prepared counts of a block, and what it took to get them.

    Parameters
    ----------
    data
    bytes_read : int
        Bytes of counts that were read for it, 0 where it was kept.
    seconds_reading : float
        Of reading and preparing it, in this task or ahead of it.
    seconds_waiting : float
        In which the task waited for it while it was read ahead.
    """

    data: Any
    bytes_read: int = 0
    seconds_reading: float = 0.0
    seconds_waiting: float = 0.0


def supplies(
    blocks: Sequence[Block], places: Sequence[str], threads: Mapping[str, int], cache_bytes: int, goes_on: bool
) -> list[Supply]:
    """The supply of every block.

    A place has its blocks in work up to its number of threads; the ones after those are wanted next, and after the last
    the first, if another pass follows (``goes_on``).
    """
    found: list[Supply] = [Supply(cache_bytes)] * len(blocks)
    for place in dict.fromkeys(places):
        own = [b for b, its in enumerate(places) if its == place]
        busy = threads.get(place, 1)
        for i, b in enumerate(own):
            after = [i + busy + k for k in range(AHEAD)]
            if goes_on:
                after = [k % len(own) for k in after]
            ahead = dict.fromkeys(own[k] for k in after if k < len(own) and k != i)
            found[b] = Supply(cache_bytes, tuple(blocks[k] for k in ahead))
    return found


def block_data(algorithm: Preparer, source: BlockSource, block: Block, supply: Supply) -> Supplied:
    """Prepared counts of a block; the following blocks are under way."""

    def load(block: Block, ahead: bool) -> _Loaded:
        # strip by strip: a generator expression lets go of one before it reads the next
        strips = (source.read(strip) for strip in block.strips(source.rows))
        data, seconds = timed(algorithm.prepare, block, strips)
        return _Loaded(data, source.nbytes(block), seconds, ahead)

    run = f"{source.key}-{algorithm.data_key}"
    (loaded, kept), seconds = timed(WORKER_CACHE.get, run, block, partial(load, block, False), supply.cache_bytes)
    ahead = [(after, partial(load, after, True)) for after in supply.following]
    WORKER_CACHE.read_ahead(run, ahead, supply.cache_bytes)
    if kept:
        return Supplied(loaded.data)
    return Supplied(loaded.data, loaded.bytes_read, loaded.seconds, seconds if loaded.ahead else 0.0)
