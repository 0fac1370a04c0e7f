"""Pinned host memory through which a queue's arrays pass.

CuPy's pool of pinned memory lends a buffer only to who wants exactly its size, and the number of events differs from
block to block: most buffers would be allocated anew, and the device waits for that. Here all arrays of a block take
parts of one buffer, one behind the other, which is free again once the queue was waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

ALIGNMENT = 512
"""Bytes: arrays begin at multiples of it."""
SMALLEST, LARGEST = 2**20, 2**26
"""Bytes of a buffer: the first one, and what passes at once unless an array is larger."""


class Staging:
    """The buffer of one queue.

    Parameters
    ----------
    allocate : callable
        Given a number of bytes, pinned uint8 memory.
    wait : callable
        Waits for the queue.
    """

    def __init__(self, allocate: Callable[[int], np.ndarray], wait: Callable[[], None]) -> None:
        self._allocate, self._wait = allocate, wait
        self._buffer = np.empty(0, np.uint8)
        self._outgrown: list[np.ndarray] = []
        self._used = 0

    def take_for(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """Places for arrays of such shapes and types, until :meth:`waited`.

        All at once: places that were taken before may be waited for, and given to these.
        """
        ends = list(accumulate((-(-a.nbytes // ALIGNMENT) * ALIGNMENT for a in arrays), initial=0))
        room = self._take(ends[-1])
        return [
            room[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
            for a, start in zip(arrays, ends[:-1], strict=True)
        ]

    def _take(self, size: int) -> np.ndarray:
        if self._used + size > LARGEST:
            self._wait()
            self.waited()
        if self._used + size > len(self._buffer):
            self._outgrown.append(self._buffer)  # copies from it may be under way
            self._buffer, self._used = self._allocate(max(SMALLEST, 2 * len(self._buffer), size)), 0
        start, self._used = self._used, self._used + size
        return self._buffer[start : self._used]

    def waited(self) -> None:
        """Nothing is under way any more."""
        self._outgrown.clear()
        self._used = 0
