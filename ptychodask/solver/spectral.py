"""The spectral prior: a step in the metric of the electrons' information, then a Wiener filter whose spectrum is
measured from the data.

The object is one projected phase y, the sum over slices that are tied together, with gradient g and illumination W
averaged over them (g is a quarter of the log-likelihood's derivative). All happens in the Fourier coefficients of
windows (see ``windows``):

    t(k)                                          share of the quantum limit 4 W that the electrons carry about k,
                                                  measured (see ``information``)
    c_w  = F_w[y] + (eta / t) F_w[g / D]           D = sqrt(W^2 + (delta max W)^2)
    n_w  = eta e <1 / (4 D)>_w / t                 noise of c_w; e: mean square of the taper. Right where a window is
                                                  lit, too much where it is partly dark: S is measured from few windows
                                                  there (with the exact noise ZIF-8's 48 x 48 correlate .930, so .950)
    R    = <|c_w|^2 / n_w>                         over all windows, by light: 1 where there is noise alone
    S    = max(R - 1, rho (R_ring - 1), 0) n       prior variance: at the peaks of a lattice what is measured there,
                                                  between them rho times the mean of the ring
    y   <- max(0, F^T[S / (S + n_w) c_w])          k = 0 of every window is left alone; at or above 0 by the job's word

The filter is linear and the same everywhere but for the noise, so nothing is invented in one window; a lattice that
fills the field is averaged, and the figure of merit of such an image contains that average. The fixed point does not
depend on t and eta. Only R, and t, are sums over the canvas.

A prior that knows the lattice (rho = 0) erases what is only once there. So the last update leaves the lattice y as it
is and fits a residual r to the gradient at it, under a flat and weak prior: grains of :data:`FINEST` angstrom, so that
no frequency that the electrons carry is held down,

    r    = F^T[S_r / (S_r + m_w) F_w[g / D] / t]   S_r = e sigma^2 K^2 / <K>,  K = exp(-2 (pi 0.5 k)^2),
    m_w  = e <s>_w / <4 W s>_w / t                 noise where the window is lit, s = (W / D)^2: no S is measured here

A matched filter wants the gradient itself, which is already weighted by the noise; a prior in proportion to the
lattice's spectrum would weaken it where defects are seen best.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .._array import Array, held_bytes, namespace, to_host
from ..model.prior import Spectral
from .information import RING, ring_means, times
from .windows import Group, Lend, Windows, at_home, in_order, summed

RATE = 0.9
"""eta: of the Newton step."""
RINGS_OF = 1.5
"""Width in frequency pixels of the rings of the prior's floor."""
FINEST = 0.5
"""Angstrom: sigma of the residual's grain."""


@dataclass(frozen=True)
class SpectrumSums:
    """Sums over windows, by light l and per noise ``nu = <1 / (4 D)>``; float64, maps [L, L // 2 + 1].

    R for any t follows: with ``a = F_w[y]`` and ``b = F_w[g / D]``, ``|c|^2`` is ``|a|^2 + 2 (eta / t) Re a b* +
    (eta / t)^2 |b|^2``.
    """

    light: float
    level: float
    """``sum l nu``."""
    own: np.ndarray
    """``sum l |a|^2 / nu``."""
    cross: np.ndarray
    """``sum l Re(a b*) / nu``."""
    step: np.ndarray
    """``sum l |b|^2 / nu``."""

    __sizeof__ = held_bytes

    def __add__(self, other: SpectrumSums) -> SpectrumSums:
        return SpectrumSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Maps:
    """What a step needs on the work area [h, w], slices averaged but for ``phase``, which is their sum."""

    phase: np.ndarray
    gradient: np.ndarray
    light: np.ndarray
    brightest: float

    def damping(self, delta: float) -> np.ndarray:
        """D."""
        return np.sqrt(self.light**2 + np.float32(delta * self.brightest) ** 2)


def maps_of(object_: np.ndarray, gradient: np.ndarray, light: np.ndarray, brightest: np.ndarray) -> Maps:
    """From those of slices [S, h, w]; ``brightest`` [S, 1, 1]."""
    return Maps(object_.sum(axis=0), gradient.mean(axis=0), light.mean(axis=0), float(brightest.mean()))


def spectrum_sums(windows: Windows, maps: Maps, delta: float, lend: Lend = at_home) -> SpectrumSums:
    """Sums over the windows of a core, computed where ``lend`` brings the maps."""
    damping = maps.damping(delta)
    phase, step = lend(windows.padded(maps.phase)), lend(windows.padded(maps.gradient / damping))
    damping, inverse = lend(windows.padded(damping)), lend(windows.padded(0.25 / damping))

    def of(group: Group) -> tuple[Array, ...]:
        weight = windows.means(damping, group, group.own) ** 2
        nu = windows.means(inverse, group, group.own)
        a, b = windows.spectra(phase, group, group.own), windows.spectra(step, group, group.own)
        share = (weight / nu)[:, None, None]
        powers = (a.real**2 + a.imag**2, a.real * b.real + a.imag * b.imag, b.real**2 + b.imag**2)
        return weight.sum(), (weight * nu).sum(), *((share * power).sum(axis=0) for power in powers)

    owners = windows.owners
    if not owners:
        return SpectrumSums(0.0, 0.0, *np.zeros((3, windows.side, windows.side // 2 + 1)))
    light, level, *powers = summed(in_order(of, owners, phase))
    return SpectrumSums(float(light), float(level), *map(to_host, powers))


@dataclass(frozen=True)
class Filter:
    """What every window is told: its noise is ``nu_w`` times a number that prior and noise have in common.

    ``boost`` is eta / t, ``prior`` the prior's variance in units in which a window's noise is nu_w.
    """

    boost: np.ndarray
    prior: np.ndarray
    adds: bool = False
    """Is a residual added, to an object that stays?"""

    __sizeof__ = held_bytes


def make_filter(spectral: Spectral, sums: SpectrumSums, t: np.ndarray, rate: float) -> Filter:
    """The prior from the sums over all windows."""
    k = spectral.frequencies
    boost = rate / np.interp(k, np.arange(len(t)) * RING, t)
    power = sums.own / boost + 2 * sums.cross + sums.step * boost
    ratio = power / (0.25 * sums.light)
    rings = np.rint(k * spectral.side * spectral.pixel / RINGS_OF).astype(int)
    floor = spectral.floor * np.maximum(ring_means(ratio, rings)[rings] - 1, 0)
    excess = np.maximum(np.maximum(ratio - 1, 0), floor)
    return Filter(boost.astype(np.float32), (excess * (sums.level / sums.light)).astype(np.float32))


def residual_filter(spectral: Spectral, t: np.ndarray) -> Filter:
    """The filter of the residual."""
    k = spectral.frequencies
    boost = 1 / np.interp(k, np.arange(len(t)) * RING, t)
    grain = np.exp(-2 * (np.pi * FINEST * k) ** 2)
    twice = times(k.shape)
    prior = spectral.residual * grain**2 / (grain * twice).sum() * twice.sum()
    return Filter(boost.astype(np.float32), (prior / boost).astype(np.float32), adds=True)


def move_of(windows: Windows, maps: Maps, delta: float, its: Filter, lend: Lend = at_home) -> np.ndarray:
    """What the step adds to the projected phase on the core [h, w], computed where ``lend`` brings the maps."""
    damping = maps.damping(delta)
    phase, step = lend(windows.padded(maps.phase)), lend(windows.padded(maps.gradient / damping))
    if its.adds:
        seen = (maps.light / damping) ** 2
        noise, per = windows.padded(seen), windows.padded(4 * maps.light * seen)
    else:
        noise, per = windows.padded(0.25 / damping), np.ones(phase.shape, np.float32)
    noise, per, boost, prior = (lend(values) for values in (noise, per, its.boost, its.prior))
    xp = namespace(phase)

    def of(group: Group) -> Array:
        level = windows.means(noise, group) / xp.maximum(windows.means(per, group), 1e-12)
        c = boost * windows.spectra(step, group)
        shrink = prior / (prior + level.astype(np.float32)[:, None, None])
        if not its.adds:
            c += windows.spectra(phase, group)
            shrink[:, 0, 0] = 1
        return windows.back(c * shrink)

    total = xp.zeros(phase.shape, np.float32)
    for group, strip in zip(windows.groups, in_order(of, windows.groups, phase), strict=True):
        total[group.rows, group.columns] += strip
    moved = windows.cut(to_host(total))
    if its.adds:
        return moved
    rows, columns = windows.core.inside(windows.work.corner)
    return moved - maps.phase[rows, columns]
