"""Where to start: the likelihood on a grid of transposition, rotation and defocus, from the strongest frequencies.

It is the same for a rotation by 180 degrees with the other sign of defocus, so rotations go from -90 to 90 degrees
only. Along the defocus both terms of T turn by the same phases from step to step, so that no exponentials are taken
there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.geometry import Geometry
from .weak_phase import Optics, Spectrum, transfer

STRONGEST = 60
"""Frequencies."""
ROTATION_STEP = math.radians(4)
DEFOCUS_STEP, DEFOCUS_REACH = 60.0, 1200.0
"""Angstrom at 10 mrad; they go with 1 / semi-angle."""


@dataclass(frozen=True)
class Grid:
    """Likelihood in nats [2, R, D] for (as stored, transposed), rotations in rad [R] and defoci in angstrom [D].

    Layouts that were not tried are NaN.
    """

    nats: np.ndarray
    rotations: np.ndarray
    defoci: np.ndarray

    @property
    def best(self) -> Geometry:
        """Where it is largest."""
        layout, r, d = np.unravel_index(int(np.nanargmax(self.nats)), self.nats.shape)
        return Geometry(float(self.rotations[r]), defocus=float(self.defoci[d]), transpose=bool(layout))

    @property
    def rise(self) -> float:
        """Nats of the best above the median."""
        return float(np.nanmax(self.nats) - np.nanmedian(self.nats))

    @property
    def margin(self) -> float:
        """Nats by which the best layout wins over the other; infinite where one was tried."""
        tops = [float(np.max(layout)) for layout in self.nats if np.isfinite(layout).all()]
        return abs(tops[0] - tops[1]) if len(tops) == 2 else math.inf


def strongest(spectrum: Spectrum, most: int = STRONGEST) -> Spectrum:
    """The frequencies with the most power."""
    power = (np.abs(spectrum.values) ** 2).sum(axis=1)
    return spectrum.chosen(np.sort(np.argsort(-power, kind="stable")[:most]))


def search(
    spectrum: Spectrum,
    optics: Optics,
    start: Geometry,
    semi_angle: float,
    *,
    reach: float | None = None,
    rotations: Sequence[float] | None = None,
    defoci: Sequence[float] | None = None,
    layouts: Sequence[bool] = (False, True),
) -> Grid:
    """The likelihood on a grid; all other numbers are those of ``start``.

    Parameters
    ----------
    spectrum, optics, start
    semi_angle : float
        Of the aperture in rad, which sets the steps.
    reach : float, optional
        Largest defocus in angstrom; 1200 at 10 mrad by default.
    rotations, defoci, layouts
        What to try instead: rad, angstrom, and whether rows and columns are exchanged.
    """
    chosen = strongest(spectrum)
    finer = 0.01 / semi_angle
    turns = np.arange(-math.pi / 2, math.pi / 2 - 1e-9, ROTATION_STEP) if rotations is None else np.array(rotations)
    if defoci is None:
        steps = math.ceil(max(DEFOCUS_REACH * finer, reach or 0) / (DEFOCUS_STEP * finer))
        focus = DEFOCUS_STEP * finer * np.arange(-steps, steps + 1)
    else:
        focus = np.array(defoci, dtype=float)
    nats = np.full((2, len(turns), len(focus)), np.nan)
    for transpose in layouts:
        for r, turn in enumerate(turns):
            at = Geometry(
                float(turn), start.scale, start.asymmetry, start.shear, float(focus[0]), start.c12a, start.c12b,
                transpose=transpose, thickness=start.thickness,
            )  # fmt: skip
            nats[int(transpose), r] = _along_defocus(chosen, at, optics, focus)
    return Grid(nats, turns, focus)


def _along_defocus(spectrum: Spectrum, at: Geometry, optics: Optics, defoci: np.ndarray) -> np.ndarray:
    """Likelihood [D] at equidistant defoci, the first of which is that of ``at``."""
    its = transfer(spectrum, at, optics)
    minus, plus = its.minus * spectrum.gain, its.plus * spectrum.gain
    step = float(defoci[1] - defoci[0]) if len(defoci) > 1 else 0.0
    turn = math.pi * optics.wavelength * step  # chi(k) - chi(k -+ q) = pi lambda defocus (q^2 -+ 2 k.q)
    q2 = (its.q**2).sum(1).astype(np.float64)
    forth, back = minus.conj() * spectrum.values, plus.conj() * spectrum.values
    own = (np.abs(minus) ** 2 + np.abs(plus) ** 2).sum(axis=1, dtype=np.float64)
    cross = np.einsum("qk,qk->q", minus.conj(), plus)  # which turns alike for all k
    on = np.exp(2j * turn * (its.q @ its.k.T)).astype(minus.dtype)
    found, phasor = np.empty(len(defoci)), np.ones_like(on)
    for d in range(len(defoci)):
        away = np.exp(1j * turn * d * q2)
        matched = away.conj() * np.einsum("qk,qk->q", forth, phasor) - away * np.einsum("qk,qk->q", back, phasor)
        power = own - 2 * (away.conj() ** 2 * cross).real
        found[d] = float((np.abs(matched) ** 2 / np.maximum(power, 1e-9)).sum())
        phasor *= on
    return found
