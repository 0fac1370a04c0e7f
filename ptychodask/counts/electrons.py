"""From the values of a detector that measures charge to numbers of electrons.

Its values are a mixture: pixels without an electron around ``zero`` with the read-out's noise, pixels with k of them
around ``zero + k gain``, wider by what the charge of an electron varies. The mixture is fitted to a histogram by
expectation and maximisation (Dempster, Laird & Rubin, J. R. Stat. Soc. B 39, 1, 1977), a value becomes the number that
is most probable, and how many electrons are thereby mis-counted follows from the same mixture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError

Floats = NDArray[np.floating]

MOST = 4
"""Electrons whose peaks are fitted; beyond, values are divided by the gain and rounded."""
BINS = 2000
FEW = 50
"""Electrons below which there is no peak to fit."""
OVERLAP = 0.2
"""Part of the electrons that may be mis-counted: where the peaks overlap more, nothing is counted."""
_SEPARATIONS = (3.0, 4.0, 5.5, 7.5, 10.0, 14.0, 20.0, 30.0, 45.0, 70.0, 110.0, 180.0, 300.0)
"""Gains over noise at which a fit is begun."""
_NARROW = 0.25
"""Bins of the histogram: a fit takes no noise to be less."""
_ENOUGH = 20.0
"""Values in a peak from which its weight is known."""


@dataclass(frozen=True)
class Levels:
    """Where the numbers of electrons lie among the values.

    Parameters
    ----------
    zero, noise : float
        Centre and RMS width of the values without an electron, ADU.
    gain, spread : float
        ADU per electron, and their RMS variation from electron to electron.
    weights : tuple of float
        Part of the pixels with 0, 1, 2, ... electrons.
    values : int
        That the fit has seen.
    """

    zero: float
    noise: float
    gain: float
    spread: float
    weights: tuple[float, ...]
    values: int

    @property
    def separation(self) -> float:
        """Gain over noise: the signal to noise of an electron."""
        return self.gain / self.noise

    def _peaks(self) -> tuple[Floats, Floats]:
        k = np.arange(len(self.weights))
        return self.zero + k * self.gain, np.sqrt(self.noise**2 + k * self.spread**2)

    @cached_property
    def thresholds(self) -> tuple[float, ...]:
        """Value above which k rather than k - 1 electrons are the more probable, k = 1, 2, ...

        Where a peak has too few values to know its weight, it is half-way.
        """
        centre, width = self._peaks()
        found: list[float] = []
        for k in range(1, len(self.weights)):
            middle = (centre[k - 1] + centre[k]) / 2
            if self.weights[k] * self.values >= _ENOUGH:
                x = np.linspace(centre[k - 1], centre[k], 4001)
                more, less = (
                    math.log(self.weights[i]) - np.log(width[i]) - 0.5 * ((x - centre[i]) / width[i]) ** 2
                    for i in (k, k - 1)
                )
                above = np.flatnonzero(more > less)
                middle = float(x[above[0]]) if len(above) else float(centre[k])
            found.append(max(middle, found[-1] if found else -math.inf))
        return tuple(found)

    @cached_property
    def _confusion(self) -> Floats:
        """Probability that j electrons are counted where there are k, [k, j]."""
        from scipy.special import ndtr

        centre, width = self._peaks()
        below = ndtr((np.array([self.thresholds]) - centre[:, None]) / width[:, None])
        ends = np.concatenate([np.zeros((len(centre), 1)), below, np.ones((len(centre), 1))], axis=1)
        return np.diff(ends, axis=1)

    @property
    def miscounted(self) -> float:
        """Predicted sum of the wrong electrons, missing or invented, over all electrons."""
        k = np.arange(len(self.weights))
        wrong = (self._confusion * abs(k[:, None] - k)).sum(axis=1)
        return float(np.dot(self.weights, wrong) / np.dot(self.weights, k))

    @property
    def excess(self) -> float:
        """Predicted difference of the counted from the true sum of electrons, over the true one."""
        k = np.arange(len(self.weights))
        return float(np.dot(self.weights, self._confusion @ k) / np.dot(self.weights, k) - 1)

    def as_dict(self) -> dict[str, float | list[float]]:
        """For the attributes of a dataset."""
        return {
            "zero_adu": self.zero,
            "noise_adu": self.noise,
            "gain_adu": self.gain,
            "spread_adu": self.spread,
            "thresholds_adu": list(self.thresholds),
            "miscounted": self.miscounted,
        }

    def count(self, values: np.ndarray) -> NDArray[np.uint32]:
        """Electrons in values of any shape; NaN holds none."""
        counts = np.zeros(values.shape, np.uint32)
        there = values > self.thresholds[0]
        bright = values[there].astype(np.float64)
        number = np.searchsorted(self.thresholds, bright, side="left")
        beyond = number == len(self.thresholds)
        number[beyond] = np.maximum(number[beyond], np.rint((bright[beyond] - self.zero) / self.gain))
        counts[there] = number
        return counts


def fit_levels(values: np.ndarray) -> Levels:
    """The levels of some frames in which most pixels have no electron.

    Parameters
    ----------
    values : array of any shape
        ADU, less dark frame and flat field where there are any.

    Raises
    ------
    InputError
        If no peak of single electrons stands beside that of none: what to do.
    """
    values = values[np.isfinite(values)].ravel()
    whole = bool((values == np.rint(values)).all())
    zero = float(np.median(values))
    noise = max(1.4826 * float(np.median(abs(values - zero))), 0.3 if whole else 1e-12 * max(abs(zero), 1.0))
    bright = values[values > zero + 5 * noise]
    if len(bright) < FEW:
        raise InputError(
            f"only {len(bright)} of {len(values)} values looked at stand out of the noise ({zero:.4g} +- {noise:.3g}):"
            " no peak of single electrons can be fitted; give --gain (ADU per electron), or look for a blanked beam"
        )
    # the brightest is a cosmic ray rather than an electron
    top = zero + max(8 * noise, (MOST + 1.5) * float(np.median(bright) - zero))
    inside = values[(values > zero - 6 * noise) & (values < top)]
    if whole:
        step = max(1.0, math.ceil((top - zero + 6 * noise) / BINS))
        edges = np.arange(math.floor(zero - 6 * noise) - 0.5, top + step, step)
    else:
        edges = np.linspace(zero - 6 * noise, top, BINS + 1)
    height = np.histogram(inside, edges)[0].astype(float)
    centre = (edges[1:] + edges[:-1]) / 2
    known, least = height > 0, _NARROW * float(edges[1] - edges[0])
    height, centre = height[known], centre[known]
    tries = [g * noise for g in _SEPARATIONS if g * noise < top - zero] or [top - zero]
    tries.append(float(np.median(bright) - zero))
    best = max(
        (_improved(_begun(zero, noise, gain), height, centre, least, 30) for gain in tries), key=lambda fit: fit[1]
    )
    (zero, noise, gain, spread), weights = _improved(best[0], height, centre, least, 400)[0]
    levels = Levels(zero, noise, gain, spread, tuple(float(w) for w in weights), len(inside))
    if weights[0] < 0.3 or levels.weights[1] * levels.values < FEW or levels.miscounted > OVERLAP:
        raise InputError(
            f"no peak of single electrons stands beside that of none: the best fit is {zero:.4g} +- {noise:.3g} ADU and"
            f" {gain:.4g} ADU per electron, with {100 * weights[0]:.3g} % of the pixels empty (at least 30) and"
            f" {100 * levels.miscounted:.3g} % of the electrons mis-counted (at most {100 * OVERLAP:g}): give --gain"
            " (ADU per electron) to divide and round"
        )
    return levels


_Fit = tuple[tuple[float, float, float, float], Floats]
"""Zero, noise, gain and spread; weights."""


def _begun(zero: float, noise: float, gain: float) -> _Fit:
    return (zero, noise, gain, 0.1 * gain), np.array([1.0, *(0.05 * 0.2**k for k in range(MOST))]) / 1.0625


def _improved(fit: _Fit, height: Floats, centre: Floats, least: float, steps: int) -> tuple[_Fit, float]:
    """The fit after some steps of expectation and maximisation, and its log-likelihood per value."""
    (zero, noise, gain, spread), weights = fit
    k, total, before = np.arange(len(weights)), height.sum(), -math.inf
    for _ in range(steps):
        variance = noise**2 + k * spread**2
        off = centre - (zero + k * gain)[:, None]
        density = weights[:, None] * np.exp(-0.5 * off**2 / variance[:, None]) / np.sqrt(2 * np.pi * variance)[:, None]
        sums = density.sum(axis=0) + 1e-300
        likelihood = float(height @ np.log(sums)) / total
        shares = density / sums * height
        number = shares.sum(axis=1)
        mean = (shares @ centre) / np.maximum(number, 1e-12)
        weights = number / total
        zero = float(mean[0])
        noise = math.sqrt(max(float(shares[0] @ (centre - zero) ** 2) / max(number[0], 1e-12), least**2))
        pull = number[1:] * k[1:] / variance[1:]
        gain = float(pull @ (mean[1:] - zero) / max(float(pull @ k[1:]), 1e-300))
        gain = max(gain, 2 * noise)
        wide = (shares[1:] * (centre - (zero + k * gain)[1:, None]) ** 2).sum(axis=1)
        wide = (wide - number[1:] * noise**2) / k[1:]
        spread = math.sqrt(max(float(wide.sum() / max(number[1:].sum(), 1e-12)), (0.005 * gain) ** 2))
        if abs(likelihood - before) < 1e-10:
            break
        before = likelihood
    return ((zero, noise, gain, spread), weights), likelihood
