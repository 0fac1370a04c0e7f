"""The weak-phase likelihood of a geometry, its gradient and its Fisher information.

A weak phase phi(r) of a specimen of thickness t gives the counts of detector pixel k over the scan the Fourier
coefficients (Rodenburg & Bates, Phil. Trans. R. Soc. A 339, 521, 1992; with the depth of the specimen averaged)

    E G(q, k) = J I phi(q) T(q, k)
    T = i [A(k-q) s(e_-) exp(i (chi(k) - chi(k-q) + h)) - A(k+q) s(e_+) exp(-i (chi(k) - chi(k+q) + h))]
    e_-+ = -pi lambda (q^2 -+ 2 k.q),   s(e) = sin(e t/2) / (e t/2),   h = eta + eta2 q^2,   q = A^-T q_scan

with the noise variance J I_0(k), where J = sum of the squared window over the scan. chi is that of the middle of the
specimen. The specimen is profiled out frequency by frequency, and what is left is

    L(theta) = sum_q S_q,   S_q = |sum_k T* G / I_0|^2 / (J sum_k |T|^2 I^2 / I_0),

in which noise alone gives each S the exponential distribution of mean 1. Here G and T are scaled to noise of variance
1, and everything is summed over runs of q, so that memory is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..model.geometry import SCAN, Geometry

RUN = 256
"""Frequencies that are looked at together."""
Phase = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Optics:
    """What is known of the illumination.

    Parameters
    ----------
    wavelength : float
        Angstrom.
    cutoff : float
        Radius of the aperture, 1/angstrom.
    edge : float
        Width of its edge as the pixels see it, 1/angstrom.
    higher : callable, optional
        Phase chi(ky, kx) of all known aberrations but defocus and twofold astigmatism, in the axes of stored patterns.
    """

    wavelength: float
    cutoff: float
    edge: float
    higher: Phase | None = None


@dataclass(frozen=True)
class Spectrum:
    """Fourier coefficients of the bright field over the scan.

    Parameters
    ----------
    q : float array [Q, 2]
        Frequencies (y, x) of the nominal raster, 1/angstrom; one of q and -q.
    k : float array [K, 2]
        Detector frequencies (y, x) from the centre of the disk, 1/angstrom, as stored.
    values : complex array [Q, K]
        G, scaled to noise of variance 1.
    gain : float array [K]
        ``sqrt(J) I / sqrt(I_0)``, by which T is multiplied for the same scale.
    mean : float array [K]
        I_0, electrons per pattern.
    """

    q: np.ndarray
    k: np.ndarray
    values: np.ndarray
    gain: np.ndarray
    mean: np.ndarray

    def chosen(self, which: np.ndarray) -> Spectrum:
        """Some of the frequencies."""
        return replace(self, q=self.q[which], values=self.values[which])

    def runs(self) -> Iterator[Spectrum]:
        """All frequencies in runs."""
        for first in range(0, len(self.q), RUN):
            part = slice(first, first + RUN)
            yield replace(self, q=self.q[part], values=self.values[part])


@dataclass(frozen=True)
class Transfer:
    """T of a geometry for some frequencies, and what its derivatives are made of."""

    minus: np.ndarray
    plus: np.ndarray
    """The two terms [Q, K] complex, T = i (minus - plus)."""
    k: np.ndarray
    q: np.ndarray
    """Detector frequencies [K, 2] and [Q, 2] in the axes of the fit."""
    geometry: Geometry
    optics: Optics

    @property
    def values(self) -> np.ndarray:
        """T [Q, K]."""
        return 1j * (self.minus - self.plus)


def transfer(spectrum: Spectrum, geometry: Geometry, optics: Optics) -> Transfer:
    """T for all frequencies of a spectrum."""
    real = spectrum.values.real.dtype
    k = (spectrum.k[:, ::-1] if geometry.transpose else spectrum.k).astype(real)
    q = (spectrum.q @ np.linalg.inv(geometry.matrix)).astype(real)  # rows: A^-T q
    contrast = (geometry.eta + geometry.eta2 * (q**2).sum(1))[:, None]
    terms = []
    for sign in (-1.0, 1.0):
        ay, ax = _at(k, q, sign)
        phase = _chi(k[:, 0], k[:, 1], geometry, optics) - _chi(ay, ax, geometry, optics) + contrast
        size = _edge(np.hypot(ay, ax), optics)[0]
        if geometry.thickness:
            size = size * _sinc(_path(k, q, sign, optics) * geometry.thickness / 2)[0]
        terms.append(_wave(size, -sign * phase, spectrum.values.dtype))
    return Transfer(terms[0], terms[1], k, q, geometry, optics)


def derivatives(its: Transfer, names: Sequence[str]) -> Iterator[np.ndarray]:
    """dT/d(name) [Q, K] of numbers of :data:`~ptychodask.model.geometry.NAMES`, one after the other."""
    k, q, geometry, optics = its.k, its.q, its.geometry, its.optics
    generators = geometry.generators()
    scan = [_by_q(its, sign) for sign in (-1.0, 1.0)] if any(name in SCAN for name in names) else []
    for name in names:
        if name in SCAN:
            dq = (-q @ generators[name]).astype(q.dtype)
            yield sum(along * dq[:, axis, None] for pair in scan for axis, along in enumerate(pair))  # type: ignore[misc]
            continue
        if name in ("eta", "eta2"):
            slopes: list[np.ndarray | float] = [(q**2).sum(1)[:, None] if name == "eta2" else 1.0] * 2
        else:
            here = _quadratic(k[:, 0], k[:, 1], name, optics)
            slopes = [here - _quadratic(*_at(k, q, sign), name, optics) for sign in (-1.0, 1.0)]
        yield -(slopes[0] * its.minus + slopes[1] * its.plus)


def _by_q(its: Transfer, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """d/dqy and d/dqx [Q, K] of ``i minus`` or ``-i plus``."""
    k, q, geometry, optics = its.k, its.q, its.geometry, its.optics
    term = its.minus if sign < 0 else its.plus
    ay, ax = _at(k, q, sign)
    away = np.hypot(ay, ax)
    size, size_slope = _edge(away, optics)
    relative = sign * size_slope / np.maximum(size, 1e-6) / np.maximum(away, 1e-12)  # of log A, per component of k +- q
    slope = _chi_slope(ay, ax, geometry, optics)
    out = []
    for axis, at in enumerate((ay, ax)):
        # chi(k) - chi(k + sign q) has the derivative -sign grad chi; the phase enters with -sign
        phase = -sign * (-sign * slope[axis] + 2 * geometry.eta2 * q[:, axis, None])
        amplitude = relative * at
        if geometry.thickness:
            x = _path(k, q, sign, optics) * geometry.thickness / 2
            sinc, sinc_slope = _sinc(x)
            de = -2 * math.pi * optics.wavelength * (q[:, axis, None] + sign * k[None, :, axis])
            amplitude = amplitude + sinc_slope / np.where(np.abs(sinc) < 1e-6, 1e-6, sinc) * de * geometry.thickness / 2
        out.append(-sign * 1j * term * (amplitude + 1j * phase))
    return out[0], out[1]


def statistic(spectrum: Spectrum, geometry: Geometry, optics: Optics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every frequency: S [Q], phi [Q] complex in rad, and the information ``sum |T|^2`` [Q] about it."""
    found = []
    for part in spectrum.runs():
        t = transfer(part, geometry, optics).values * part.gain
        power = (np.abs(t) ** 2).sum(axis=1, dtype=np.float64) + 1e-12
        matched = np.einsum("qk,qk->q", t.conj(), part.values)
        found.append((np.abs(matched) ** 2 / power, matched / power, power))
    s, phi, power = (np.concatenate([part[i] for part in found]) for i in range(3))
    return s, phi, power


def likelihood(spectrum: Spectrum, geometry: Geometry, optics: Optics) -> float:
    """L in nats."""
    return float(statistic(spectrum, geometry, optics)[0].sum())


@dataclass(frozen=True)
class Score:
    """First and second derivatives of L by P numbers.

    Parameters
    ----------
    each : array [Q, P]
        Gradient of every S_q.
    fisher : array [P, P]
        Expected information.
    """

    each: np.ndarray
    fisher: np.ndarray

    @property
    def gradient(self) -> np.ndarray:
        """dL/da [P]."""
        return self.each.sum(axis=0)


def score(spectrum: Spectrum, geometry: Geometry, optics: Optics, names: Sequence[str]) -> Score:
    """Gradient and Fisher information of L by some numbers.

    ``dL/da = 2 Re sum_q phi* sum_k (dT/da)* (G - T phi)`` and
    ``F_ab = 2 Re sum_q |phi|^2 sum_k (P dT/da)* (P dT/db)``, where P takes the part along T away.
    """
    each, fisher = [], np.zeros((len(names), len(names)))
    for part in spectrum.runs():
        its = transfer(part, geometry, optics)
        t = its.values * part.gain
        power = (np.abs(t) ** 2).sum(axis=1, dtype=np.float64) + 1e-12
        phi = np.einsum("qk,qk->q", t.conj(), part.values) / power
        residual = part.values - t * phi[:, None]
        moved, gradient = [], []
        for slope in derivatives(its, names):
            slope = slope * part.gain
            gradient.append(2 * (phi.conj() * np.einsum("qk,qk->q", slope.conj(), residual)).real)
            slope = slope - t * (np.einsum("qk,qk->q", t.conj(), slope) / power)[:, None]
            moved.append(slope * np.abs(phi)[:, None])
        each.append(np.stack(gradient, axis=1).astype(np.float64))
        flat = np.stack(moved).reshape(len(names), -1)
        flat = np.concatenate([flat.real, flat.imag], axis=1).astype(np.float32)
        fisher += 2 * (flat @ flat.T).astype(np.float64)
    return Score(np.concatenate(each), fisher)


def _at(k: np.ndarray, q: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Components of ``k + sign q`` [Q, K]."""
    return k[None, :, 0] + sign * q[:, None, 0], k[None, :, 1] + sign * q[:, None, 1]


def _path(k: np.ndarray, q: np.ndarray, sign: float, optics: Optics) -> np.ndarray:
    """e [Q, K], rad per angstrom of depth."""
    return -math.pi * optics.wavelength * ((q**2).sum(1)[:, None] + sign * 2 * q @ k.T)


def _wave(size: np.ndarray, phase: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``size exp(i phase)``; sine and cosine of single precision are several times faster."""
    out = np.empty(np.broadcast_shapes(size.shape, phase.shape), dtype)
    out.real, out.imag = size * np.cos(phase), size * np.sin(phase)
    return out


def _edge(k: np.ndarray, optics: Optics) -> tuple[np.ndarray, np.ndarray]:
    """The aperture as pixels see it, and its slope: it falls smoothly, because pixels average over their areas."""
    t = np.clip((optics.cutoff - k) / optics.edge + 0.5, 0, 1)
    return t * t * (3 - 2 * t), -6 * t * (1 - t) / optics.edge


def _sinc(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin(x)/x and its derivative."""
    value = np.sinc(x / math.pi)
    small = np.abs(x) < 1e-3
    return value, np.where(small, -x / 3, (np.cos(x) - value) / np.where(small, 1.0, x))


def _quadratic(ky: np.ndarray, kx: np.ndarray, name: str, optics: Optics) -> np.ndarray:
    """d(chi)/d(defocus, c12a or c12b)."""
    form = {"defocus": lambda: -(ky**2 + kx**2), "c12a": lambda: kx**2 - ky**2, "c12b": lambda: 2 * kx * ky}[name]()
    return math.pi * optics.wavelength * form


def _chi(ky: np.ndarray, kx: np.ndarray, geometry: Geometry, optics: Optics) -> np.ndarray:
    df, a, b = geometry.defocus, geometry.c12a, geometry.c12b
    chi = math.pi * optics.wavelength * ((a - df) * kx**2 - (a + df) * ky**2 + 2 * b * kx * ky)
    if optics.higher is None:
        return chi
    return chi + (optics.higher(kx, ky) if geometry.transpose else optics.higher(ky, kx))


def _chi_slope(ky: np.ndarray, kx: np.ndarray, geometry: Geometry, optics: Optics) -> tuple[np.ndarray, np.ndarray]:
    """d(chi)/dky and d(chi)/dkx."""
    df, a, b = geometry.defocus, geometry.c12a, geometry.c12b
    factor = 2 * math.pi * optics.wavelength
    slope = factor * (-(a + df) * ky + b * kx), factor * ((a - df) * kx + b * ky)
    if optics.higher is None:
        return slope
    h = 1e-4 * optics.cutoff
    higher = optics.higher
    if geometry.transpose:
        along = (higher(kx, ky + h) - higher(kx, ky - h), higher(kx + h, ky) - higher(kx - h, ky))
    else:
        along = (higher(ky + h, kx) - higher(ky - h, kx), higher(ky, kx + h) - higher(ky, kx - h))
    return slope[0] + along[0] / (2 * h), slope[1] + along[1] / (2 * h)
