"""Memory that a block's counts have left is used for the next block's, and not given back to the system between them.

Dask's nanny starts workers with a trim threshold of 64 KiB, by which glibc also maps every buffer above 128 KiB anew.
The megabytes into which a chunk is decoded then come page by page from the system each time, which takes as long again
as reading and decoding it.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt(3)
BUFFER = 8 * 2**20
"""Largest buffer that is reused, and what may stay at the end of a heap, in bytes: more than a strip of counts."""


@cache
def reuse_buffers() -> bool:
    """Make this process reuse freed buffers of up to ``BUFFER`` bytes; says whether its C library can.

    Who sets ``MALLOC_MMAP_THRESHOLD_`` knows what they want, and is left alone.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return bool(mallopt(_MMAP_THRESHOLD, BUFFER)) and bool(mallopt(_TRIM_THRESHOLD, BUFFER))
