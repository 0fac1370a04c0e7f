"""Fisher scoring of a geometry, and what its errors are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..model.geometry import Geometry
from .weak_phase import Optics, Spectrum, likelihood, score, statistic

PRIOR = {"asymmetry": 0.03, "shear": 0.03}
"""Standard deviations of what is usual about 0: data in focus hardly tell these two from the rotation."""
SIGNAL = 6.0
"""S above which a frequency holds signal, in 2000 of them: noise alone exceeds it five times."""
LARGEST = {"rotation": 0.1, "scale": 0.05, "asymmetry": 0.05, "shear": 0.05, "eta": 0.3}
"""Of a step; of lengths it is the depth of field."""


@dataclass(frozen=True)
class Fit:
    """A geometry of greatest likelihood.

    Parameters
    ----------
    geometry : Geometry
    names : tuple of str
        What was free.
    nats : float
        Likelihood.
    covariance : array [P, P]
        Of what was free, prior included: inverse Fisher information, or the errors that the scatter of the gradients
        from frequency to frequency shows (sandwich estimator), where these are larger: strong columns are no weak
        phase.
    """

    geometry: Geometry
    names: tuple[str, ...]
    nats: float
    covariance: np.ndarray

    def sigma(self, name: str) -> float:
        """Standard error; 0 for what was not free."""
        if name not in self.names:
            return 0.0
        place = self.names.index(name)
        return math.sqrt(max(float(self.covariance[place, place]), 0.0))


def signal(spectrum: Spectrum, geometry: Geometry, optics: Optics) -> np.ndarray:
    """Numbers of the frequencies in which the geometry sees signal."""
    s, _, power = statistic(spectrum, geometry, optics)
    least = max(SIGNAL, math.log(len(s) / 5))
    return np.flatnonzero((s > least) & (power > 0.1 * np.median(power)))


def fit(
    spectrum: Spectrum,
    start: Geometry,
    optics: Optics,
    names: Sequence[str],
    *,
    prior: Mapping[str, float] = PRIOR,
    iterations: int = 12,
    enough: float = 0.01,
) -> Fit:
    """Go uphill from ``start`` by Fisher scoring with Levenberg's damping.

    Parameters
    ----------
    spectrum, start, optics
    names : sequence of str
        What is free.
    prior : mapping
        Standard deviations of normal priors about 0, for those that are free.
    iterations : int
    enough : float
        Nats gained below which it ends.
    """
    names = tuple(names)
    precision = np.array([prior.get(name, math.inf) ** -2.0 for name in names])
    limit = np.array(
        [LARGEST.get(name, 2 * optics.wavelength / (optics.wavelength * optics.cutoff) ** 2) for name in names]
    )

    def value(at: Geometry) -> float:
        away = np.array([getattr(at, name) for name in names])
        return likelihood(spectrum, at, optics) - 0.5 * float(precision @ away**2)

    here, nats, damping = start, value(start), 1e-3
    for _ in range(iterations if names else 0):
        found = score(spectrum, here, optics, names)
        gradient = found.gradient - precision * np.array([getattr(here, name) for name in names])
        fisher = found.fisher + np.diag(precision)
        gain = 0.0
        for _ in range(6):
            damped = fisher + damping * np.diag(np.diag(fisher)) + 1e-12 * np.eye(len(names))
            step = np.linalg.solve(damped, gradient)
            step *= min(1.0, float((limit / np.maximum(np.abs(step), 1e-300)).min()))
            there = here.moved(dict(zip(names, map(float, step), strict=True)))
            new = value(there)
            if new > nats:
                gain, here, nats, damping = new - nats, there, new, max(damping / 10, 1e-4)
                break
            damping = max(damping * 10, 1e-2)
        if gain < enough:
            break
    if not names:
        return Fit(here, names, nats, np.zeros((0, 0)))
    found = score(spectrum, here, optics, names)
    inverse = np.linalg.pinv(found.fisher + np.diag(precision), hermitian=True)
    seen = len(found.each) / max(len(found.each) - len(names), 1) * found.each.T @ found.each + np.diag(precision)
    return Fit(here, names, nats, _larger(inverse, inverse @ seen @ inverse))


def _larger(expected: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The expected covariance, scaled up where the observed errors are larger."""
    ratio = np.sqrt(np.maximum(np.diag(observed) / np.maximum(np.diag(expected), 1e-300), 1.0))
    return expected * np.outer(ratio, ratio)


def scatter(
    spectrum: Spectrum,
    found: Fit,
    optics: Optics,
    *,
    splits: int = 4,
    seed: int = 0,
    prior: Mapping[str, float] = PRIOR,
    iterations: int = 6,
) -> dict[str, float]:
    """Standard errors from halves of the electrons.

    The electrons are split by halves at random (binomial thinning: both halves are Poisson data of half the dose and
    independent), each half is fitted from the result, and half the difference of the two is a draw of the error of all
    of them. In the frequencies of the scan, noise is normal, and a split is ``G / 2 + e`` and ``G / 2 - e`` with the
    variance of e a quarter of the noise's, so nothing has to be read or transformed again.

    The Fisher information cannot do this in focus, where the likelihood is no parabola over the errors.

    Returns
    -------
    dict
        Standard error of every number that is free, and of ``c12`` and ``phi12``.
    """
    rng = np.random.default_rng(seed)
    root, away = math.sqrt(0.5), []
    halved = {name: sd * 2**0.5 for name, sd in prior.items()}  # else it would count twice in the difference
    half = replace(spectrum, gain=spectrum.gain * root)
    for _ in range(splits):
        noise = rng.standard_normal((2, *spectrum.values.shape), np.float32)
        e = ((noise[0] + 1j * noise[1]) * 0.5 * root).astype(spectrum.values.dtype)  # |e|^2 is 1/4 on average
        pair = []
        for sign in (1, -1):
            values = (0.5 * spectrum.values + sign * e) / root  # noise of variance 1 again
            fitted = fit(
                replace(half, values=values.astype(spectrum.values.dtype)), found.geometry, optics, found.names,
                prior=halved, iterations=iterations, enough=0.05,
            )  # fmt: skip
            pair.append(np.array([getattr(fitted.geometry, name) for name in found.names]))
        away.append((pair[0] - pair[1]) / 2)
    return dict(zip(found.names, np.sqrt((np.array(away) ** 2).mean(axis=0)).tolist(), strict=True))
