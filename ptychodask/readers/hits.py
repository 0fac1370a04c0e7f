"""Timepix3's stream of words as hits with times, and counts of hits by the scan position in whose time they fall.

A unit of time (tick) is 1.5625 ns throughout. Both the hits' clock and the one of the TDC, which marks lines or
positions of the scan, are taken modulo 2**34 ticks (27 s) and unwrapped from word to word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .._errors import InputError
from .reader import About, Span

MARK = b"TPX3"
WORDS = 2**18
"""Of the file that are decoded together, about."""
PERIOD = 2**34
PER_US = 640.0
"""Ticks in a microsecond."""
CHIP, GAP = 256, 4
HIT, RISING = 0xB, (0x6F, 0x6E)
"""Kind of a hit (the uppermost 4 bits), and of the rising edges of both TDCs (8 bits)."""
NOTE = (
    "hits are counted, and a fast electron makes several: they are more than the electrons, and vary more than so many"
    " electrons would"
)


@dataclass(frozen=True)
class Block:
    """Some chunks of the file: words from the first to the one after the last, and the time in it."""

    words: Span
    before: int
    """Time of the word before."""
    ticks: Span
    """Of its first and last hit; the second is smaller where there is none."""


@dataclass(frozen=True)
class Events:
    """A reader of hits.

    Parameters
    ----------
    path : Path
    blocks : tuple of Block
    scan : (int, int)
        Positions (y, x).
    starts : int array
        Times at which so many positions begin as there are positions per start.
    length : float
        Ticks of a position.
    quad : bool
        Four chips, or one?
    about : About
    hits : callable
        From path, block and whether there are four chips to times, rows and columns of the hits of the block.
    """

    path: Path
    blocks: tuple[Block, ...]
    scan: tuple[int, int]
    starts: np.ndarray
    length: float
    quad: bool
    about: About = field(default_factory=About)
    hits: Callable[[Path, Block, bool], tuple[np.ndarray, ...]] = field(default_factory=lambda: hits_of)
    dtype = np.dtype(np.uint16)

    @property
    def shape(self) -> tuple[int, ...]:
        side = 2 * CHIP + GAP if self.quad else CHIP
        return (*self.scan, side, side)

    @property
    def chunk(self) -> Span:
        return (1, self.scan[1])

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        height, width = rows[1] - rows[0], columns[1] - columns[0]
        found = np.zeros((height, width, *self.shape[2:]), self.dtype)
        each = self.scan[0] * self.scan[1] // len(self.starts)
        first, last = rows[0] * self.scan[1], rows[1] * self.scan[1] - 1
        low = self.starts[first // each] + first % each * self.length
        high = self.starts[last // each] + (last % each + 1) * self.length
        for block in self.blocks:
            if block.ticks[1] < low or block.ticks[0] > high:
                continue
            ticks, ky, kx = self.hits(self.path, block, self.quad)
            position = self._positions(ticks)
            y, x = np.divmod(position, self.scan[1])
            inside = (position >= 0) & (y >= rows[0]) & (y < rows[1]) & (x >= columns[0]) & (x < columns[1])
            np.add.at(found, (y[inside] - rows[0], x[inside] - columns[0], ky[inside], kx[inside]), 1)
        return found

    def _positions(self, ticks: np.ndarray) -> np.ndarray:
        """Of the scan, for every time; -1 where it is between lines, before or after the scan."""
        each = self.scan[0] * self.scan[1] // len(self.starts)
        start = np.searchsorted(self.starts, ticks, "right") - 1
        within = np.floor((ticks - self.starts[start]) / self.length).astype(np.int64)
        return np.where((start >= 0) & (within < each), start * each + within, -1)


@dataclass(frozen=True)
class Index:
    """What is known of the first words of a file, and that more words add to.

    Parameters
    ----------
    words : int
        That were read, whole chunks.
    before : int, optional
        Time of the last of them.
    blocks : tuple of Block
        With hits.
    marks : (tuple of int array, tuple of int array)
        Times of the rising edges of both TDCs, in pieces.
    chips : frozenset of int
        With hits.
    """

    words: int = 0
    before: int | None = None
    blocks: tuple[Block, ...] = ()
    marks: tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]] = ((), ())
    chips: frozenset[int] = frozenset()

    @property
    def quad(self) -> bool:
        """Four chips, or one?"""
        return self.chips != {0}

    @property
    def edges(self) -> np.ndarray:
        """Rising edges of the first TDC that has any, rising."""
        found = [np.sort(np.concatenate(pieces)) for pieces in self.marks if pieces]
        return next((edges for edges in found if len(edges)), np.zeros(0, np.int64))


def indexed(path: Path, index: Index, allow_partial: bool) -> Index:
    """The index of all words of a file, of which some were read before."""
    blocks, marks, chips = list(index.blocks), [list(pieces) for pieces in index.marks], set(index.chips)
    before, end = index.before, index.words
    for words in _blocks(path, allow_partial, index.words):
        ticks, kind, _, chip = decoded(path, words, before)
        hits = ticks[kind >> 4 == HIT]
        for pieces, edge in zip(marks, RISING, strict=True):
            pieces.append(ticks[kind == edge])
        chips |= set(np.unique(chip[kind >> 4 == HIT]).tolist())
        if len(hits):
            span = (int(hits.min()), int(hits.max()))
            blocks.append(Block(words, int(ticks[0]) if before is None else before, span))
        before, end = int(ticks[-1]) if len(ticks) else before, words[1]
    return Index(end, before, tuple(blocks), (tuple(marks[0]), tuple(marks[1])), frozenset(chips))


def events_of(path: Path, index: Index, scan: tuple[int, int], starts: np.ndarray, length: float) -> Events:
    """The reader of what was indexed, by times at which positions begin, and how long each takes."""
    used = None
    if index.quad:
        side = np.arange(2 * CHIP + GAP)
        there = (side < CHIP) | (side >= CHIP + GAP)
        used = there[:, None] & there
    about = About({}, (NOTE,), in_order=True, used=used)
    return Events(path, index.blocks, scan, starts, length, index.quad, about)


def decoded(path: Path, span: Span, before: int | None) -> tuple[np.ndarray, ...]:
    """Time in ticks, kind (8 bits), word and chip of every hit and every rising edge in some words of a file."""
    words = np.fromfile(path, "<u8", span[1] - span[0], offset=span[0] * 8)
    chips, body, at = np.zeros(len(words), np.uint8), np.ones(len(words), bool), 0
    while at < len(words):
        number = (int(words[at]) >> 48) // 8
        chips[at : at + 1 + number] = int(words[at]) >> 32 & 0xFF
        body[at] = False
        at += 1 + number
    kind = (words >> np.uint64(56)).astype(np.uint8)
    body &= (kind >> 4 == HIT) | np.isin(kind, RISING)
    words, kind, chips = words[body].astype(np.int64), kind[body], chips[body]
    arrival = (words & 0xFFFF) << 14 | words >> 30 & 0x3FFF
    ticks = np.where(kind >> 4 == HIT, arrival * 16 - (words >> 16 & 0xF), (words >> 9 & 0x7FFFFFFFF) * 2) % PERIOD
    if len(ticks):
        start = int(ticks[0]) if before is None else before
        steps = np.diff(ticks, prepend=start)
        ticks = start + np.cumsum((steps + PERIOD // 2) % PERIOD - PERIOD // 2)
    return ticks, kind, words, chips


def hits_of(path: Path, block: Block, quad: bool) -> tuple[np.ndarray, ...]:
    """Times, rows and columns of the hits of a block."""
    ticks, kind, words, chips = decoded(path, block.words, block.before)
    hits = kind >> 4 == HIT
    return (ticks[hits], *pixels(words[hits], chips[hits], quad))


def pixels(words: np.ndarray, chips: np.ndarray, quad: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of hits; chips of a quad lie around a gap, two of them turned by 180 degrees."""
    address = words >> 44 & 0xFFFF
    x = (address >> 9) * 2 + (address >> 2 & 1)
    y = (address >> 3 & 0x3F) * 4 + (address & 3)
    if not quad:
        return y, x
    far, turned = CHIP + GAP, (chips == 1) | (chips == 2)
    y, x = np.where(turned, CHIP - 1 - y + far, y), np.where(turned, CHIP - 1 - x, x)
    return y, np.where(chips <= 1, x + far, x)


def _blocks(path: Path, allow_partial: bool, begin: int = 0) -> Iterator[Span]:
    """Words from chunk to chunk, some at a time, from one at which a chunk begins."""
    size = path.stat().st_size // 8
    if not size:
        raise InputError(f"{path} is empty: copy it again")
    content = np.memmap(path, "<u8", "r", shape=(size,))
    at = begin
    while at < size:
        head = int(content[at])
        after = at + 1 + (head >> 48) // 8
        if head & 0xFFFFFFFF != int.from_bytes(MARK, "little"):
            raise InputError(f"{path} has no chunk of Timepix3 at byte {at * 8}: copy it again")
        if after > size:
            if not allow_partial:
                raise InputError(f"{path} ends within a chunk: copy it again, or --allow-partial")
            break
        at = after
        if at - begin >= WORDS:
            yield begin, at
            begin = at
    if at > begin:
        yield begin, at
