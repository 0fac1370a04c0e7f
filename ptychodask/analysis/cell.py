"""The lattice of an image, with errors.

Found from the peaks of the power spectrum (``lattice``), then refined: a peak's frequency is the maximum of

    |F(k)|^2,   F(k) = sum_r w(r) I(r) exp(-2 pi i k r),   w a Hann window,

by Newton steps, and where noise of power P moves it, its standard error along an axis is

    sigma_k = sqrt(P sum (w y)^2 / 2) / (2 pi |F| <y^2>_w),   y from the middle, <> the mean under w

(the maximum of |F| lies where Im(F' conj F) vanishes; the bound of Rife & Boorstyn, IEEE Trans. Inf. Theory 20, 591
(1974), for a window). All peaks together give the reciprocal basis by weighted least squares; its covariance is widened
by the peaks' misfit where they lie further from the nodes than noise explains, as in a bent crystal.

P is the low quantile of the ring, unless the image's noise is known. After the spectral prior it must be: the prior
passes the peaks, and their noise, but not what lies between them, so the quantile is some seven times too small, and
beyond what the optics pass, noise alone makes peaks. Noise of power P(k) then moves a peak by

    P sum (w y)^2  ->  mean over k' of P(k') |W_y(k' - k)|^2,     W_y the transform of w y,

and only peaks that stand above it are fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal.windows import hann

from .._errors import InputError
from .frc import remove_plane, ring_index
from .lattice import fitted_lattice, reduced
from .noise import Conditions
from .spectrum import pixel_size

Floats = NDArray[np.floating]

_FALSE_PEAKS = 0.01
"""Accepted number of noise peaks per image."""
_QUANTILE = 0.3
"""Of a ring, as its noise: Bragg peaks fill the upper ones. Exponential: mean = quantile / -ln(1 - p)."""
_CLEAR = 3.0
"""Rings of the spectrum that are left out in the middle: what the plane left, and the shape of the field."""
_STRONGEST = (100, 24)
"""Peaks that are used: in an image that was filtered, much else stands out; beside the edge of a crystal the peaks have
lobes, so the strongest of them are tried alone."""
_OFTEN, _OF, _ALIKE = 3, 16, 0.5
"""A difference of so many of the strongest peaks, alike within half a Fourier pixel, is one of the lattice."""
_FEWEST = 6
"""Peaks that are fitted where fewer stand above the noise: the clearest."""
_LEAST = 16
"""Pixels of a side."""


@dataclass(frozen=True)
class Lattice:
    """A two-dimensional lattice.

    Parameters
    ----------
    basis : array (2, 2)
        Vectors a and b (y, x) in angstrom, one a row: the shortest, a first, at 90 degrees or more.
    covariance : array (4, 4)
        Of a_y, a_x, b_y, b_x, square angstrom.
    frequencies : array (P, 2)
        Of the peaks that it was fitted to (y, x), 1/angstrom, one of each Friedel pair.
    nodes : int array (P, 2)
        Their indices h, k.
    misfit : float
        Root of the reduced chi-square of the peaks: 1 where noise alone moves them.
    """

    basis: Floats
    covariance: Floats
    frequencies: Floats
    nodes: NDArray[np.integer]
    misfit: float

    @property
    def reciprocal(self) -> Floats:
        """Vectors a* and b* (2, 2), 1/angstrom: ``basis @ reciprocal.T`` is 1."""
        return np.linalg.inv(self.basis).T

    @property
    def constants(self) -> dict[str, tuple[float, float]]:
        """``a``, ``b`` in angstrom, ``gamma`` (between them) and ``direction`` (of a, from x towards y) in degrees.

        Each with its standard error.
        """
        (ay, ax), (by, bx) = self.basis
        a, b = np.hypot(ay, ax), np.hypot(by, bx)
        gamma = math.degrees(math.acos(float(np.clip(self.basis[0] @ self.basis[1] / (a * b), -1, 1))))
        turn_a, turn_b = np.array([ax, -ay]) / a**2, np.array([bx, -by]) / b**2
        sign = -1.0 if ay * bx - ax * by > 0 else 1.0
        slopes = {
            "a": (a, [ay / a, ax / a, 0, 0], 1.0),
            "b": (b, [0, 0, by / b, bx / b], 1.0),
            "gamma": (gamma, [*(-sign * turn_a), *(sign * turn_b)], 180 / math.pi),
            "direction": (math.degrees(math.atan2(ay, ax)), [*turn_a, 0, 0], 180 / math.pi),
        }
        found = {}
        for name, (value, slope, unit) in slopes.items():
            vector = np.array(slope)
            found[name] = (float(value), float(unit * math.sqrt(max(vector @ self.covariance @ vector, 0.0))))
        return found

    def multiple(self, whole: Floats) -> Lattice:
        """The lattice of vectors ``whole @ basis``, whole numbers (2, 2); its vectors the shortest."""
        spanned = reduced(whole @ self.basis)
        assert spanned is not None
        short = _ordered(spanned)
        turned = np.rint(short @ np.linalg.inv(self.basis))
        wide = np.kron(turned, np.eye(2))
        nodes = np.rint(self.frequencies @ short.T).astype(int)
        return Lattice(short, wide @ self.covariance @ wide.T, self.frequencies, nodes, self.misfit)


def _ordered(short: Floats) -> Floats:
    """Two vectors, the shorter first, at 90 degrees or more."""
    first, second = sorted(short, key=lambda v: float(v @ v))
    return np.stack([first, -second if first @ second > 0 else second])


def find_lattice(image: xr.DataArray, noise: Conditions | None = None) -> Lattice:
    """Lattice of an image from its power spectrum.

    Parameters
    ----------
    image : (y, x)
        Coordinates in angstrom.
    noise : Conditions, optional
        Of the image; by default it is read off between the peaks.

    Raises
    ------
    InputError
        The image has no lattice, or is too small to tell.
    """
    steps = pixel_size(image)
    if min(image.shape) < _LEAST:
        raise InputError(f"the image has {image.shape[0]} x {image.shape[1]} pixels: at least {_LEAST} x {_LEAST}")
    values = remove_plane(np.asarray(image.values, float))
    if not np.isfinite(values).all():
        raise InputError("the image holds values that are not finite: crop them away")
    window = np.outer(hann(image.shape[0], sym=False), hann(image.shape[1], sym=False))
    power, between = _spectrum(values, window, steps)
    found, strength = _peaks(power, between)
    order = np.argsort(-strength, kind="stable")
    for count in _STRONGEST:
        best = order[:count]
        near, basis = fitted_lattice(found[best], strength[best], _differences(found[best]))
        if basis is not None:
            break
    else:
        raise InputError(
            f"no lattice found: {len(found)} peaks of the power spectrum stand out, and they lie on no common lattice;"
            " the field must hold three cells or more along each side, above the noise"
        )
    found = found[best]
    extents = np.array([n * d for n, d in zip(image.shape, steps, strict=True)])
    reciprocal, start = basis / extents, found / extents
    middle = [np.arange(n) * d - (n - 1) * d / 2 for n, d in zip(image.shape, steps, strict=True)]
    at = tuple(_pixels(found[near], image.shape).T)
    if noise is None:
        levels = [between[at] * float(np.sum(w**2)) for w in _moments(window, middle)]
    else:
        full = _both_halves(noise.power((image.shape[0], image.shape[1]), steps), image.shape[1])
        levels = [_through(full, w)[at] for w in _moments(window, middle)]
    frequencies, errors = np.zeros((2, int(near.sum()), 2))
    clear = np.zeros(len(frequencies))
    for n, k in enumerate(start[near]):
        frequencies[n], height = _refined(values * window, middle, k)
        spread = [float((window * y**2).sum() / window.sum()) for y in (middle[0][:, None], middle[1][None])]
        errors[n] = [math.sqrt(levels[1 + a][n] / 2) / (2 * np.pi * height * spread[a]) for a in range(2)]
        clear[n] = height**2 / levels[0][n]
    nodes = np.rint(start[near] @ np.linalg.inv(reciprocal)).astype(int)
    kept = np.arange(len(nodes)) if noise is None else _clearest(clear, nodes, power.size)
    return _fitted(frequencies[kept], errors[kept], nodes[kept])


def _moments(window: Floats, middle: list[Floats]) -> list[Floats]:
    """The window, and the window times y and x."""
    return [window, window * middle[0][:, None], window * middle[1][None]]


def _both_halves(half: Floats, width: int) -> Floats:
    """A power on the frequencies of a real transform [h, width // 2 + 1] on all of them."""
    mirrored = half[-np.arange(half.shape[0])][:, 1 : (width + 1) // 2][:, ::-1]
    return np.concatenate([half, mirrored], axis=1)


def _through(power: Floats, window: Floats) -> Floats:
    """Power of a transform of noise under a window, zero frequency in the centre."""
    seen = np.abs(np.fft.fft2(window)) ** 2
    spread = np.fft.ifft2(np.fft.fft2(power) * np.fft.fft2(seen)).real / power.size
    return np.fft.fftshift(np.maximum(spread, 1e-12 * spread.max() + 1e-300))


def _clearest(clear: Floats, nodes: NDArray[np.integer], pixels: int) -> NDArray[np.integer]:
    """Peaks, in their order, that stand above the noise so many times, or the clearest that span a lattice."""
    order = np.argsort(-clear, kind="stable")
    count = max(int((clear > _needed(pixels)).sum()), _FEWEST)
    while np.linalg.matrix_rank(nodes[order[:count]]) < 2:
        count += 1
    return np.sort(order[:count])


def _needed(pixels: int) -> float:
    """Times the noise that a peak is to be above it."""
    return math.log(pixels / 2 / _FALSE_PEAKS)


def _fitted(frequencies: Floats, errors: Floats, nodes: NDArray[np.integer]) -> Lattice:
    """Weighted least squares of ``frequencies = nodes @ reciprocal``, axis by axis."""
    solution, blocks, chi = np.zeros((2, 2)), np.zeros((2, 2, 2)), 0.0
    for axis in range(2):
        weights = 1 / errors[:, axis] ** 2
        inverse = np.linalg.inv(nodes.T @ (weights[:, None] * nodes))
        solution[:, axis] = inverse @ nodes.T @ (weights * frequencies[:, axis])
        blocks[axis] = inverse
        chi += float(weights @ (frequencies[:, axis] - nodes @ solution[:, axis]) ** 2)
    misfit = math.sqrt(chi / max(2 * len(nodes) - 4, 1))
    own = np.zeros((4, 4))  # of a*_y, a*_x, b*_y, b*_x
    for axis in range(2):
        own[np.ix_([axis, 2 + axis], [axis, 2 + axis])] = blocks[axis] * max(misfit, 1.0) ** 2
    basis = np.linalg.inv(solution).T
    short = reduced(basis)
    assert short is not None
    short = _ordered(short)
    turned = np.rint(short @ np.linalg.inv(basis))
    # d basis = -basis d(reciprocal)^T basis, element by element
    slope = np.zeros((4, 4))
    for n in range(4):
        change = np.zeros((2, 2))
        change.flat[n] = 1
        slope[:, n] = (turned @ -(basis @ change.T @ basis)).ravel()
    return Lattice(short, slope @ own @ slope.T, frequencies, np.rint(frequencies @ short.T).astype(int), misfit)


def _spectrum(values: Floats, window: Floats, steps: tuple[float, float]) -> tuple[Floats, Floats]:
    """Power per pixel (zero frequency in the centre) and its noise, from the low quantile of the rings."""
    field = np.fft.fftshift(np.fft.fft2(values * window))
    power = np.abs(field) ** 2 / np.sum(window**2)
    index, q = ring_index((values.shape[0], values.shape[1]), steps)
    index = np.fft.fftshift(np.minimum(index, q.size))
    order = np.argsort(index, axis=None, kind="stable")
    groups = np.split(power.ravel()[order], np.cumsum(np.bincount(index.ravel(), minlength=q.size + 1)))[: q.size + 1]
    low = np.array([np.quantile(g, _QUANTILE) if g.size else 0.0 for g in groups]) / -math.log(1 - _QUANTILE)
    low = np.maximum(ndimage.median_filter(low, 5, mode="nearest"), 1e-12 * power.max() + 1e-300)
    return power, low[index]


def _peaks(power: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Maxima above the noise: frequencies (n, 2) in Fourier pixels, one of each Friedel pair, and powers."""
    needed = _needed(power.size)
    centre = np.array([n // 2 for n in power.shape])
    summit = (power == ndimage.maximum_filter(power, 3)) & (power > needed * noise)
    at = np.argwhere(summit)
    away = at - centre
    upper = (away[:, 0] > 0) | ((away[:, 0] == 0) & (away[:, 1] > 0))
    # the two outermost rows have no neighbours to be a maximum of
    inside = (np.abs(away) < np.array(power.shape) // 2 - 1).all(axis=1)
    at = at[upper & inside & (np.hypot(*away.T) >= _CLEAR)]
    root = np.sqrt(power)
    y, x = at.T
    offsets = []
    for low, high in ((root[y - 1, x], root[y + 1, x]), (root[y, x - 1], root[y, x + 1])):
        offsets.append((high - low) / (low + root[y, x] + high))
    return at - centre + np.stack(offsets, axis=-1).reshape(-1, 2), power[y, x]


def _differences(peaks: Floats) -> Floats:
    """The shortest differences (m, 2) that recur among the strongest peaks.

    Of a lattice of clusters with something between, strong peaks may all be even, or multiples of three: it is their
    differences that span it.
    """
    top = np.concatenate([peaks[:_OF], -peaks[:_OF]])
    away = (top[:, None] - top[None]).reshape(-1, 2)
    away = away[(np.linalg.norm(away, axis=1) > 2) & ((away[:, 0] > 0) | ((away[:, 0] == 0) & (away[:, 1] > 0)))]
    seeds: list[Floats] = []
    for vector in away[np.argsort(np.linalg.norm(away, axis=1), kind="stable")]:
        alike = np.linalg.norm(away - vector, axis=1) < _ALIKE
        if alike.sum() >= _OFTEN and all(np.linalg.norm(vector - other) > 2 * _ALIKE for other in seeds):
            seeds.append(away[alike].mean(axis=0))
            if len(seeds) == 7:
                break
    return np.array(seeds).reshape(-1, 2)


def _pixels(found: Floats, shape: tuple[int, ...]) -> NDArray[np.integer]:
    return np.rint(found).astype(int) + [n // 2 for n in shape]


def _refined(values: Floats, middle: list[Floats], k: Floats) -> tuple[Floats, float]:
    """Frequency of a peak (2,), 1/angstrom, and |F| there."""
    y, x = middle
    start = k.copy()
    limit = 0.7 / np.array([y[-1] - y[0], x[-1] - x[0]])
    for _ in range(8):
        ey, ex = np.exp(-2j * np.pi * k[0] * y), np.exp(-2j * np.pi * k[1] * x)
        columns = values @ ex
        f, fy, fyy = (ey * y**n @ columns for n in range(3))
        rows = ey @ values
        fx, fxx, fxy = (ex * x) @ rows, (ex * x**2) @ rows, (ey * y) @ (values @ (ex * x))
        tau = 2 * np.pi
        slope = 2 * tau * np.array([(fy * np.conj(f)).imag, (fx * np.conj(f)).imag])
        pairs = [[(fyy, fy, fy), (fxy, fy, fx)], [(fxy, fy, fx), (fxx, fx, fx)]]
        curve = 2 * tau**2 * np.array([[(p * np.conj(q) - s * np.conj(f)).real for s, p, q in row] for row in pairs])
        if not (np.linalg.eigvalsh(curve) < 0).all():
            break
        k = np.clip(k - np.linalg.solve(curve, slope), start - limit, start + limit)
    return k, float(max(abs(f), 1e-300))
