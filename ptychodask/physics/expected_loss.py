"""What the loss would be if the counts were Poisson noise around the model: its mean and its variance per pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .likelihood import Likelihood

FAINTEST, BRIGHTEST = 1e-7, 300.0
"""Electrons per pixel between which mean and variance are summed over the counts; beyond, series take over."""
KNOTS = 320
ENTRIES, TOP = 8192, 1e6
"""Of the table that kernels look up, from FAINTEST to TOP, where mean and variance have come to their limits: a
straight line between two entries is off by 2e-6."""


@lru_cache(maxsize=8)
def table(likelihood: Likelihood) -> np.ndarray:
    """Mean and variance of :func:`expected_loss` at :data:`ENTRIES` intensities, uniform in log I; float32 [:, 2]."""
    at = np.geomspace(FAINTEST, TOP, ENTRIES)
    return np.stack(expected_loss(likelihood, at), axis=1).astype(np.float32)


def expected_loss(likelihood: Likelihood, intensity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the loss of n ~ Poisson(I), of the shape of ``intensity`` (electrons), float64.

    ``E[l] = sum_n p(n; I) l(n, I)`` on knots in log I and a cubic spline between them (good to 1e-6 of the mean); of
    bright pixels the expansion of l about n = I, of faint ones the limit, in which the mean goes with I.
    """
    mean, variance = _splines(likelihood)
    value = np.asarray(intensity, np.float64)
    at = np.log(np.clip(value, FAINTEST, BRIGHTEST))
    found, spread = mean(at), variance(at)
    faint, bright = value < FAINTEST, value > BRIGHTEST
    if faint.any():
        share = np.maximum(value[faint], 0) / FAINTEST
        found[faint], spread[faint] = found[faint] * share, spread[faint] * share
    if bright.any():
        found[bright], spread[bright] = _series(likelihood, value[bright])
    return found, spread


def _loss(likelihood: Likelihood, counts: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    if likelihood.residual == "amplitude":
        return 2 * (np.sqrt(intensity) - np.sqrt(counts)) ** 2
    e = likelihood.epsilon
    return (counts + e) * np.log((counts + e) / (intensity + e)) - counts + intensity


@lru_cache(maxsize=8)
def _splines(likelihood: Likelihood) -> tuple[Any, Any]:
    from scipy.interpolate import CubicSpline  # half a second, and workers load this file before they join
    from scipy.special import gammaln

    knots = np.geomspace(FAINTEST, BRIGHTEST, KNOTS)
    counts = np.arange(int(BRIGHTEST + 15 * np.sqrt(BRIGHTEST)))
    probability = np.exp(counts * np.log(knots[:, None]) - knots[:, None] - gammaln(counts + 1))
    losses = _loss(likelihood, counts.astype(np.float64), knots[:, None])
    mean = (probability * losses).sum(axis=1)
    variance = (probability * (losses - mean[:, None]) ** 2).sum(axis=1)
    return CubicSpline(np.log(knots), mean), CubicSpline(np.log(knots), variance)


def _series(likelihood: Likelihood, intensity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expansion in d = n - I with E d^2 = E d^3 = I, E d^4 = 3 I^2 + I."""
    if likelihood.residual == "amplitude":
        return 0.5 + 7 / 32 / intensity, np.full_like(intensity, 0.5)
    shifted = intensity + likelihood.epsilon
    mean = intensity / (2 * shifted) - intensity / (6 * shifted**2) + (3 * intensity**2 + intensity) / (12 * shifted**3)
    return mean, (intensity / shifted) ** 2 / 2
