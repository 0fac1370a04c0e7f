"""A smooth displacement of the rows of a scan: a sum of cosines over its slow axis.

What is constant or straight over the rows is a shift or a part of the affine map, so each cosine is taken without it:
``u_m(t) = sqrt(2) (cos(m pi t) - 12 b_m (t - 1/2))``, ``b_m = int (t - 1/2) cos(m pi t) dt = ((-1)^m - 1) / (m pi)^2``,
t from 0 at the first row to 1 at the last. The mean of u_m is 0, and its mean square 1 to a hundredth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ORDERS = (2, 3, 4)
"""Half periods over the scan of the cosines that a refinement takes: what is faster has too few electrons."""
NAMES = tuple(f"drift{order}{axis}" for order in ORDERS for axis in "yx")
"""Of their amplitudes."""


def waves(t: np.ndarray) -> np.ndarray:
    """u_m at t [...]: float64 [..., K]."""
    m = np.array(ORDERS)
    return math.sqrt(2) * (np.cos(np.pi * m * t[..., None]) - 12 * _straight(m) * (t[..., None] - 0.5))


def slopes(t: np.ndarray) -> np.ndarray:
    """Derivatives of u_m by t: float64 [..., K]."""
    m = np.array(ORDERS)
    return math.sqrt(2) * (-np.pi * m * np.sin(np.pi * m * t[..., None]) - 12 * _straight(m))


def _straight(m: np.ndarray) -> np.ndarray:
    return ((-1.0) ** m - 1) / (np.pi * m) ** 2


@dataclass(frozen=True)
class RowDrift:
    """Where rows lie off a raster.

    Parameters
    ----------
    amplitudes : float64 array [K, 2]
        Of every cosine in (y, x), in the unit of positions.
    across : float64 array [2]
        ``t = 1/2 + across . (x - c)`` for a position x on the raster, c the middle of all.
    """

    amplitudes: np.ndarray
    across: np.ndarray

    def at(self, away: np.ndarray) -> np.ndarray:
        """Displacements [..., 2] of positions at ``away`` [..., 2] from the middle."""
        moved: np.ndarray = waves(0.5 + away @ self.across) @ self.amplitudes
        return moved


def across_of(positions: np.ndarray, scan_shape: tuple[int, int]) -> np.ndarray:
    """The covector by which rows rise over positions [J, 2], by least squares across the direction in which a row is
    scanned; float64 [2]."""
    height, width = scan_shape
    rows = np.repeat(np.arange(height) / max(height - 1, 1) - 0.5, width)
    places = positions.reshape(height, width, 2)
    in_row = (places - places.mean(axis=1, keepdims=True)).mean(axis=0)
    fast = (np.arange(width) - (width - 1) / 2) @ in_row
    normal = np.array([-fast[1], fast[0]])
    rise = (positions - positions.mean(axis=0)) @ normal
    found: np.ndarray = normal * (rise @ rows / (rise @ rise))
    return found
