"""The geometry while it is refined: what may move, as numbers, and how far it has come. The method is in
``solver.unknowns.geometry``.

Aberrations come first, as changes of Cartesian coefficients in angstrom: ``defocus``, ``c12a`` = C12 cos 2 phi12,
``c12b``, ``c21a``, ``c21b``, ``c30``. Then numbers of the scan (``rotation`` in rad, ``scale``, ``asymmetry``,
``shear``), as those of :class:`ptychodask.model.geometry.Geometry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._array import held_bytes
from .geometry import SWAP, Geometry
from .row_drift import NAMES as ROWS
from .row_drift import RowDrift
from .scan import Affine

KNOWN = 0.7
"""A number is held where its standard error is more than this share of the prior's."""
ABERRATIONS = ("defocus", "c12a", "c12b", "c21a", "c21b", "c30")


@dataclass(frozen=True)
class Refine:
    """What may move, and how.

    Parameters
    ----------
    names : tuple of str
        The P numbers that move, aberrations first.
    start : Geometry
        Of the scan, from the nominal raster to the positions that the run starts from.
    phases : float array [Q, N, N]
        Derivative of the lens's phase by each of the Q aberrations, rad per angstrom, corner-centred.
    units, prior, limits : float array [P]
        Natural steps; standard errors of what is known beforehand; how far they may go. In units of the numbers.
    centre : (float, float)
        Point of the canvas that stays, in pixels.
    begins : int
        The first iteration after which the geometry moves.
    stride : int
        One pattern of so many measures the information, others in every iteration.
    known : float or float array [P]
        Share of the prior's standard error: a number whose own is more is held, as the electrons know it no better.
    crossed : bool
        The object learns from the training electrons, and the held-out ones, which are as many, score the geometry:
        what the object takes up of their noise would hold the geometry where it is.
    scored : int
        Then one pattern of so many scores in a pass, others in every one.
    across : (float, float)
        Where the drift of the rows is looked for, see :class:`ptychodask.model.row_drift.RowDrift`; of positions in
        canvas pixels.
    pixel : float
        Canvas pixel in angstrom, in which amplitudes of the drift are given.
    """

    names: tuple[str, ...]
    start: Geometry
    phases: np.ndarray
    units: np.ndarray
    prior: np.ndarray
    limits: np.ndarray
    centre: tuple[float, float]
    begins: int
    stride: int
    known: float | np.ndarray = KNOWN
    crossed: bool = False
    scored: int = 1
    across: tuple[float, float] = (0.0, 0.0)
    pixel: float = 1.0

    @property
    def drifts(self) -> int:
        """How many of the names are amplitudes of the drift, which are the last: all of them or none."""
        return len(ROWS) if self.names[-1:] == ROWS[-1:] else 0

    @property
    def directions(self) -> int:
        """Elementary directions D: the aberrations, four strains, the drift's."""
        return len(self.phases) + 4 + self.drifts

    @property
    def scans(self) -> tuple[str, ...]:
        """Those of the scan."""
        return self.names[len(self.phases) : len(self.names) - self.drifts]

    @property
    def first(self) -> np.ndarray:
        """Values at the start [P]."""
        scan = [getattr(self.start, name) for name in self.scans]
        return np.array([0.0] * len(self.phases) + scan + [0.0] * self.drifts)

    def rows_at(self, away: np.ndarray) -> np.ndarray:
        """Where positions at ``away`` [..., 2] from the centre at the start are on the way over the rows, 0 to 1."""
        at: np.ndarray = 0.5 + away @ np.array(self.across)
        return at

    def moved(self, values: np.ndarray) -> Affine:
        """Where positions at the start, in canvas pixels, lie with other values."""
        return Affine(self.matrix(values), np.array(self.centre), self.row_drift(values))

    def row_drift(self, values: np.ndarray) -> RowDrift | None:
        """In canvas pixels; None where it is not looked for."""
        if not self.drifts:
            return None
        return RowDrift(values[-self.drifts :].reshape(-1, 2) / self.pixel, np.array(self.across))

    def moves(self, iteration: int) -> bool:
        """Does the update after so many move the geometry?"""
        return iteration >= self.begins

    def geometry(self, values: np.ndarray) -> Geometry:
        """Of the scan."""
        its = values[len(self.phases) : len(values) - self.drifts]
        return self.start.set({name: float(v) for name, v in zip(self.scans, its, strict=True)})

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """Map [2, 2] about the centre from the positions at the start to those now."""
        return self.geometry(values).stored_matrix @ np.linalg.inv(self.start.stored_matrix)

    def jacobian(self, values: np.ndarray) -> np.ndarray:
        """From numbers [P] to elementary directions [D]: aberrations, the strain ``(dA/da) A^-1`` by rows, and the
        drift's amplitudes in pixels."""
        q, drifts = len(self.phases), self.drifts
        out = np.zeros((self.directions, len(self.names)))
        out[:q, :q] = np.eye(q)
        out[q + 4 :, len(self.names) - drifts :] = np.eye(drifts) / self.pixel
        generators = self.geometry(values).generators()
        for i, name in enumerate(self.scans):
            its = generators[name]
            out[q : q + 4, q + i] = (SWAP @ its @ SWAP if self.start.transpose else its).ravel()
        return out


@dataclass(frozen=True)
class Refining:
    """How far a refinement has come.

    Parameters
    ----------
    values : float64 array [P]
    information : float64 array [P, P]
        Fisher information in steps of the units, mean of the last passes.
    passes : int
        Those that it was measured in.
    gains, last : float64 arrays [P]
        Factor on the step along every eigenvector, and the step before.
    free : bool array [P]
        What moves.
    trail : float64 array [T, P]
        Values after the last iterations.
    """

    values: np.ndarray
    information: np.ndarray
    passes: int
    gains: np.ndarray
    last: np.ndarray
    free: np.ndarray
    trail: np.ndarray

    __sizeof__ = held_bytes

    @classmethod
    def begin(cls, rules: Refine) -> Refining:
        """Before anything is known."""
        count = len(rules.names)
        nothing = np.zeros(count)
        return cls(
            rules.first, np.zeros((count, count)), 0, nothing, nothing, np.ones(count, bool), np.zeros((0, count))
        )

    def with_held(self, held: np.ndarray, rules: Refine) -> Refining:
        """With some numbers [P] where they were at the start, and those that move where the rest of what is known puts
        them then: the conditional mean of the normal distribution of the information and the prior."""
        free, held = self.free & ~held, self.free & held
        known = self.information + np.diag((rules.units / rules.prior) ** 2)
        back = np.where(held, rules.first - self.values, 0.0) / rules.units
        moved = np.zeros_like(back)
        moved[free] = -np.linalg.solve(known[np.ix_(free, free)], known[np.ix_(free, held)] @ back[held])
        return replace(self, values=self.values + rules.units * (back + moved), free=free)

    def at_mean(self, last: int) -> Refining:
        """With the mean of its last iterations as values."""
        return self if not len(self.trail) else replace(self, values=self.trail[-last:].mean(axis=0))


@dataclass(frozen=True)
class Refined:
    """What a refinement came to, which the rest of the run takes as given.

    Parameters
    ----------
    matrix : ((float, float), (float, float))
        Map from the dataset's positions to those that were found, about their mean.
    aberrations : mapping
        Krivanek coefficients that replace the dataset's.
    values : mapping
        ``{name: {"value", "sigma", "how"}}`` by the names of ``ptychodask calibrate --json``.
    drift, across : tuple of (float, float), (float, float)
        Amplitudes of a drift of the rows in angstrom, none where it was not looked for, and the covector over the
        dataset's positions: :class:`ptychodask.model.row_drift.RowDrift`.
    """

    matrix: tuple[tuple[float, float], tuple[float, float]]
    aberrations: Mapping[str, float]
    values: Mapping[str, Mapping[str, Any]]
    drift: tuple[tuple[float, float], ...] = ()
    across: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def load(cls, said: Mapping[str, Any] | None) -> Refined | None:
        """From the dictionary that JSON made of it."""
        if said is None:
            return None
        first, second = (tuple(row) for row in said["matrix"])
        drift = tuple((float(y), float(x)) for y, x in said.get("drift", ()))
        y, x = said.get("across", (0.0, 0.0))
        return cls((first, second), said["aberrations"], said["values"], drift, (float(y), float(x)))

    def placed(self, positions: np.ndarray) -> np.ndarray:
        """Positions [J, 2] where they were found to be."""
        drift = RowDrift(np.array(self.drift), np.array(self.across)) if self.drift else None
        return Affine(np.array(self.matrix), positions.mean(axis=0), drift)(positions)
