"""The weak phase itself, by the transfer that was found: a picture, and what tells a geometry from its twin.

The likelihood cannot tell a geometry from the one that is turned by 180 degrees with all aberrations negative, which
sees ``-phi(-r)``. But atoms are peaks of positive phase on a flat ground: the map of the right one is skewed to
positive values.
"""

from __future__ import annotations

import math

import numpy as np

from ..model.geometry import Geometry
from .weak_phase import Optics, Spectrum, statistic

VISIBLE = 5.0
"""S below which a frequency is left out of the map."""


def phase_map(
    spectrum: Spectrum,
    geometry: Geometry,
    optics: Optics,
    scan_shape: tuple[int, int],
    step: tuple[float, float],
    visible: float = VISIBLE,
) -> np.ndarray:
    """Weak phase [Y, X] on the nominal raster, in rad up to a factor, with a mean of 0.

    Frequencies are weighted by what of them is signal (Wiener), and left out where S is below ``visible``.
    """
    s, phi, _ = statistic(spectrum, geometry, optics)
    weight = np.where(s > visible, (s - 1) / np.maximum(s, 1), 0.0)
    return image_of(spectrum, phi * weight, scan_shape, step)


def image_of(
    spectrum: Spectrum, coefficients: np.ndarray, scan_shape: tuple[int, int], step: tuple[float, float]
) -> np.ndarray:
    """Image [Y, X] on the nominal raster with these Fourier coefficients [Q] at the frequencies of a spectrum."""
    image = np.zeros(scan_shape, complex)
    y, x = (
        np.rint(spectrum.q[:, a] * n * d).astype(int) for a, (n, d) in enumerate(zip(scan_shape, step, strict=True))
    )
    image[y, x] = coefficients
    image[-y, -x] = coefficients.conj()
    return np.fft.ifft2(image).real * math.sqrt(math.prod(scan_shape))


def skewness(image: np.ndarray) -> float:
    """Third standardised moment; 0 of a constant image."""
    away = image - image.mean()
    spread = float((away**2).mean())
    return float((away**3).mean()) / spread**1.5 if spread > 0 else 0.0
