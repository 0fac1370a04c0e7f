"""Peaks that two independent images have in common, with the number of false ones that noise alone would give.

At one frequency two independent images of noise have transforms ``F1, F2``, complex Gaussians of power s^2. Given F2,
the real part of ``F1 conj(F2)`` is Gaussian of variance ``s^2 |F2|^2 / 2``, and |F2|^2 is exponential: so it is
Laplace, and ``P(Re F1 conj(F2) > t s^2) = exp(-2 t) / 2``. With s^2 estimated from m independent frequencies, of which
the mean is Gamma distributed, the expectation of that is ``(1 + 2 t / m)^-m / 2``.

The noise is read from the *difference* of the images, which no specimen is in: ``|F1 - F2|^2 / 2``. A filter that
lets only some frequencies through passes noise there alone: the mean of the ring is weighted with the squared power
of the sum, up to some powers of noise, and so is that of the noise at places where something passes. Of noise alone,
sum and difference are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .lattice import on_lattice

Floats = NDArray[np.floating]

FALSE = 0.01
"""Accepted number of false peaks in an image."""
_LOBE, _SAFE = 1e-3, 3.0
"""Power of the first side lobe of a Hann window, over that of its peak, and how far above all lobes a peak must be."""
_MAIN = 2.0
"""Pixels: half of its main lobe."""
_MOST = 2000
_AROUND = 2
"""Rings on either side whose noise counts as that of a ring, unless its own is more."""
_CAP, _ROUNDS = 6.0, 10
"""Powers of noise up to which the power at a frequency counts as a weight, and how often the two are found anew."""
_TINY = 1e-300


@dataclass(frozen=True)
class Peaks:
    """Peaks of both images, strongest first, one of each Friedel pair.

    Parameters
    ----------
    y, x : array (peaks,)
        1/angstrom.
    false : array (peaks,)
        Expected number of false peaks as significant, in the whole image.
    on_lattice : bool array (peaks,)
    accepted : float
        False peaks in all of the image that this list may hold.
    mirrored : int
        Peaks that would be accepted if one image had the other sign: as many are false, as the data say.
    """

    y: Floats
    x: Floats
    false: Floats
    on_lattice: NDArray[np.bool_]
    accepted: float
    mirrored: int

    @property
    def limit(self) -> float:
        """Angstrom: 1/|g| of the outermost peak, on the lattice where there is one; nan without peaks."""
        told = self.on_lattice if self.on_lattice.any() else np.ones(self.y.shape, bool)
        return float(1 / np.hypot(self.y, self.x)[told].max()) if told.any() else float("nan")


def common_peaks(
    first: NDArray[np.complexfloating],
    second: NDArray[np.complexfloating],
    index: NDArray[np.integer],
    rings: int,
    independent: float,
    spacing: tuple[float, float],
) -> Peaks:
    """Local maxima of the cross power that noise alone would reach in less than :data:`FALSE` places of an image.

    Parameters
    ----------
    first, second : complex array (ny, nx), corner-centred
        Transforms under a Hann window.
    index : int array (ny, nx)
        Ring of every pixel; from ``rings`` on it is beyond Nyquist.
    independent : float
        Share of pixels that are independent.
    spacing : (float, float)
        Angstrom.
    """
    cross = np.fft.fftshift((first * second.conj()).real)
    index = np.fft.fftshift(index)
    noise, samples = _noise(first, second, index, rings, independent)
    inside = _upper_half(index, rings)
    trials = max(float(inside.sum()) * independent, 1.0)
    strongest = ndimage.maximum_filter(cross, size=3)
    t = cross / np.maximum(noise, _TINY)
    false = trials * 0.5 * (1 + 2 * np.maximum(t, 0) / samples) ** -samples
    found: NDArray[np.integer] = np.argwhere(inside & (cross == strongest) & (false < FALSE))
    opposite = trials * 0.5 * (1 + 2 * np.maximum(-t, 0) / samples) ** -samples
    mirrored = inside & (cross == ndimage.minimum_filter(cross, size=3)) & (opposite < FALSE)
    found = _without_lobes(found, cross)
    centre = np.array([n // 2 for n in cross.shape])
    at = _centroids(cross, found) - centre
    lattice = on_lattice(at, cross[tuple(found.T)])[0] if len(found) else np.zeros(0, bool)
    step = [1 / (n * d) for n, d in zip(cross.shape, spacing, strict=True)]
    return Peaks(at[:, 0] * step[0], at[:, 1] * step[1], false[tuple(found.T)], lattice, FALSE, int(mirrored.sum()))


def _noise(
    first: NDArray[np.complexfloating], second: NDArray[np.complexfloating], index: NDArray[np.integer], rings: int,
    independent: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Power of the noise of one image at every pixel (ny, nx), and of how many independent ones it is the mean."""
    power = np.fft.fftshift(np.abs(first - second) ** 2 / 2)
    summed = np.fft.fftshift(np.abs(first + second) ** 2 / 2)
    inside = index < rings
    ring = np.minimum(index, rings - 1)

    def ring_sum(values: Floats) -> Floats:
        return np.bincount(index[inside], weights=values[inside], minlength=rings).astype(float)

    mean = ring_sum(power) / np.maximum(ring_sum(np.ones(power.shape)), 1)
    for _ in range(_ROUNDS):
        # a peak of the specimen shows where noise passes, and not by its height how much
        weight = np.minimum(summed, _CAP * mean[ring]) ** 2
        weighted, total, squares = (_pooled(ring_sum(v)) for v in (power * weight, weight, weight**2))
        mean = np.maximum(mean, weighted / np.maximum(total, _TINY))
    # Friedel pairs repeat each other; and as much again for places through which unlike shares of the noise pass
    samples = np.maximum(independent / 4 * total**2 / np.maximum(squares, _TINY), 1.0)
    # noise has directions too, such as that of the fast scan: where there is more around, that counts
    around = ndimage.uniform_filter(power, size=7, mode="wrap")
    return np.maximum(mean[ring], around), samples[ring]


def _pooled(rings: Floats) -> Floats:
    """Sums over each ring and those around it, of which one alone may hold few peaks."""
    return np.convolve(rings, np.ones(2 * _AROUND + 1), mode="same")


def _upper_half(index: NDArray[np.integer], rings: int) -> NDArray[np.bool_]:
    """One pixel of each Friedel pair (ny, nx), within the rings, without the first."""
    centre = [n // 2 for n in index.shape]
    y, x = (np.arange(n) - c for n, c in zip(index.shape, centre, strict=True))
    upper = (y[:, None] > 0) | ((y[:, None] == 0) & (x[None, :] > 0))
    return upper & (index > 0) & (index < rings)


def _without_lobes(found: NDArray[np.integer], cross: Floats) -> NDArray[np.integer]:
    """Peaks (n, 2), strongest first, that are more than what the window spreads of stronger ones."""
    order = np.argsort(-cross[tuple(found.T)], kind="stable")[:_MOST]
    kept: list[NDArray[np.integer]] = []
    for place in found[order]:
        if kept:
            others = np.array(kept)
            # what lies across the centre is spread too
            mates = np.concatenate([others, 2 * np.array([n // 2 for n in cross.shape]) - others])
            spread = np.prod(_lobe(np.abs(mates - place)), axis=1)
            if cross[tuple(place)] < _SAFE * (spread * np.tile(cross[tuple(others.T)], 2)).sum():
                continue
        kept.append(place)
    return np.array(kept, dtype=int).reshape(-1, 2)


def _lobe(pixels: Floats) -> Floats:
    """At most so much of a peak's power has a Hann window at a distance along one axis: it falls by 18 dB an octave."""
    return np.where(pixels < _MAIN, 1.0, _LOBE * (2.5 / np.maximum(pixels, 2.5)) ** 6)


def _centroids(cross: Floats, found: NDArray[np.integer]) -> Floats:
    """Where in their pixels the peaks lie (n, 2): centroid of the amplitude over the neighbours along each axis."""
    amplitude = np.sqrt(np.maximum(np.pad(cross, 1, mode="wrap"), 0))
    y, x = (found + 1).T
    middle = amplitude[y, x]
    sides = [(amplitude[y - 1, x], amplitude[y + 1, x]), (amplitude[y, x - 1], amplitude[y, x + 1])]
    off = np.stack([(high - low) / np.maximum(low + middle + high, _TINY) for low, high in sides], axis=-1)
    return found + off.reshape(-1, 2)
