"""Likelihoods of counts given intensities, and the residual factor ``rho`` with ``chi = rho psi``.

Shifted Poisson: ``l = (I + e) - (n + e) log(I + e)``, ``rho = (n - I) / (I + e) / 2`` (the half is Fisher scoring).
It is unbiased for every ``e``: the mean residual vanishes at I = mean(n); ``e`` only slows pixels with I << e.
Amplitude: ``l = 2 (sqrt I - sqrt n)^2``, ``rho = sqrt(n) / sqrt(I) - 1``; biased below about 5 electrons per pixel.
Losses are given less their minimum over I (half the deviance), so that 0 is a perfect fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .._array import Array, namespace, total

Residual = Literal["poisson", "amplitude"]
FISHER_STEP = 0.5
AMPLITUDE_FLOOR = 1e-6
LOG_FLOOR = 1e-9


@dataclass(frozen=True)
class Likelihood:
    """Which likelihood, and its trust region.

    Parameters
    ----------
    residual : 'poisson' or 'amplitude'
    epsilon : float
        Electrons per pixel added to counts and intensities alike (Poisson only).
    """

    residual: Residual
    epsilon: float


def loss(likelihood: Likelihood, counts: Array, intensity: Array, weights: Array) -> float:
    """Sum of the loss over all patterns in nats (Poisson) or electrons (amplitude)."""
    xp = namespace(intensity)
    if likelihood.residual == "amplitude":
        return total(2 * weights * (xp.sqrt(intensity) - xp.sqrt(counts)) ** 2)
    e = likelihood.epsilon
    shifted = counts + e
    value = shifted * xp.log(shifted / (intensity + e))
    value -= counts
    value += intensity
    value *= weights
    return total(value)


def residual_factor(likelihood: Likelihood, counts: Array, intensity: Array, weights: Array) -> Array:
    """``rho`` [B, N, N]: the residual wave of every mode is ``rho psi``; zero where the mask is."""
    xp = namespace(intensity)
    if likelihood.residual == "amplitude":
        return weights * (xp.sqrt(counts) / (xp.sqrt(intensity) + AMPLITUDE_FLOOR) - 1)
    return FISHER_STEP * weights * (counts - intensity) / (intensity + likelihood.epsilon)


def gradient_scale(likelihood: Likelihood) -> float:
    """Factor c with ``rho psi = -c dL/d psi^*``: the step that is built into ``rho``.

    dL/d psi^* = (dl/dI) psi: Poisson (I - n)/(I + e), amplitude 2 (1 - sqrt(n/I)).
    """
    return FISHER_STEP


def fisher_weight(likelihood: Likelihood, intensity: Array, weights: Array) -> Array:
    """Curvature of the loss in I: ``w / (I + e)``, for line searches.

    The amplitude loss has 1/I at n = I as well (its floor stands for ``e``).
    """
    floor = likelihood.epsilon if likelihood.residual == "poisson" else AMPLITUDE_FLOOR
    return weights / (intensity + floor)


def held_out_loss(pixels: Array, counts: Array, patterns: Array, intensity: Array, expected: float) -> float:
    """Poisson loss of held-out electrons given as events, in nats, summed over patterns.

    Parameters
    ----------
    pixels, counts, patterns : arrays [E]
        Flat pixel, electrons and pattern number within the batch, of every event.
    intensity : array [B, N, N]
        Predicted intensity in units of the held-out counts.
    expected : float
        Sum of ``intensity`` over the pixels in use.
    """
    xp = namespace(intensity)
    predicted = intensity.reshape(len(intensity), -1)[patterns, pixels].astype("f8") + LOG_FLOOR
    return expected - total(counts) + float((counts * xp.log(counts / predicted)).sum())
