"""Events straight from the bit planes in which Blosc's bit shuffle stores counts.

Where counts are few, nearly all the time of decoding goes into turning bit planes back to numbers, nearly all of which
are zero. Here Blosc only decompresses, and the numbers are made where there are electrons.

A chunk of Blosc 1 starts with 16 bytes (version, version of the codec, flags, bytes per number; then size, size of a
block, size as stored, 4 bytes each). Every block by itself holds bit 0 of all its numbers, then bit 1 and so on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from numcodecs import Blosc

from .._numba import njit
from ..counts.events import Events, gather_events, pixel_type
from .shards import Stored

_SHUFFLE, _PLAIN, _BITSHUFFLE = 1, 2, 4
"""Flags: bytes are shuffled, the content is not compressed, bits are shuffled."""
_PLACES = np.zeros(64, np.uint8)
"""Which bit is set, by the upper six bits of its product with a de Bruijn sequence."""
_SEQUENCE = 0x03F79D71B4CB0A89
_PLACES[[(_SEQUENCE << bit) % 2**64 >> 58 for bit in range(64)]] = np.arange(64)


def half_row(n: int) -> np.dtype[Any] | None:
    """The widest words of which the planes of half a row of N pixels are made, or None: N is not a multiple of 16."""
    return next((np.dtype(f"<u{w}") for w in (8, 4, 2, 1) if n % (16 * w) == 0), None)


def decode_planes(chunk: bytes, out: np.ndarray, itemsize: int) -> int:
    """Decompress a chunk into bit planes, block after block.

    Parameters
    ----------
    chunk : bytes
        A Blosc chunk.
    out : uint8 array
        For the content, whose size is known.
    itemsize : int
        Bytes of a number.

    Returns
    -------
    int
        Bytes of a block (the last one may be smaller), or 0 if the chunk is not made in this way.
    """
    _, _, flags, its_itemsize, size, block, stored = struct.unpack_from("<4B3I", chunk)
    shuffled = flags & (_SHUFFLE | _PLAIN | _BITSHUFFLE) == _BITSHUFFLE
    # planes of whole words of 8 bytes
    whole = block > 0 and block % (64 * itemsize) == size % (64 * itemsize) == 0
    if not (shuffled and whole and its_itemsize == itemsize and size == out.nbytes and stored == len(chunk)):
        return 0
    # told that nothing is shuffled, Blosc leaves the planes as they are
    Blosc().decode(chunk[:2] + bytes([flags & ~_BITSHUFFLE]) + chunk[3:], out)
    return block


def events_in(
    chunks: Iterable[Stored],
    patterns: int,
    n: int,
    dtype: np.dtype[Any],
    chunk_patterns: int,
) -> Events | None:
    """Events of a block of patterns, corner-centred, from chunks in any order.

    Parameters
    ----------
    chunks : iterable of (bytes, int array, int array)
        A Blosc chunk, the patterns wanted of it, and their places in the block.
    patterns : int
        B.
    n : int
        N.
    dtype : dtype
        uint8 or uint16.
    chunk_patterns : int
        Patterns of a whole chunk.

    Returns
    -------
    Events or None
        None if a chunk is not made in this way, or if events take more bytes than dense counts.
    """
    word, index, itemsize = half_row(n), pixel_type(n * n), dtype.itemsize
    if word is None or dtype.kind != "u" or itemsize > 2:
        return None
    room = patterns * n * n * itemsize
    # what is not written takes no memory
    pixel, count = np.empty(room // (index.itemsize + 1), index), np.empty(room // (index.itemsize + 1), dtype)
    first, end = np.zeros(patterns, np.int64), np.zeros(patterns, np.int64)
    # one chunk at a time stays in the processor's cache
    content = np.empty(chunk_patterns * n * n * itemsize // 8, np.uint64).view(np.uint8)
    words, found = content.view(word), np.empty(len(content) // 8 // itemsize // word.itemsize, word)
    events = 0
    for chunk, within, places in chunks:
        block = decode_planes(chunk, content, itemsize)
        if block == 0:
            return None
        stride, bits = block // itemsize // 8 // word.itemsize, 8 * itemsize
        _merge_planes(words, stride, bits, found)
        events = _collect(words, found, stride, bits, n, within, places, _PLACES, events, first, end, pixel, count)
        if events < 0:
            return None
    return gather_events(first, end, pixel, count, room)


@njit(nogil=True)
def _merge_planes(words: np.ndarray, stride: int, bits: int, found: np.ndarray) -> None:
    """Which numbers are not zero: the planes of every block (``stride`` words each, fewer in the last) in one."""
    for low in range(0, len(found), stride):
        width = min(stride, len(found) - low)
        planes = words[low * bits : (low + width) * bits].reshape(bits, width)
        into = found[low : low + width]
        into[:] = planes[0]
        for k in range(1, bits):
            plane = planes[k]
            for w in range(width):
                into[w] |= plane[w]


@njit(nogil=True)
def _collect(
    words: np.ndarray, found: np.ndarray, stride: int, bits: int, n: int,
    within: np.ndarray, places: np.ndarray, place_of: np.ndarray, event: int,
    first: np.ndarray, end: np.ndarray, pixel: np.ndarray, count: np.ndarray,
) -> int:  # fmt: skip
    """Write the events of patterns in the order of corner-centred pixels; returns their new number, -1 without room."""
    one, sequence, top = np.uint64(1), np.uint64(_SEQUENCE), np.uint64(58)
    width = 8 * words.itemsize
    half = n // 2 // width
    for i in range(len(within)):
        first[places[i]] = event
        for y in range(n):
            row = within[i] * n + (y + n // 2 if y < n // 2 else y - n // 2)
            for x in range(2 * half):
                w = row * 2 * half + (x + half if x < half else x - half)
                left = np.uint64(found[w])
                if left == 0:
                    continue
                low = w // stride * stride
                gap = min(stride, len(found) - low)
                at = low * bits + w - low
                more = np.uint64(0)  # pixels of more than one electron
                for k in range(1, bits):
                    more |= np.uint64(words[at + k * gap])
                while left != 0:
                    lowest = left & (~left + one)
                    left ^= lowest
                    bit = place_of[(lowest * sequence) >> top]
                    if event == len(pixel):
                        return -1
                    electrons = 1
                    if more & lowest:
                        electrons = 0
                        for k in range(bits):
                            if np.uint64(words[at + k * gap]) & lowest:
                                electrons += 1 << k
                    pixel[event] = y * n + x * width + bit
                    count[event] = electrons
                    event += 1
        end[places[i]] = event
    return event
