"""What electrons carry of a weak phase, frequency by frequency, before anything is recorded.

For a known probe of wave A(k) exp(-i chi(k)) and a weak phase phi(r) of a specimen of thickness t, the bright field at
k changes by the Fourier coefficient phi(q) times (Rodenburg & Bates, Phil. Trans. R. Soc. A 339, 521, 1992; averaged
over the depth)

    T(q, k) = A(k-q) s(e_-) exp(i (chi(k) - chi(k-q))) - A(k+q) s(e_+) exp(-i (chi(k) - chi(k+q)))
    e_-+ = -pi lambda (q^2 -+ 2 k.q),   s(e) = sin(e t/2) / (e t/2)

with chi of the middle of the specimen. Its Fisher information, as a part of the most that a measurement can have (4
times the dose: the quantum limit), is the mean over the bright-field disk

    t(q) = < |T(q, k)|^2 > / 4.

Left out: the dark field, strong phases, and that a probe leaves the box of its patterns.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..model.optics import Microscope
from .probe import aberration_phase

RADIUS = 24
"""Samples from the axis to the edge of the disk: the mean is right to .01."""
DIRECTIONS = 12
"""Of q over half a turn, where an aberration is not round."""


def weak_phase_information(
    microscope: Microscope, frequencies: NDArray[np.floating], thickness_angstrom: float = 0.0
) -> NDArray[np.float64]:
    """Fisher information t of every spatial frequency relative to the quantum limit, averaged over directions.

    Parameters
    ----------
    microscope : Microscope
        The defocus is that of the entrance surface.
    frequencies : array [n]
        |q| in 1/angstrom.
    thickness_angstrom : float
        Of the specimen.

    Returns
    -------
    float64 [n]
        0 to 1; 1 is the quantum limit.
    """
    cutoff, wavelength = microscope.semi_angle / microscope.wavelength, microscope.wavelength
    aberrations = dict(microscope.aberrations)
    aberrations["C10"] = aberrations.get("C10", 0.0) + thickness_angstrom / 2
    axis = (np.arange(-RADIUS, RADIUS) + 0.5) * (cutoff / RADIUS)
    ky, kx = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    inside = np.hypot(ky, kx) <= cutoff
    ky, kx = ky[inside], kx[inside]
    chi = aberration_phase(ky, kx, wavelength, aberrations)
    round_lens = all(name == "C10" or name[2:3] == "0" for name, value in aberrations.items() if value)
    angles = [0.0] if round_lens else [math.pi * i / DIRECTIONS for i in range(DIRECTIONS)]

    def beam(qy: float, qx: float, sign: int) -> NDArray[np.complex128]:
        """A(k + sign q) s exp(-i sign (chi(k) - chi(k + sign q)))."""
        y, x = ky + sign * qy, kx + sign * qx
        depth = -wavelength * (qy * qy + qx * qx + 2 * sign * (ky * qy + kx * qx)) * thickness_angstrom / 2
        phase = -sign * (chi - aberration_phase(y, x, wavelength, aberrations))
        return np.asarray((np.hypot(y, x) <= cutoff) * np.sinc(depth) * np.exp(1j * phase))

    found = np.zeros(len(frequencies))
    for angle in angles:
        for i, q in enumerate(np.asarray(frequencies, dtype=float)):
            qy, qx = q * math.sin(angle), q * math.cos(angle)
            found[i] += np.mean(np.abs(beam(qy, qx, -1) - beam(qy, qx, 1)) ** 2) / 4
    return found / len(angles)
