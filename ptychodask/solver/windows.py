"""Windows: overlapping squares of the canvas under a sine taper, in whose Fourier coefficients a spectrum is local.

Side L, every L/4 pixels in y and x, on a raster that is fixed to the canvas; beyond its edges maps are mirrored. The
tapers' squares add up to the same number everywhere inside, so that ``sum_w taper F^-1 F taper`` divided by it is the
identity. A tile computes the windows that touch its core, for which it needs L pixels around it; what is summed over
windows takes each where its centre is, so that it counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from ..model.tiles import Rect

HOPS = 4
"""Windows per side."""


def known_core(core: Rect, work: Rect, canvas: tuple[int, int], side: int) -> Rect | None:
    """What of a core is ``side`` pixels inside the work area, or at the edge of the canvas: its windows are known."""
    y0, x0 = (low + (side if low > 0 else 0) for low in (work.y0, work.x0))
    y1, x1 = (high - (side if high < end else 0) for high, end in zip((work.y1, work.x1), canvas, strict=True))
    return core.common(Rect(y0, y1, x0, x1)) if y0 < y1 and x0 < x1 else None


@dataclass(frozen=True)
class Window:
    """One of them: where it is in the padded maps, and whether its centre is in the core."""

    rows: slice
    columns: slice
    own: bool


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
    def taper(self) -> np.ndarray:
        """Sine in y and x [L, L]."""
        wave = np.sin(np.pi * (np.arange(self.side) + 0.5) / self.side)
        return np.outer(wave, wave).astype(np.float32)

    @cached_property
    def _weight(self) -> np.ndarray:
        return self.taper**2

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

    def __iter__(self) -> Iterator[Window]:
        """Row by row of the canvas, whatever the core."""
        (above, left), side = self._spans, self.side
        for y in above:
            for x in left:
                rows, columns = slice(y - above[0], y - above[0] + side), slice(x - left[0], x - left[0] + side)
                yield Window(rows, columns, self._is_own(y, x))

    def _is_own(self, y: int, x: int) -> bool:
        core, half = self.core, self.side // 2
        at_y = min(max(y + half, 0), self.canvas[0] - 1)
        at_x = min(max(x + half, 0), self.canvas[1] - 1)
        return core.y0 <= at_y < core.y1 and core.x0 <= at_x < core.x1

    def spectrum(self, padded: np.ndarray, window: Window) -> np.ndarray:
        """Unitary Fourier coefficients of a window of a padded map [L, L // 2 + 1]."""
        return fft.rfft2(padded[window.rows, window.columns] * self.taper, norm="ortho")

    def mean(self, padded: np.ndarray, window: Window) -> float:
        """Mean of a padded map under the taper's square."""
        total = (padded[window.rows, window.columns] * self._weight).sum(dtype=np.float64)
        return float(total / (self.energy * self.side**2))

    def back(self, coefficients: np.ndarray) -> np.ndarray:
        """What a window with these coefficients adds to the sum, taper included [L, L]."""
        return fft.irfft2(coefficients, s=(self.side, self.side), norm="ortho") * self.taper

    def cut(self, total: np.ndarray) -> np.ndarray:
        """The core of a padded sum over windows, divided by what the tapers add up to."""
        (above, left), core = self._spans, self.core
        rows = slice(core.y0 - above[0], core.y1 - above[0])
        columns = slice(core.x0 - left[0], core.x1 - left[0])
        return total[rows, columns] / np.float32((HOPS / 2) ** 2)
