"""Sums over the pixels of every pattern, and over patterns, in one look at their events and in a fixed order.

What an image of a detector is made of: electrons of every pattern times weights, the sum of all patterns, and electrons
laid down where they passed through the specimen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numba import njit
from .events import Events


@dataclass(frozen=True)
class Rays:
    """Where on a canvas the electrons of a detector pixel go, from the place of their pattern.

    Parameters
    ----------
    pixel : int64 array [K]
        Flat pixels that take part.
    first : int64 array [K, 2]
        Canvas pixels (y, x) from the place of a pattern to the upper left one of four.
    share : float64 array [K, 4]
        Of an electron in each of them: upper left, upper right, lower left, lower right.
    """

    pixel: np.ndarray
    first: np.ndarray
    share: np.ndarray

    @classmethod
    def towards(cls, pixel: np.ndarray, shift: np.ndarray) -> Rays:
        """Rays of flat pixels [K] that are shifted by (y, x) [K, 2] canvas pixels, shared out bilinearly."""
        first = np.floor(shift).astype(np.int64)
        y, x = (shift - first).T
        share = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], axis=1)
        return cls(pixel.astype(np.int64), first, share)

    @property
    def reach(self) -> tuple[int, int, int, int]:
        """Canvas pixels (up, down, left, right) beyond the place of a pattern that its electrons reach."""
        if not len(self.first):
            return 0, 0, 0, 0
        (top, left), (bottom, right) = self.first.min(axis=0), self.first.max(axis=0) + 1
        return max(0, -int(top)), max(0, int(bottom)), max(0, -int(left)), max(0, int(right))


def weighted_sums(events: Events, used: np.ndarray, weights: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Electrons of every pattern times weights, float64 [B, M].

    Parameters
    ----------
    events : Events
        Of B patterns.
    used : bool array [N^2]
        What stands in other pixels is never looked at.
    weights : float64 array [N^2, M]
    pattern : float64 array [N^2]
        Gets the sum over the patterns added.
    """
    sums = np.zeros((len(events.start) - 1, weights.shape[1]))
    _sum(events.start, events.pixel, events.count, used, weights, pattern, sums)
    return sums


def lay_down(events: Events, used: np.ndarray, rays: Rays, places: np.ndarray, canvas: np.ndarray) -> None:
    """Add the electrons of patterns at ``places`` (y, x) [B, 2] of a canvas [Oy, Ox] where they passed.

    Pixels that are not used lay nothing down.
    """
    number = np.full(used.size, -1, np.int64)
    number[rays.pixel] = np.arange(len(rays.pixel))
    number[~used] = -1
    up, down, left, right = rays.reach
    low, high = places.min(axis=0), places.max(axis=0)
    assert low[0] >= up and low[1] >= left and high[0] + down < len(canvas) and high[1] + right < canvas.shape[1]
    _lay(events.start, events.pixel, events.count, number, rays.first, rays.share, places, canvas)


@njit(nogil=True)
def _sum(
    start: np.ndarray,
    pixel: np.ndarray,
    count: np.ndarray,
    used: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    sums: np.ndarray,
) -> None:
    for b in range(len(sums)):
        for e in range(start[b], start[b + 1]):
            p = np.int64(pixel[e])
            if used[p]:
                n = np.float64(count[e])
                pattern[p] += n
                for m in range(weights.shape[1]):
                    sums[b, m] += weights[p, m] * n


@njit(nogil=True)
def _lay(
    start: np.ndarray,
    pixel: np.ndarray,
    count: np.ndarray,
    number: np.ndarray,
    first: np.ndarray,
    share: np.ndarray,
    places: np.ndarray,
    canvas: np.ndarray,
) -> None:
    for b in range(len(places)):
        for e in range(start[b], start[b + 1]):
            k = number[np.int64(pixel[e])]
            if k >= 0:
                n = np.float64(count[e])
                y, x = places[b, 0] + first[k, 0], places[b, 1] + first[k, 1]
                canvas[y, x] += share[k, 0] * n
                canvas[y, x + 1] += share[k, 1] * n
                canvas[y + 1, x] += share[k, 2] * n
                canvas[y + 1, x + 1] += share[k, 3] * n
