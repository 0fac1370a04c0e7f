"""What is measured of the electrons' information, and what is expected of an object before it is seen, as numbers.

The methods are in ``solver.information`` and ``solver.spectral``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def sharper_from(fit: int) -> int:
    """The iteration from which epsilon is smaller, of a fit of so many."""
    return max(1, round(0.6 * fit))


def window_side(pixels: int, wanted: float, field: float, canvas: tuple[int, int]) -> int:
    """Side in pixels of the windows in which spectra are measured.

    ``wanted`` boxes of ``pixels``, but no larger than the ``field`` in pixels that is scanned: a larger window sees one
    place, and no average tells a lattice from what is not.
    """
    side = 4 * max(2, min(round(wanted * pixels / 4), int(max(pixels / 2, field) / 4)))
    return min(side, 4 * (min(canvas) // 4))


def radial_frequencies(side: int, pixel: float) -> np.ndarray:
    """|k| of the coefficients of a window of ``side`` pixels [L, L // 2 + 1], 1/angstrom."""
    return np.hypot(np.fft.fftfreq(side, pixel)[:, None], np.fft.rfftfreq(side, pixel)[None])


@dataclass(frozen=True)
class Information:
    """How and when the share of the quantum limit that the electrons carry, t, is measured.

    Parameters
    ----------
    side : int
        L of the windows in pixels.
    pixel : float
        Angstrom.
    cutoff : float
        1/angstrom: where t's lower bound changes, 0.6 of the semi-angle over the wavelength.
    at : tuple of int
        After so many updates; such an iteration takes a second pass over the patterns.
    """

    side: int
    pixel: float
    cutoff: float
    at: tuple[int, ...] = ()

    @property
    def frequencies(self) -> np.ndarray:
        """|k| of a window's coefficients."""
        return radial_frequencies(self.side, self.pixel)


@dataclass(frozen=True)
class Spectral:
    """How the prior is set.

    Parameters
    ----------
    side : int
        L of the windows in pixels.
    pixel : float
        Angstrom.
    floor : float
        rho.
    sharpen_at : int
        The iteration from which epsilon is smaller.
    residual : float
        Prior variance of what is no lattice, in rad^2 (see ``solver.spectral``); 0 for none.
    residual_at : int
        The update that fits it, the last: after it nothing moves.
    eases : bool
        Are steps made shorter where the loss rises? Not where every update is of other patterns, or positions move.
    """

    side: int
    pixel: float
    floor: float
    sharpen_at: int
    residual: float = 0.0
    residual_at: int = -1
    eases: bool = False

    def fits_residual(self, iteration: int) -> bool:
        """Does the update after so many leave the lattice and fit the residual?"""
        return self.residual > 0 and iteration == self.residual_at

    @property
    def frequencies(self) -> np.ndarray:
        """|k| of a window's coefficients."""
        return radial_frequencies(self.side, self.pixel)
