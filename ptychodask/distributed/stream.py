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

    @property
    def nbytes(self) -> int:
        return self.data.nbytes


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


def block_data(algorithm: Preparer, source: BlockSource, block: Block, supply: Supply) -> tuple[Any, int]:
    """Prepared counts of a block and the bytes of counts that were read for it; the following blocks are under way."""

    def load(block: Block) -> _Loaded:
        # strip by strip: a generator expression lets go of one before it reads the next
        strips = (source.read(strip) for strip in block.strips(source.rows))
        return _Loaded(algorithm.prepare(block, strips), source.nbytes(block))

    run = f"{source.key}-{algorithm.data_key}"
    loaded, kept = WORKER_CACHE.get(run, block, partial(load, block), supply.cache_bytes)
    WORKER_CACHE.read_ahead(run, [(after, partial(load, after)) for after in supply.following], supply.cache_bytes)
    return loaded.data, 0 if kept else loaded.bytes_read
