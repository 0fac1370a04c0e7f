"""Worker-local cache of prepared blocks, with a byte budget. Everything in it can be read again from the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

AHEAD = 2
"""Blocks that are read ahead at most."""
STALE = 128
"""Blocks computed since a block was read ahead after which it is given up: it has gone to another worker."""


@dataclass(frozen=True)
class _Flight:
    """A block that is being read ahead, or waits to be fetched."""

    value: Future[Any]
    turn: int


class BlockCache:
    """What fits stays; what does not is read by a thread of its own while the blocks before it are computed.

    Iterations visit blocks in a cycle, for which dropping the least recently used entry would miss every time; so an
    entry of the same run is never dropped for another one. Entries of earlier runs go first. Once a run does not fit,
    its last entries make room for the blocks that are read ahead, which count in the budget too (each as the largest
    block of the run so far). A budget of less than a block keeps nothing and reads nothing ahead.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, Hashable], Any] = {}
        self._flights: dict[tuple[str, Hashable], _Flight] = {}
        self._largest: dict[str, int] = {}
        self._overflown: set[str] = set()
        self._reserved: dict[str, int] = {}
        self._turn = 0
        self._reader: ThreadPoolExecutor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held, those read ahead included."""
        done = [f.value for f in list(self._flights.values()) if f.value.done() and not f.value.cancelled()]
        ahead = sum(v.result().nbytes for v in done if v.exception() is None)
        return sum(entry.nbytes for entry in list(self._entries.values())) + ahead

    @property
    def ahead(self) -> int:
        """Blocks being read ahead, or read and not yet fetched."""
        return len(self._flights)

    def get(self, run: str, name: Hashable, make: Callable[[], Any], budget: int) -> tuple[Any, bool]:
        """The entry and whether it was kept here; a new one is kept if it fits the budget in bytes.

        A block that is being read ahead is waited for. If that failed, it is made here, and fails here.
        """
        key = (run, name)
        with self._lock:
            if key in self._entries:
                return self._entries[key], True
            flight = self._flights.pop(key, None)
        # outside the lock: other threads go on reading
        if flight is None or flight.value.cancel() or flight.value.exception() is not None:
            value = make()
        else:
            value = flight.value.result()
        with self._lock:
            self._keep(key, value, budget)
        return value, False

    def read_ahead(self, run: str, wanted: Sequence[tuple[Hashable, Callable[[], Any]]], budget: int) -> None:
        """Start to make the entries that are wanted next, in this order, as far as the budget and AHEAD go."""
        with self._lock:
            self._turn += 1
            self._flights = {
                key: f for key, f in self._flights.items() if key[0] == run and self._turn - f.turn <= STALE
            }
            if run in self._overflown:
                self._reserve(run, budget)
            for name, make in wanted:
                key = (run, name)
                if key in self._entries or key in self._flights:
                    continue
                room = (len(self._flights) + 1) * self._largest.get(run, budget + 1)
                if len(self._flights) == AHEAD or not self._make_room(run, room, budget):
                    return
                if self._reader is None:
                    self._reader = ThreadPoolExecutor(1, thread_name_prefix="ptychodask-reader")
                self._flights[key] = _Flight(self._reader.submit(make), self._turn)

    def _keep(self, key: tuple[str, Hashable], value: Any, budget: int) -> None:
        run = key[0]
        self._largest[run] = max(self._largest.get(run, 0), value.nbytes)
        if self._held(run) + value.nbytes > budget:
            self._overflown.add(run)
        ahead = len([k for k in self._flights if k[0] == run]) * self._largest[run]
        if self._make_room(run, value.nbytes + max(ahead, self._reserved.get(run, 0)), budget):
            self._entries[key] = value

    def _reserve(self, run: str, budget: int) -> None:
        """Room for what a run that does not fit reads ahead, at the cost of its last entries."""
        largest = self._largest[run]
        self._reserved[run] = min(AHEAD, budget // max(largest, 1)) * largest
        while self._held(run) > budget - self._reserved[run]:
            del self._entries[next(k for k in reversed(self._entries) if k[0] == run)]

    def _held(self, run: str) -> int:
        return sum(entry.nbytes for key, entry in self._entries.items() if key[0] == run)

    def _make_room(self, run: str, room: int, budget: int) -> bool:
        """Drop entries of other runs until ``room`` more bytes fit; says whether they do, else drops nothing."""
        if self._held(run) + room > budget:
            return False
        held = sum(entry.nbytes for entry in self._entries.values())
        for other in [k for k in self._entries if k[0] != run]:
            if held + room <= budget:
                break
            held -= self._entries.pop(other).nbytes
        for gone in {*self._largest} - {k[0] for k in self._entries} - {run}:
            del self._largest[gone]
            self._overflown.discard(gone)
            self._reserved.pop(gone, None)
        return True


WORKER_CACHE = BlockCache()
"""One per process: threads of a worker share it."""
