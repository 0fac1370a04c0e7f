"""Where is something that the lattice does not explain? A map in units of its own noise, with its false alarms counted.

The spectral prior leaves a residual r beside the lattice l (see ``solver.spectral``): the gradient at the lattice, seen
through a flat and weak prior, so that it is nearly the best linear statistic for any local change. Its noise is known:
white under the illumination W = dose x pixel, in frequency

    P(k) = (S / (S + n))^2 n,    n = 1 / (4 W t(k)),    S the residual's prior,

with t(k) the measured share of the quantum limit. A template d asks for ``<d, r>``; not knowing it, two kinds are tried
at three scales K:

    missing   -K * (m r),  m = l above the level between the molecules: a piece of the lattice is not there
    added      K * r:      matter where the lattice has none, or more of it

Every map is divided by the standard deviation that simulated noise of spectrum P has there, through the same steps. The
maxima of the simulated maps are the false alarms to be expected. What is in r because the lattice bends, drifts or ends
is no noise: a map that is not flat on most of the specimen says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft, ndimage

from .._errors import InputError
from .frc import remove_plane
from .spectrum import crop_to_scan, pixel_size

Floats = NDArray[np.floating]
SCALES = (0.7, 1.4, 2.8)
"""Angstrom: sigma of the Gaussians K."""
KINDS = ("missing", "added")
DRAWS, TRIALS = 64, 16
"""Fields of simulated noise: for the deviation, and others whose maxima are counted."""
VACUUM = 2.0
"""Percentile of the lattice that is the level between the molecules."""
EDGE = 3.0
"""Angstrom at the rim of the scan that are left away: there is less light."""
APART = 2.5
"""Angstrom between two places."""


@dataclass(frozen=True)
class Noise:
    """What the noise of a residual follows of.

    Parameters
    ----------
    electrons_per_square_angstrom : float
        That were fitted.
    frequency, information : array [R]
        1/angstrom, and t there.
    residual : float
        Prior variance in rad^2, ``object.residual``.
    grain : float
        Sigma of the prior's grain in angstrom.
    """

    electrons_per_square_angstrom: float
    frequency: Floats
    information: Floats
    residual: float
    grain: float

    def white(self, shape: tuple[int, int], steps: tuple[float, float]) -> Floats:
        """n on the frequencies of a real transform [h, w // 2 + 1], rad^2 per pixel."""
        k = np.hypot(fft.fftfreq(shape[0], steps[0])[:, None], fft.rfftfreq(shape[1], steps[1])[None])
        noise = 1 / (4 * self.electrons_per_square_angstrom * steps[0] * steps[1])
        return noise / np.interp(k, self.frequency, self.information)

    def power(self, shape: tuple[int, int], steps: tuple[float, float]) -> Floats:
        """P on the frequencies of a real transform [h, w // 2 + 1], rad^2 per pixel of white noise."""
        k = np.hypot(fft.fftfreq(shape[0], steps[0])[:, None], fft.rfftfreq(shape[1], steps[1])[None])
        noise = self.white(shape, steps)
        grain = np.exp(-2 * (np.pi * self.grain * k) ** 2)
        # its mean over all frequencies, of which half is there: that of its square lattice of pixels
        mean = steps[0] * steps[1] / (2 * math.pi * self.grain**2)
        prior = self.residual * grain**2 / mean
        return (prior / (prior + noise)) ** 2 * noise


def defect_map(residual: xr.DataArray, lattice: xr.DataArray, positions: Floats, noise: Noise) -> xr.Dataset:
    """Likelihood-ratio maps of missing and added matter.

    Parameters
    ----------
    residual, lattice : (y, x)
        Rad, coordinates in angstrom.
    positions : array [..., 2]
        Angstrom, (y, x): what is outside of the scan, or at its rim, is left away.
    noise : Noise

    Returns
    -------
    xarray.Dataset
        ``z`` (kind, scale, y, x): the maps in standard deviations, ``z ** 2 / 2`` nats each. ``false_alarms``
        (threshold,): maxima above it to be expected in a perfect specimen of this area, over all kinds and scales.
        ``places`` of maxima from the highest on: y and x in angstrom, z, kind and scale.

    Raises
    ------
    InputError
        Where the images fit neither each other nor the scan.
    """
    if residual.shape != lattice.shape:
        raise InputError(f"residual {residual.shape} and lattice {lattice.shape} differ: take them from one result")
    seen, known = crop_to_scan(residual, positions, EDGE), crop_to_scan(lattice, positions, EDGE)
    if min(seen.shape) < 16:
        raise InputError(
            f"the scan covers {seen.shape[0]} x {seen.shape[1]} pixels of the image: at least 16 are needed"
        )
    steps, values = pixel_size(seen), remove_plane(np.asarray(seen.values, float))
    level = np.asarray(known.values, float)
    weights = {"missing": -np.clip(level - np.percentile(level, VACUUM), 0, None), "added": np.ones(seen.shape)}
    shape = (seen.sizes["y"], seen.sizes["x"])
    draws = _draws(noise.power(shape, steps), shape)
    found, alarms = {}, []
    for kind in KINDS:
        for scale in SCALES:
            sigma = [scale / step for step in steps]
            simulated = [ndimage.gaussian_filter(weights[kind] * draw, sigma) for draw in draws]
            power = np.mean(np.square(simulated[:DRAWS]), axis=0)
            if kind == "added":  # the same everywhere
                power = np.full(shape, power.mean())
            spread = np.sqrt(ndimage.gaussian_filter(power, [0.6 * s for s in sigma]))
            spread = np.maximum(spread, 0.05 * spread.max()) + 1e-30
            found[kind, scale] = ndimage.gaussian_filter(weights[kind] * values, sigma) / spread
            alarms.append(np.stack(simulated[DRAWS:]) / spread)
    z = np.stack([[found[kind, scale] for scale in SCALES] for kind in KINDS])
    thresholds = np.arange(2.0, 6.01, 0.25)
    highest = [_maxima(np.max([maps[i] for maps in alarms], axis=0), steps)[1] for i in range(TRIALS)]
    false = [float(np.mean([(h > t).sum() for h in highest])) for t in thresholds]
    coordinates = {"kind": list(KINDS), "scale": list(SCALES), "y": seen.y.values, "x": seen.x.values}
    best = z.reshape(-1, *seen.shape)
    at, heights = _maxima(best.max(axis=0), steps)
    which = best.argmax(axis=0)[at[:, 0], at[:, 1]] if len(at) else np.zeros(0, int)
    places = {
        "place_y": ("place", seen.y.values[at[:, 0]]),
        "place_x": ("place", seen.x.values[at[:, 1]]),
        "place_z": ("place", heights),
        "place_kind": ("place", np.array(KINDS)[which // len(SCALES)]),
        "place_scale": ("place", np.array(SCALES)[which % len(SCALES)]),
    }
    data = xr.Dataset(
        {"z": (("kind", "scale", "y", "x"), z), "false_alarms": ("threshold", false), **places},
        {**coordinates, "threshold": thresholds},
        {"area_square_angstrom": float(np.prod(seen.shape) * steps[0] * steps[1])},
    )
    for name in ("y", "x", "scale", "place_y", "place_x", "place_scale"):
        data[name].attrs["units"] = "angstrom"
    return data


def _draws(power: Floats, shape: tuple[int, int]) -> list[Floats]:
    white = np.random.default_rng(0).standard_normal((DRAWS + TRIALS, *shape))
    return [remove_plane(fft.irfft2(fft.rfft2(field) * np.sqrt(power), shape)) for field in white]


def _maxima(values: Floats, steps: tuple[float, float]) -> tuple[NDArray[np.intp], Floats]:
    """Pixels [P, 2] of maxima that are apart, and their heights, highest first."""
    size = [2 * max(1, round(APART / step)) + 1 for step in steps]
    at = np.argwhere((values == ndimage.maximum_filter(values, size)) & (values > 2))
    heights = values[at[:, 0], at[:, 1]]
    order = np.argsort(-heights, kind="stable")
    return at[order], heights[order]
