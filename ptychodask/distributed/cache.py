"""Worker-local cache of prepared blocks, with a byte budget. Everything in it can be read again from the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any


class BlockCache:
    """What fits stays.

    Iterations visit blocks in a cycle, for which dropping the least recently used entry would miss every time; so an
    entry of the same run is never dropped for another one. Entries of earlier runs go first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, Hashable], Any] = {}

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(entry.nbytes for entry in list(self._entries.values()))

    def get(self, run: str, name: Hashable, make: Callable[[], Any], budget: int) -> tuple[Any, bool]:
        """The entry and whether it was found; a new one is kept if it fits the budget in bytes."""
        key = (run, name)
        with self._lock:
            if key in self._entries:
                return self._entries[key], True
        value = make()  # outside the lock: other threads go on reading
        with self._lock:
            others = [k for k in self._entries if k[0] != run]
            own = self.nbytes - sum(self._entries[k].nbytes for k in others)
            if own + value.nbytes > budget:
                return value, False
            for other in others:
                if self.nbytes + value.nbytes <= budget:
                    break
                del self._entries[other]
            self._entries[key] = value
        return value, False


WORKER_CACHE = BlockCache()
"""One per process: threads of a worker share it."""
