"""Which worker has which block. The bits of a result do not depend on it, only what is cached where."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

FAN_IN = 8
"""Updates that are merged at a time: blocks in runs of so many stay together where they can."""


def placement(blocks: int, workers: Sequence[str]) -> list[str]:
    """Worker of every block: the same numbers of blocks, to one, and in whole runs of :data:`FAN_IN` where that goes.

    Rendezvous hashing (Thaler & Ravishankar, IEEE/ACM Trans. Netw. 6, 1998) with a bound on the load: every run of
    blocks ranks the workers by a hash of its own, and the highest rank of all takes its run first, as far as the worker
    has room. A worker that comes or goes moves its share of the blocks and little more, so that the caches of the
    others stay of use.
    """
    return list(_placed(blocks, tuple(sorted(workers))))


@lru_cache(maxsize=8)
def _placed(blocks: int, workers: tuple[str, ...]) -> tuple[str, ...]:
    least, more = divmod(blocks, len(workers))
    by_rank = sorted(workers, key=lambda worker: _rank(worker, -1))
    room = {worker: least + (place < more) for place, worker in enumerate(by_rank)}
    waiting = [range(first, min(first + FAN_IN, blocks)) for first in range(0, blocks, FAN_IN)]
    placed = [""] * blocks
    pairs = ((_rank(worker, run), worker, run) for worker in workers for run in range(len(waiting)))
    for _, worker, run in sorted(pairs):
        taken = waiting[run][: room[worker]]
        placed[taken.start : taken.stop] = [worker] * len(taken)
        waiting[run] = waiting[run][len(taken) :]
        room[worker] -= len(taken)
    return tuple(placed)


def _rank(worker: str, run: int) -> bytes:
    return hashlib.blake2b(f"{worker} {run}".encode(), digest_size=8).digest()
