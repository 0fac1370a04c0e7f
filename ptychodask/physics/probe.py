"""The probe from an aperture and aberrations, P = F^-1[ A exp(-i chi) ], and its size.

Aberrations follow Krivanek: ``C_nm`` in angstrom, ``phi_nm`` in rad, ``chi`` the phase error of the lens.
Arrays are [y, x], frequencies are in 1/angstrom without 2 pi, and azimuths are ``atan2(ky, kx)``.
Every function works on NumPy or CuPy; ``xp`` names the module where no array says it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import overload

import numpy as np
from numpy.typing import NDArray

from .._array import Array, ifft2, to_host
from .._errors import InputError
from ..model.optics import COEFFICIENTS, Microscope

_FINER = 4
"""Frequencies of a window on the probe are closer by this: tails at its edge are right to 5 %, nearer ones better."""
_MOST_SAMPLES = 1024
"""Along a side of such a transform; it takes a fraction of a second."""


def frequencies(n: int, dx_angstrom: float, *, xp: ModuleType = np) -> tuple[Array, Array]:
    """Corner-centred frequencies of an n x n box.

    Returns
    -------
    ky, kx : float64 [n, 1] and [1, n]
        1/angstrom; index 0 is exactly k = 0.
    """
    k = xp.fft.fftfreq(n, dx_angstrom)
    return k[:, None], k[None, :]


def aperture(ky: Array, kx: Array, cutoff: float, dk: float, *, xp: ModuleType = np) -> Array:
    """Round aperture whose edge is soft over one frequency pixel.

    A = clip((alpha/lambda - |k|)/dk + 1/2, 0, 1): each edge pixel counts with the part of it that is inside,
    so that a change of the angle smaller than a pixel still changes the probe.

    Parameters
    ----------
    ky, kx : array
        Frequencies that broadcast together, 1/angstrom.
    cutoff : float
        alpha / lambda in 1/angstrom.
    dk : float
        Frequency pixel 1 / (N dx) in 1/angstrom.

    Returns
    -------
    float64 array, 0 to 1, of the broadcast shape.
    """
    return xp.clip((cutoff - xp.hypot(ky, kx)) / dk + 0.5, 0.0, 1.0)


def aberration_phase(
    ky: Array, kx: Array, wavelength: float, aberrations: Mapping[str, float], *, xp: ModuleType = np
) -> Array:
    """Phase error chi of the lens in rad.

    chi = (2 pi / lambda) sum_nm C_nm theta^(n+1) cos(m (phi - phi_nm)) / (n + 1), with theta = lambda |k| and
    phi = atan2(ky, kx) (Krivanek, Dellby & Lupini, Ultramicroscopy 78, 1, 1999). The wave is ``exp(-i chi)``.

    Parameters
    ----------
    ky, kx : array
        Frequencies that broadcast together, 1/angstrom.
    wavelength : float
        Angstrom.
    aberrations : mapping
        ``C10, C12, ...`` in angstrom, ``phi12, ...`` in rad; 0 if absent. ``C10`` is minus the defocus.

    Returns
    -------
    float64 array of the broadcast shape.
    """
    theta = wavelength * xp.hypot(ky, kx)
    azimuth = xp.arctan2(ky, kx)
    chi = xp.zeros_like(theta)
    for name in COEFFICIENTS:
        coefficient = float(aberrations.get(name, 0.0))
        if coefficient == 0.0:
            continue
        n, m = int(name[1]), int(name[2])
        term = coefficient / (n + 1) * theta ** (n + 1)
        if m:
            term = term * xp.cos(m * (azimuth - float(aberrations.get(f"phi{n}{m}", 0.0))))
        chi += term
    return 2 * math.pi / wavelength * chi


def make_probe(
    microscope: Microscope, shape_n: int, dx_angstrom: float, electrons: float = 1.0, *, xp: ModuleType = np
) -> Array:
    """The probe at the entrance surface, P = F^-1[ A exp(-i chi) ], centred at index N // 2.

    Parameters
    ----------
    microscope : Microscope
    shape_n : int
        Side N of the box in pixels.
    dx_angstrom : float
        Pixel of the box in angstrom, lambda / (N dtheta).
    electrons : float
        sum |P|^2: the mean counts per pattern where the transforms are unitary.

    Returns
    -------
    complex128 [N, N]

    Raises
    ------
    InputError
        If the box or the power is no positive number.
    """
    if shape_n < 1 or not (math.isfinite(dx_angstrom) and dx_angstrom > 0):
        raise InputError(f"probe box of {shape_n} pixels of {dx_angstrom} angstrom: give a side and a pixel above 0")
    if not (math.isfinite(electrons) and electrons > 0):
        raise InputError(f"electrons = {electrons}: give the power of the probe in electrons, above 0")
    ky, kx = frequencies(shape_n, dx_angstrom, xp=xp)
    mask = aperture(ky, kx, microscope.semi_angle / microscope.wavelength, 1 / (shape_n * dx_angstrom), xp=xp)
    chi = aberration_phase(ky, kx, microscope.wavelength, microscope.aberrations, xp=xp)
    probe = xp.fft.fftshift(ifft2(mask * xp.exp(-1j * chi)))
    # the transform is unitary, so the mask alone gives the power; the k = 0 pixel always holds some of it
    return probe * math.sqrt(electrons / float((mask**2).sum()))


@overload
def probe_diameter(intensity: Array, dx: float, fraction: float, whole: float | None = None) -> float: ...
@overload
def probe_diameter(
    intensity: Array, dx: float, fraction: Sequence[float], whole: float | None = None
) -> tuple[float, ...]: ...
def probe_diameter(
    intensity: Array, dx: float, fraction: float | Sequence[float], whole: float | None = None
) -> float | tuple[float, ...]:
    """Diameter in angstrom of the disc about the centre of mass that holds ``fraction`` of ``intensity``.

    The disc may be larger than the box: outside the intensity is 0, so padding it with zeros changes nothing.
    A pixel counts as half inside the disc that ends at its centre, which makes the result good to a fraction
    of ``dx``.

    Parameters
    ----------
    intensity : array [..., n, n]
        Summed over its leading axes (modes).
    dx : float
        Pixel in angstrom.
    fraction : float or sequence of float
        0 to 1.
    whole : float, optional
        Power of all of the probe, where ``intensity`` is a window on it. A disc that reaches beyond the circle in the
        window is then infinite: what lies there is not known.

    Returns
    -------
    float, or a tuple of them for a sequence
    """
    image = to_host(intensity).astype(np.float64)
    image = image.reshape(-1, *image.shape[-2:]).sum(axis=0)
    total = image.sum()
    if not (math.isfinite(total) and total > 0):
        raise InputError(f"the probe's intensity sums to {total}: it must be finite and above 0")
    image = image / total
    y = np.arange(image.shape[0]) - image.sum(axis=1) @ np.arange(image.shape[0])
    x = np.arange(image.shape[1]) - image.sum(axis=0) @ np.arange(image.shape[1])
    # rings of 1/16 px: pixels of the same radius fall together although their radii differ by rounding
    ring = np.rint(16 * np.hypot(y[:, None], x[None, :])).astype(np.intp).ravel()
    power = np.bincount(ring, weights=image.ravel())
    used = np.flatnonzero(np.bincount(ring))
    held = (np.cumsum(power) - power / 2)[used]
    radius = used / 16
    if whole is not None:
        known = radius <= min(image.shape) / 2 - max(abs(y[0] + y[-1]), abs(x[0] + x[-1])) / 2
        held, radius = held[known] * total / whole, radius[known]
    beyond = None if whole is None else math.inf
    diameters = 2 * dx * np.interp(np.atleast_1d(fraction), held, radius, right=beyond)
    return tuple(map(float, diameters)) if isinstance(fraction, Sequence) else float(diameters[0])


def power_inside(microscope: Microscope, side_angstrom: float, depth_angstrom: float = 0.0) -> float:
    """Part of the probe's power inside a square of ``side_angstrom``, at a depth in free space."""
    return float(min(1.0, probe_window(microscope, side_angstrom, depth_angstrom)[0].sum()))


def frame_power(microscope: Microscope, n: int, dx: float, depth_angstrom: float = 0.0) -> float:
    """Part of the probe's power outside the inner 80 % (by side) of an n x n box, at a depth in free space."""
    return 1.0 - power_inside(microscope, 0.8 * n * dx, depth_angstrom)


def probe_window(
    microscope: Microscope, side_angstrom: float, depth_angstrom: float = 0.0
) -> tuple[NDArray[np.float64], float]:
    """Intensity of the probe inside a square window, as it is on an endless box.

    A transform on the box itself folds what leaves the box back into it, and the soft edge of its aperture cuts the
    far Airy tails (half of what is beyond 40 angstrom, at 10 mrad). Here the frequencies lie ``_FINER`` times closer
    than those of the window, and only the window is transformed.

    Parameters
    ----------
    microscope : Microscope
    side_angstrom : float
        Side of the window, angstrom.
    depth_angstrom : float
        Propagation by z is C10 + z.

    Returns
    -------
    intensity : float64 array [n, n]
        Power per pixel as a part of that of the whole probe, whose axis is the window's centre.
    dx : float
        Pixel in angstrom.
    """
    key = microscope.energy_ev, microscope.semi_angle_mrad, tuple(sorted(microscope.aberrations.items()))
    return _window(*key, side_angstrom, depth_angstrom)


@lru_cache(maxsize=32)
def _window(
    energy_ev: float, semi_angle_mrad: float, aberrations: tuple[tuple[str, float], ...], side_angstrom: float,
    depth_angstrom: float,
) -> tuple[NDArray[np.float64], float]:  # fmt: skip
    """:func:`probe_window`; a job asks several times for the same one, 50 ms each."""
    microscope = Microscope(energy_ev, semi_angle_mrad, dict(aberrations))
    cutoff = microscope.semi_angle / microscope.wavelength
    # |P|^2 holds frequencies up to twice the aperture's
    n = max(8, min(_MOST_SAMPLES // 2, math.ceil(4.2 * cutoff * side_angstrom)))
    reach = max(4, min(_MOST_SAMPLES // 2, math.ceil(_FINER * cutoff * side_angstrom) + 1))
    dk = cutoff / (reach - 1)
    k = dk * np.arange(-reach, reach + 1)
    x = (np.arange(n) + 0.5) * side_angstrom / n - side_angstrom / 2
    deeper = {**microscope.aberrations, "C10": microscope.aberrations.get("C10", 0.0) + depth_angstrom}
    chi = aberration_phase(k[:, None], k[None, :], microscope.wavelength, deeper)
    lens = (aperture(k[:, None], k[None, :], cutoff, dk) * np.exp(-1j * chi)).astype(np.complex64)
    waves = np.exp(2j * math.pi * np.outer(x, k)).astype(np.complex64)
    wave = (waves @ lens @ waves.T) * (dk**2 * side_angstrom / n)
    # of the round aperture itself: the soft edge would hide what it cuts
    intensity = abs(wave).astype(np.float64) ** 2 / (math.pi * cutoff**2)
    intensity.flags.writeable = False
    return intensity, side_angstrom / n
