"""Tiles of the canvas, for objects that do not fit a worker: who owns which pixels, and who needs pixels of whom.

Chosen by the scan and the job, never by the number of workers. A tile owns its core; the cores partition the canvas.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from .._errors import InputError


@dataclass(frozen=True)
class Rect:
    """Canvas pixels: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def corner(self) -> tuple[int, int]:
        """The first pixel."""
        return self.y0, self.x0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)

    def grown(self, margin: int, canvas: tuple[int, int]) -> Rect:
        """With ``margin`` more pixels on every side that has them."""
        return Rect(
            max(self.y0 - margin, 0),
            min(self.y1 + margin, canvas[0]),
            max(self.x0 - margin, 0),
            min(self.x1 + margin, canvas[1]),
        )

    def common(self, other: Rect) -> Rect | None:
        """Pixels of both, None where there are none."""
        y0, y1 = max(self.y0, other.y0), min(self.y1, other.y1)
        x0, x1 = max(self.x0, other.x0), min(self.x1, other.x1)
        return Rect(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None

    def inside(self, corner: tuple[int, int]) -> tuple[slice, slice]:
        """Indices of these pixels in an array whose first pixel is ``corner``."""
        y, x = corner
        return slice(self.y0 - y, self.y1 - y), slice(self.x0 - x, self.x1 - x)


def hull(rects: Sequence[Rect]) -> Rect:
    """The smallest rectangle that holds all."""
    return Rect(min(r.y0 for r in rects), max(r.y1 for r in rects), min(r.x0 for r in rects), max(r.x1 for r in rects))


@dataclass(frozen=True)
class Tile:
    """A piece of the canvas and what it exchanges with its neighbours.

    Parameters
    ----------
    index : int
    core : Rect
        The pixels that it owns.
    work : Rect
        Core and margin: where the next object is computed, so that the lateral blur is right on the core.
    lit : Rect or None
        The pixels that its blocks' updates touch; None for a tile without blocks.
    reach : Rect
        Where it needs the object: ``work`` and ``lit``.
    blocks : tuple of int
        Blocks of the scan whose window has its centre in the core.
    windows : tuple of Rect
        Of every one of them, the pixels that its views cover.
    lenders : tuple of int
        Other tiles that own pixels of ``reach``.
    givers : tuple of int
        Tiles whose updates touch ``work``, itself among them if it has blocks, in rising order: that of the sum.
    """

    index: int
    core: Rect
    work: Rect
    lit: Rect | None
    reach: Rect
    blocks: tuple[int, ...]
    windows: tuple[Rect, ...]
    lenders: tuple[int, ...]
    givers: tuple[int, ...]


def core_sides(canvas: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of a core: nearly equal pieces of at most ``side`` pixels (the last may be smaller)."""
    if side < 1:
        raise InputError(f"tiles of {side} pixels: use at least 1")
    return _piece(canvas[0], side), _piece(canvas[1], side)


def _piece(extent: int, side: int) -> int:
    return -(-extent // -(-extent // side))


def make_tiles(canvas: tuple[int, int], side: int, windows: Sequence[Rect], margin: int) -> tuple[Tile, ...]:
    """Tiles in row-major order.

    Parameters
    ----------
    canvas : (int, int)
        Oy, Ox in pixels.
    side : int
        Largest side of a core in pixels.
    windows : sequence of Rect
        Of every block, the pixels that its views cover.
    margin : int
        Pixels around a core that the constraints of its object look at.
    """
    height, width = core_sides(canvas, side)
    cores = [
        Rect(y, min(y + height, canvas[0]), x, min(x + width, canvas[1]))
        for y in range(0, canvas[0], height)
        for x in range(0, canvas[1], width)
    ]
    columns = -(-canvas[1] // width)
    members: list[list[int]] = [[] for _ in cores]
    for block, window in enumerate(windows):
        row, column = (window.y0 + window.y1) // 2 // height, (window.x0 + window.x1) // 2 // width
        members[row * columns + column].append(block)

    def touched(rect: Rect) -> list[int]:
        """Tiles whose cores have pixels of a rectangle."""
        rows = range(rect.y0 // height, (rect.y1 - 1) // height + 1)
        return [r * columns + c for r in rows for c in range(rect.x0 // width, (rect.x1 - 1) // width + 1)]

    works = [core.grown(margin, canvas) for core in cores]
    lit = [hull([windows[b] for b in own]) if own else None for own in members]
    reaches = [work if light is None else hull([work, light]) for work, light in zip(works, lit, strict=True)]
    givers: list[list[int]] = [[] for _ in cores]
    for u, light in enumerate(lit):
        for t in touched(light.grown(margin, canvas)) if light is not None else ():  # their work areas touch it
            givers[t].append(u)
    return tuple(
        Tile(
            t,
            cores[t],
            works[t],
            lit[t],
            reaches[t],
            tuple(members[t]),
            tuple(windows[b] for b in members[t]),
            tuple(u for u in touched(reaches[t]) if u != t),
            tuple(givers[t]),
        )
        for t in range(len(cores))
    )


def deal(tiles: Sequence[Tile], numbers: Container[int]) -> tuple[Tile, ...]:
    """The tiles with those of their blocks that are among ``numbers``; what they lend each other stays as it is."""
    kept = [[(b, w) for b, w in zip(t.blocks, t.windows, strict=True) if b in numbers] for t in tiles]
    lit = [hull([w for _, w in own]) if own else None for own in kept]
    return tuple(
        replace(
            tile,
            lit=light,
            blocks=tuple(b for b, _ in own),
            windows=tuple(w for _, w in own),
            givers=tuple(u for u in tile.givers if (its := lit[u]) is not None and its.common(tile.work)),
        )
        for tile, own, light in zip(tiles, kept, lit, strict=True)
    )
