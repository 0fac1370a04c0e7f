"""Zarr stores to write in: when the writer leaves, even by an error, nothing is being written any more.

Zarr writes chunks side by side, and when one fails it does not wait for the others. They would make the folder again
that somebody has just cleared away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore


class _Watched(LocalStore):
    """A folder that knows how many values are being written in it, and that can be closed for more."""

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._running, self._closed, self._changed = 0, False, threading.Condition()

    async def set(self, key: str, value: Any) -> None:
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        if not await self.exists(key):
            await self.set(key, value)

    def set_sync(self, key: str, value: Any) -> None:
        with self._changed:
            if self._closed or not self.root.is_dir():  # another process may have cleared it away
                raise FileNotFoundError(f"{self.root} is written no more")
            self._running += 1
        try:
            super().set_sync(key, value)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def finish(self) -> None:
        """Take nothing more, and wait for what is being written."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._running == 0)


@contextmanager
def writable(path: str | Path, new: bool = False) -> Iterator[LocalStore]:
    """The store in a folder, to write in inside the block; only a ``new`` one is made."""
    folder = Path(path)
    if new:
        folder.mkdir()
    elif not folder.is_dir():
        raise FileNotFoundError(f"{folder} is gone")
    store = _Watched(folder)
    try:
        yield store
    finally:
        store.finish()
