"""Where the disk is in every pattern: the centre of mass of its electrons, and a plane over the scan through them.

A beam that does not come back as it was deflected (descan) moves the disk over the detector, linearly with the scan.
The centre of mass of one pattern of 100 electrons is off by a twentieth of the disk's radius, and the specimen moves it
too; the plane through those of thousands is good to some hundredths of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..counts.events import Events

WINDOW = 4.0
"""Pixels beyond the disk's radius that count: scattered electrons further out add noise only."""
NOTICED = 0.5
"""Pixels from one edge of the scan to the other from which on a plane is followed."""
SURE = 5.0
"""Standard errors that it must have, too."""
BROAD = 8
"""Positions along each axis, at least, from which a slope is told."""


@dataclass(frozen=True)
class Plane:
    """Place (y, x) in pixels of stored patterns: at the first position of the stored scan, and its change per row and
    column [2, 3]; and the standard errors of these."""

    values: np.ndarray
    errors: np.ndarray

    def across(self, scan_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Movement [2, 2] in pixels of (y, x) from the first to the last row and column, and its standard errors."""
        length = np.array(scan_shape) - 1.0
        return self.values[:, 1:] * length, self.errors[:, 1:] * length

    def moves(self, scan_shape: tuple[int, int]) -> bool:
        """Is there more than noise, and enough to be followed?"""
        if min(scan_shape) < BROAD:
            return False
        found, errors = self.across(scan_shape)
        return bool(((np.abs(found) > NOTICED) & (np.abs(found) > SURE * errors)).any())


def moments(counts: Events | np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Electrons, and electrons times pixel (y, x) from zero angle, of patterns [B, 3] within ``inside`` [N, N] bool;
    both corner-centred."""
    n = len(inside)
    k = np.fft.fftfreq(n) * n
    ky, kx = np.broadcast_to(k[:, None], (n, n)).ravel(), np.broadcast_to(k[None, :], (n, n)).ravel()
    factors = np.stack([np.ones(n * n), ky, kx]) * inside.ravel()
    if isinstance(counts, Events):
        patterns = len(counts.start) - 1
        row, pixel, count = counts.rows(0, patterns)
        return np.stack([np.bincount(row, count * factor[pixel], patterns) for factor in factors], axis=1)
    chosen = np.flatnonzero(inside.ravel())
    return counts.reshape(len(counts), -1)[:, chosen].astype(np.float64) @ factors[:, chosen].T


def window(pixels: int, centre: tuple[float, float], radius: float, used: np.ndarray) -> np.ndarray:
    """Pixels [N, N] bool about a disk that are used, corner-centred; ``centre`` and ``used`` are not."""
    y, x = np.indices((pixels, pixels))
    return np.fft.ifftshift(used & (np.hypot(y - centre[0], x - centre[1]) < radius + WINDOW))


def fit_plane(rows: np.ndarray, columns: np.ndarray, found: np.ndarray, pixels: int) -> Plane:
    """The plane through centres of mass, weighted by their electrons.

    Parameters
    ----------
    rows, columns : array [B]
        Of the patterns in the stored scan.
    found : array [B, 3]
        Of :func:`moments`.
    pixels : int
        Side N of the patterns.
    """
    lit = found[:, 0] > 0
    rows, columns, found = rows[lit], columns[lit], found[lit]
    place = found[:, 1:] / found[:, :1] + pixels // 2
    root = np.sqrt(found[:, 0])
    middle = np.array([rows.mean(), columns.mean()])
    design = np.stack([np.ones(len(rows)), rows - middle[0], columns - middle[1]], axis=1) * root[:, None]
    inverse = np.linalg.pinv(design.T @ design)
    values = (inverse @ design.T @ (place * root[:, None])).T
    left = place * root[:, None] - design @ values.T
    variance = (left**2).sum(axis=0) / max(len(rows) - 3, 1)
    errors = np.sqrt(variance[:, None] * np.diag(inverse)[None, :])
    values[:, 0] -= values[:, 1:] @ middle
    return Plane(values, errors)
