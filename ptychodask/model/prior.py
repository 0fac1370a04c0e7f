"""What is expected of an object before it is seen, as numbers; the method is in ``solver.spectral``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def sharper_from(fit: int) -> int:
    """The iteration from which epsilon is smaller, of a fit of so many."""
    return max(1, round(0.6 * fit))


@dataclass(frozen=True)
class Spectral:
    """How the prior is set.

    Parameters
    ----------
    side : int
        L of the windows in pixels.
    pixel : float
        Angstrom.
    cutoff : float
        1/angstrom: where t's lower bound changes, 0.6 of the semi-angle over the wavelength.
    floor : float
        rho.
    sharpen_at : int
        The iteration from which epsilon is smaller.
    residual : float
        Prior variance of what is no lattice, in rad^2 (see ``solver.spectral``); 0 for none.
    residual_at : int
        The update that fits it, the last: after it nothing moves.
    """

    side: int
    pixel: float
    cutoff: float
    floor: float
    sharpen_at: int
    residual: float = 0.0
    residual_at: int = -1

    def informs(self, iteration: int) -> bool:
        """Is t measured at the state after so many updates?"""
        return iteration in (0, self.sharpen_at)

    def fits_residual(self, iteration: int) -> bool:
        """Does the update after so many leave the lattice and fit the residual?"""
        return self.residual > 0 and iteration == self.residual_at

    @property
    def frequencies(self) -> np.ndarray:
        """|k| of a window's coefficients [L, L // 2 + 1], 1/angstrom."""
        return np.hypot(np.fft.fftfreq(self.side, self.pixel)[:, None], np.fft.rfftfreq(self.side, self.pixel)[None])
