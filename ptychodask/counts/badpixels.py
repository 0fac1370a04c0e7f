"""Pixels of a detector that are hot or dead, by what their neighbours have seen of a whole scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_AROUND = 2
"""Pixels to every side that are neighbours."""
_OUTLIERS = 3
"""The pixel is held against the third brightest and the third darkest of them: two bad neighbours say nothing."""
_HOT, _DEAD, _SHARE = 6.0, 3.0, 0.5
"""Standard deviations of a Poisson number above and below it, and the part of it that good pixels may differ.

The third darkest of 24 is itself 1.6 deviations below the mean: a good pixel is called dead once in 1e19 times.
"""


def bad_pixels(electrons: NDArray[np.floating], used: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Hot and dead pixels, bool [N, N] each.

    An edge of the bright-field disk has neighbours on both of its sides, so every pixel of it lies between the
    brightest and the darkest of them: order statistics leave it alone, where a mean would not.

    Parameters
    ----------
    electrons : array [N, N]
        Sum over the scan. A dead pixel can only be told where its neighbours have about 50.
    used : bool array [N, N]
        Pixels that are known to be good; others are neither judged nor neighbours.
    """
    n = electrons.shape[0]
    padded = np.pad(np.where(used, electrons, np.nan), _AROUND, constant_values=np.nan)
    side = range(2 * _AROUND + 1)
    shifted = [padded[y : y + n, x : x + electrons.shape[1]] for y in side for x in side if (y, x) != (_AROUND,) * 2]
    around = np.sort(np.stack(shifted), axis=0)  # NaN last
    known = np.isfinite(around).sum(axis=0)
    place = np.maximum(known - _OUTLIERS, 0)[None]
    high = np.nan_to_num(np.take_along_axis(around, place, axis=0)[0])
    low = np.nan_to_num(around[_OUTLIERS - 1])
    judged = used & (known >= 2 * _OUTLIERS)
    hot = electrons > (1 + _SHARE) * high + _HOT * np.sqrt(high) + _HOT
    dead = electrons < (1 - _SHARE) * low - _DEAD * np.sqrt(low)
    return judged & hot, judged & dead
