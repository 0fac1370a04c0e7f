"""What is expected of an object before it is seen, as numbers; the method is in ``solver.spectral``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """

    side: int
    pixel: float
    cutoff: float
    floor: float
    sharpen_at: int

    def informs(self, iteration: int) -> bool:
        """Is t measured at the state after so many updates?"""
        return iteration in (0, self.sharpen_at)

    @property
    def frequencies(self) -> np.ndarray:
        """|k| of a window's coefficients [L, L // 2 + 1], 1/angstrom."""
        return np.hypot(np.fft.fftfreq(self.side, self.pixel)[:, None], np.fft.rfftfreq(self.side, self.pixel)[None])
