"""What the electrons say about every spatial frequency, measured from themselves.

The fitted electrons are split by lot. Twice a half of them gives a gradient g', and g' - g has the covariance of g (see
``lsqml``); over the root of the illumination W its power spectrum in windows (see ``windows``) is

    t(k) = 4 <|F[(g' - g) / sqrt W]|^2>

the share of the quantum limit 4 W that the electrons carry about k. Only this mean is a sum over the canvas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .._array import Array, held_bytes, to_host
from ..model.prior import Information
from .windows import Group, Lend, Windows, at_home, in_order, summed

RING = 0.03
"""1/angstrom: width of the rings of t."""
SMOOTH = 0.7
"""Rings over which t is smoothed."""
LEAST_LOW, LEAST_HIGH = 0.03, 0.1
"""Bounds of t below and above the cut-off: where the electrons tell next to nothing, 1/t would only amplify."""
LIT = 0.02
"""Of the largest W: what is darker is not looked at for t."""


@dataclass(frozen=True)
class InformationSums:
    """Sums over windows: ``noise`` of ``|F[(g' - g) / sqrt W]|^2`` [L, L // 2 + 1], and ``lit`` of the lit area."""

    noise: np.ndarray
    lit: float

    __sizeof__ = held_bytes

    def __add__(self, other: InformationSums) -> InformationSums:
        return InformationSums(self.noise + other.noise, self.lit + other.lit)


def information_sums(
    windows: Windows, noise: np.ndarray, light: np.ndarray, brightest: float, lend: Lend = at_home
) -> InformationSums:
    """Sums over the windows of a core, from ``g' - g`` and W [h, w] on the work area, averaged over slices; computed
    where ``lend`` brings the maps."""
    seen = light > LIT * brightest
    root = np.sqrt(np.where(seen, light, 1))
    z = lend(windows.padded(np.where(seen, noise / root, 0)))
    lit = lend(windows.padded(seen.astype(np.float32)))

    def of(group: Group) -> tuple[Array, ...]:
        f = windows.spectra(z, group, group.own)
        power = (f.real**2 + f.imag**2).sum(axis=0, dtype=np.float64)
        return power, windows.energy * windows.means(lit, group, group.own).sum()

    owners = windows.owners
    if not owners:
        return InformationSums(np.zeros((windows.side, windows.side // 2 + 1)), 0.0)
    total, area = summed(in_order(of, owners, z))
    return InformationSums(to_host(total), float(area))


def information(rule: Information, sums: InformationSums) -> np.ndarray:
    """t on rings of :data:`RING`, from 0 on."""
    rings = np.rint(rule.frequencies / RING).astype(int)
    t = gaussian_filter1d(4 * ring_means(sums.noise / sums.lit, rings), SMOOTH)
    at = np.arange(len(t)) * RING
    return np.maximum(t, np.where(at < rule.cutoff, LEAST_LOW, LEAST_HIGH))


def times(shape: tuple[int, ...]) -> np.ndarray:
    """How often each coefficient of a real transform [L, L // 2 + 1] stands among all."""
    twice = np.full(shape, 2.0)
    twice[:, [0, -1]] = 1
    return twice


def ring_means(values: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """Means over rings of all frequencies, of which half is given [L, L // 2 + 1]."""
    twice = times(values.shape)
    total = np.bincount(rings.ravel(), (twice * values).ravel())
    return total / np.maximum(np.bincount(rings.ravel(), twice.ravel()), 1)
