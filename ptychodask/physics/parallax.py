"""Parallax: where rays of a probe pass through a thin specimen, and what their aligned images transfer of its phase.

The probe is ``P = F^-1[ A exp(-i chi) ]``: its component k is where the phase ``2 pi k.r - chi(k)`` is stationary, at
``r = grad chi / (2 pi)`` from the axis. For a defocus alone that is ``-defocus * theta``: with an underfocus the
cross-over lies below the specimen, and what goes to the right comes from the left. So the image of every pixel of the
bright-field disk is laid back by that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .probe import aberration_phase, aperture


def ray_shifts(ky: np.ndarray, kx: np.ndarray, wavelength: float, aberrations: Mapping[str, float]) -> np.ndarray:
    """Where components of the probe pass, (y, x) [K, 2] in angstrom from the axis: ``grad chi / (2 pi)``.

    Parameters
    ----------
    ky, kx : array [K]
        Frequencies in 1/angstrom.
    wavelength : float
        Angstrom.
    aberrations : mapping
        As for :func:`ptychodask.physics.probe.aberration_phase`.
    """
    h = 1e-4 * max(float(np.hypot(ky, kx).max(initial=0.0)), 1e-6)  # chi is a polynomial of low order

    def chi(dy: float, dx: float) -> np.ndarray:
        return aberration_phase(ky + dy, kx + dx, wavelength, aberrations)

    slope = [chi(h, 0.0) - chi(-h, 0.0), chi(0.0, h) - chi(0.0, -h)]
    return np.stack(slope, axis=-1) / (4 * np.pi * h)


def aligned_transfer(
    qy: np.ndarray,
    qx: np.ndarray,
    ky: np.ndarray,
    kx: np.ndarray,
    cutoff: float,
    dk: float,
    wavelength: float,
    aberrations: Mapping[str, float],
) -> np.ndarray:
    """What the aligned sum of bright-field images has of a weak phase, complex [Q]: its transform over that of phi.

    The image of pixel k over the scan has, of phi(q), ``i [Psi*(k) Psi(k - q) - Psi(k) Psi*(k + q)]`` with
    ``Psi = A exp(-i chi)``; laying it back by s(k) multiplies it by ``exp(-2 pi i q.s)``. Of a defocus alone the sum
    is ``2 sin chi(q)`` times the part of the disk that overlaps with its neighbour: below the first zero a positive
    phase is dark in underfocus.

    Parameters
    ----------
    qy, qx : array [Q]
        Frequencies of the image, 1/angstrom.
    ky, kx : array [K]
        Pixels of the disk, 1/angstrom.
    cutoff, dk : float
        Radius of the disk and width of its soft edge, 1/angstrom.
    wavelength, aberrations
        As for :func:`ray_shifts`.
    """

    def wave(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        inside = aperture(y, x, cutoff, dk)
        return inside * np.exp(-1j * aberration_phase(y, x, wavelength, aberrations))

    shifts = ray_shifts(ky, kx, wavelength, aberrations)
    own = wave(ky, kx)
    found = np.zeros(qy.shape, complex)
    for y, x, (sy, sx), psi in zip(ky, kx, shifts, own, strict=True):
        pair = psi.conjugate() * wave(y - qy, x - qx) - psi * wave(y + qy, x + qx).conj()
        found += 1j * pair * np.exp(-2j * np.pi * (qy * sy + qx * sx))
    return found / max(float((abs(own) ** 2).sum()), 1e-300)
