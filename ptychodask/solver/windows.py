"""Windows: overlapping squares of the canvas under a sine taper, in whose Fourier coefficients a spectrum is local.

Side L, every L/4 pixels in y and x, on a raster that is fixed to the canvas; beyond its edges maps are mirrored. The
tapers' squares add up to the same number everywhere inside, so that ``sum_w taper F^-1 F taper`` divided by it is the
identity. A tile computes the windows that touch its core, for which it needs L pixels around it; what is summed over
windows takes each where its centre is, so that it counts once.

Neighbours in a row are transformed together. Their groups are made and added up in one order, by however many threads
they are computed; padded maps may be on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TypeVar

import numpy as np
from scipy import fft

from .._array import Array, irfft2, namespace, rfft2
from ..model.tiles import Rect

T = TypeVar("T")
Lend = Callable[[np.ndarray], Array]
"""Brings a map to where it is computed with."""

HOPS = 4
"""Windows per side."""
TOGETHER = 16
"""Windows of a group: 10 MB of work at L = 128."""


def at_home(values: np.ndarray) -> Array:
    """Computes here."""
    return values


def known_core(core: Rect, work: Rect, canvas: tuple[int, int], side: int) -> Rect | None:
    """What of a core is ``side`` pixels inside the work area, or at the edge of the canvas: its windows are known."""
    y0, x0 = (low + (side if low > 0 else 0) for low in (work.y0, work.x0))
    y1, x1 = (high - (side if high < end else 0) for high, end in zip((work.y1, work.x1), canvas, strict=True))
    return core.common(Rect(y0, y1, x0, x1)) if y0 < y1 and x0 < x1 else None


@dataclass(frozen=True)
class Group:
    """Neighbours in a row: what they cover of the padded maps, how many they are, and which have their centre in the
    core."""

    rows: slice
    columns: slice
    count: int
    own: slice


@dataclass(frozen=True)
class Windows:
    """The windows of a core.

    Parameters
    ----------
    core, work : Rect
        Pixels to be computed, and those that are known: the core and ``side`` more where the canvas has them.
    canvas : (int, int)
    side : int
        L in pixels, a multiple of 4.
    """

    core: Rect
    work: Rect
    canvas: tuple[int, int]
    side: int

    @property
    def hop(self) -> int:
        """Pixels between windows."""
        return self.side // HOPS

    @cached_property
    def wave(self) -> np.ndarray:
        """The taper along an axis [L]."""
        return np.sin(np.pi * (np.arange(self.side) + 0.5) / self.side)

    @cached_property
    def taper(self) -> np.ndarray:
        """Sine in y and x [L, L]."""
        return np.outer(self.wave, self.wave).astype(np.float32)

    @property
    def energy(self) -> float:
        """Mean of the taper's square."""
        return 0.25

    @cached_property
    def _spans(self) -> tuple[range, range]:
        """First pixels of the windows that touch the core, in y and x."""
        core, hop, side = self.core, self.hop, self.side
        return tuple(
            range((low - side) // hop * hop + hop, high, hop) for low, high in ((core.y0, core.y1), (core.x0, core.x1))
        )  # type: ignore[return-value]

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the work area that stand at those of the padded maps."""
        first = (self.work.y0, self.work.x0)
        pads = []
        for span, extent, start in zip(self._spans, self.canvas, first, strict=True):
            places = np.arange(span[0], span[-1] + self.side) % (2 * extent)
            pads.append(np.where(places < extent, places, 2 * extent - 1 - places) - start)
        return pads[0], pads[1]

    def padded(self, values: np.ndarray) -> np.ndarray:
        """A map on the work area [h, w], with all pixels that windows have; mirrored beyond the canvas."""
        rows, columns = self._index
        return values[rows[:, None], columns[None, :]]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Row by row of the canvas, whatever the core."""
        (above, left), side, hop = self._spans, self.side, self.hop
        owns = [[i for i, at in enumerate(span) if self._is_own(axis, at)] for axis, span in enumerate((above, left))]
        made = []
        for row in range(len(above)):
            for first in range(0, len(left), TOGETHER):
                count = min(TOGETHER, len(left) - first)
                own = [i - first for i in owns[1] if first <= i < first + count] if row in owns[0] else []
                columns = slice(first * hop, (first + count - 1) * hop + side)
                between = slice(own[0], own[-1] + 1) if own else slice(0)
                made.append(Group(slice(row * hop, row * hop + side), columns, count, between))
        return tuple(made)

    @property
    def owners(self) -> list[Group]:
        """Those that have windows with their centre in the core."""
        return [group for group in self.groups if group.own.stop]

    def _is_own(self, axis: int, first: int) -> bool:
        low, high = ((self.core.y0, self.core.y1), (self.core.x0, self.core.x1))[axis]
        return low <= min(max(first + self.side // 2, 0), self.canvas[axis] - 1) < high

    def spectra(self, padded: Array, group: Group, which: slice = slice(None)) -> Array:
        """Unitary Fourier coefficients of a group's windows of a padded map [n, L, L // 2 + 1]."""
        strip, xp = padded[group.rows, group.columns], namespace(padded)
        down, along = strip.strides
        views = xp.lib.stride_tricks.as_strided(
            strip, (group.count, self.side, self.side), (self.hop * along, down, along)
        )
        return rfft2(views[which] * xp.asarray(self.taper))

    def means(self, padded: Array, group: Group, which: slice = slice(None)) -> Array:
        """Means of a group's windows of a padded map under the taper's square; float64 [n]."""
        xp = namespace(padded)
        weight = xp.asarray(self.wave**2)
        column = (padded[group.rows, group.columns] * weight[:, None]).sum(axis=0)
        (step,) = column.strides
        views = xp.lib.stride_tricks.as_strided(column, (group.count, self.side), (self.hop * step, step))
        return (views[which] * weight).sum(axis=1) / (self.energy * self.side**2)

    def back(self, coefficients: Array) -> Array:
        """What a whole group with these coefficients adds to the sum over windows, tapers included: a strip of its
        rows and columns."""
        xp, count = namespace(coefficients), len(coefficients)
        parts = irfft2(coefficients, (self.side, self.side)) * xp.asarray(self.taper)
        strip = xp.zeros((self.side, (count - 1) * self.hop + self.side), parts.dtype)
        for turn in range(min(HOPS, count)):  # those that stand side by side without an overlap
            some = parts[turn::HOPS].transpose(1, 0, 2).reshape(self.side, -1)
            strip[:, turn * self.hop : turn * self.hop + some.shape[1]] += some
        return strip

    def cut(self, total: np.ndarray) -> np.ndarray:
        """The core of a padded sum over windows, divided by what the tapers add up to."""
        (above, left), core = self._spans, self.core
        rows = slice(core.y0 - above[0], core.y1 - above[0])
        columns = slice(core.x0 - left[0], core.x1 - left[0])
        return total[rows, columns] / np.float32((HOPS / 2) ** 2)


def in_order(function: Callable[[Group], T], groups: Sequence[Group], seen: Array) -> Iterator[T]:
    """``function`` of every group that looks at a map, in their order.

    By as many threads as the caller's transforms may take (``scipy.fft.set_workers``), or by a device.
    """
    threads = fft.get_workers() if isinstance(seen, np.ndarray) else 1
    if threads == 1:
        yield from map(function, groups)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, groups)


def summed(parts: Iterable[tuple[Array, ...]]) -> tuple[Array, ...]:
    """Sums of the first of each, of the second of each, and so on, in the order given."""
    return reduce(lambda total, part: tuple(a + b for a, b in zip(total, part, strict=True)), parts)
