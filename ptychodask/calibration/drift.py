"""Drift of the scan from row to row, with the lattice of the specimen as the ruler.

Every bright-field pixel sees the specimen's lattice as sharp peaks among the frequencies of the scan. The image that
these peaks alone make, ``M(x, k)``, is that of a scan without drift; a row that is displaced by d sees ``M(x + d, k)``,
so that ``n - M = d . grad M`` plus noise, and each row has its own least squares of two numbers. A random walk is the
prior, whose step has the greatest evidence (MacKay, Neural Computation 4, 415, 1992). Straight drift is a part of the
affine map and not looked for; without a lattice nothing tells drift from a specimen that is bent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..model.geometry import Geometry
from .bright_field import hann
from .weak_phase import Optics, Spectrum, statistic, transfer

PEAK = 30.0
"""S from which a frequency is a peak."""
APART = 2
"""Frequencies on all sides than which it is larger: its satellites are what drift makes of it."""
FEWEST = 4
"""Peaks from which drift is looked for."""
STEPS = np.geomspace(0.003, 0.3, 13)
"""Of the random walk that are tried, angstrom per row."""
CERTAIN = 10.0
"""Nats of evidence against no drift."""


@dataclass(frozen=True)
class Drift:
    """Displacement of the rows of a scan.

    Parameters
    ----------
    rows : array [Y, 2]
        (y, x) in angstrom in the axes of the nominal raster, without mean and slope.
    sigma : float
        RMS standard error of a number.
    step : float
        Of the random walk, angstrom per row.
    nats : float
        Evidence of it against none.
    """

    rows: np.ndarray
    sigma: float
    step: float
    nats: float

    @property
    def rms(self) -> float:
        """RMS length in angstrom."""
        return math.sqrt(float((self.rows**2).sum(axis=1).mean()))

    def placed(self, geometry: Geometry) -> np.ndarray:
        """[Y, 2] in angstrom in the axes of stored patterns."""
        return np.asarray(self.rows @ geometry.stored_matrix.T)

    @property
    def certain(self) -> bool:
        """Is it more than noise?"""
        return self.nats > CERTAIN


def row_drift(
    row_of: Callable[[int], np.ndarray],
    scan_shape: tuple[int, int],
    spectrum: Spectrum,
    geometry: Geometry,
    optics: Optics,
    step: tuple[float, float],
) -> Drift | None:
    """Find it; None where the specimen shows no lattice.

    Parameters
    ----------
    row_of : callable
        From the number of a row to its electrons less their mean, over the root of the mean, in the bins of the
        spectrum [X, K].
    scan_shape : (int, int)
    spectrum, geometry, optics
        What the scan without drift is.
    step : (float, float)
        Nominal, of the scan (y, x) in angstrom.
    """
    height, width = scan_shape
    s, phi, _ = statistic(spectrum, geometry, optics)
    index = np.stack(
        [
            np.rint(spectrum.q[:, a] * n * d).astype(int)
            for a, (n, d) in enumerate(zip((height, width), step, strict=True))
        ],
        axis=1,
    )
    peaks = _peaks(s, index)
    if len(peaks) < FEWEST:
        return None
    chosen = spectrum.chosen(peaks)
    window = hann(height)[:, None] * hann(width)[None, :]
    # coefficients are those of windowed images, over the root of the sum of the window's squares
    share = math.sqrt(float((window**2).sum())) / float(window.sum())
    model = share * phi[peaks, None] * transfer(chosen, geometry, optics).values * spectrum.gain
    y, x = np.arange(height) * step[0], np.arange(width) * step[1]
    waves_y, waves_x = (np.exp(2j * np.pi * np.outer(axis, chosen.q[:, a])) for a, axis in enumerate((y, x)))
    normal, gradient = np.zeros((height, 2, 2)), np.zeros((height, 2))
    for row in range(height):
        waves = waves_y[row][None] * waves_x  # [X, Q]
        predicted = 2 * (waves @ model).real
        slopes = np.stack([2 * ((waves * (2j * np.pi * chosen.q[:, a])) @ model).real for a in (0, 1)])
        left = row_of(row) - predicted
        normal[row] = np.einsum("axk,bxk->ab", slopes, slopes)
        gradient[row] = np.einsum("axk,xk->a", slopes, left)
    return _walk(normal, gradient)


def _peaks(s: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Numbers of the frequencies that are the strongest among those around them."""
    at = {tuple(place): value for place, value in zip(index.tolist(), s.tolist(), strict=True)}
    at |= {(-y, -x): value for (y, x), value in at.items()}
    around = [(dy, dx) for dy in range(-APART, APART + 1) for dx in range(-APART, APART + 1) if (dy, dx) != (0, 0)]
    return np.array(
        [j for j, (y, x) in enumerate(index.tolist()) if s[j] > PEAK
         and all(at.get((y + dy, x + dx), 0.0) < s[j] for dy, dx in around)], dtype=int,
    )  # fmt: skip


def _walk(normal: np.ndarray, gradient: np.ndarray) -> Drift:
    """The most probable random walk without mean and slope."""
    rows = len(normal)
    t = np.linspace(-1, 1, rows)
    straight = np.linalg.qr(np.stack([np.ones(rows), t], axis=1))[0]
    bent = np.linalg.svd(np.eye(rows) - straight @ straight.T)[0][:, : rows - 2]  # what is neither mean nor slope
    basis = np.kron(bent, np.eye(2))
    h = np.zeros((rows, 2, rows, 2))
    h[np.arange(rows), :, np.arange(rows), :] = normal
    inside = basis.T @ h.reshape(2 * rows, 2 * rows) @ basis
    g = basis.T @ gradient.ravel()
    jumps = np.diff(np.eye(rows), axis=0)
    rough = basis.T @ np.kron(jumps.T @ jumps, np.eye(2)) @ basis
    found = []
    for step in STEPS:
        prior = rough / step**2
        whole = inside + prior
        moved = np.linalg.solve(whole, g)
        evidence = 0.5 * (g @ moved - np.linalg.slogdet(whole)[1] + np.linalg.slogdet(prior)[1])
        found.append((float(evidence), float(step), moved, whole))
    nats, step, moved, whole = max(found, key=lambda its: its[0])
    covariance = basis @ np.linalg.inv(whole) @ basis.T
    sigma = math.sqrt(float(np.diag(covariance).mean()))
    return Drift((basis @ moved).reshape(rows, 2), sigma, step, nats)
