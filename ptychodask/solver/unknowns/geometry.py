"""Geometry refined while the image forms: aberrations, and the affine map of the scan with the object carried along.

Fisher scoring on sums that the update makes anyway. Elementary directions are the aberrations, the four strains L_ab
of ``x_j -> x_j + L (x_j - c)`` and, where it is asked for, a smooth drift of the rows ``x_j -> x_j + e_c u_m(t_j)``,
which is a strain that changes over the scan. With GP = sum_j F[lambda_j] conj(ramp_j) the gradient of the probe's
spectrum P and GP_b the same weighted with ``(x_j - c)_b``, GP_m with u_m, the descent of the loss is

    aberration a:  2 Re <GP, -i chi_a P>         strain ab:  2 Re <GP_b, -2 pi i q_a P> - 2 <g, (d_a phi) (r - c)_b>
                                                 drift cm:   2 Re <GP_m, -2 pi i q_c P> - 2 <g, (d_c phi) u_m(t(r))>

The second part of a strain carries the object along, ``phi(r - L (r - c))``, from the object's gradient g: with the
object held, the information about a rotation is a hundred times larger, and object and positions block each other.
The information is ``sum w dI_a dI_b / (I + eps)`` on a subset of the patterns (see ``kernels.information``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
from scipy.ndimage import affine_transform, map_coordinates

from ..._array import fft2, ifft2
from ...model.refining import Refine, Refining
from ...model.row_drift import slopes as cosine_slopes
from ...model.row_drift import waves
from ...model.scan import Affine
from ...model.state import Model, State
from ...physics.derivative import REACH, derivative
from ...physics.likelihood import Likelihood, gradient_scale
from .object import ObjectSums

DAMPING = 0.02
"""Share of its own information that is added to that of every number before a step."""
FURTHEST = 2.0
"""Largest step, in units."""
GAIN, GROWS, SHRINKS, LEAST, MOST = 0.7, 1.3, 0.6, 0.2, 3.0
"""Factor on the step along an eigenvector: at first, where a step goes on, where it turns back, and its bounds."""
REMEMBERED = 8
"""Passes whose information is averaged, and iterations whose values are kept."""


@dataclass(frozen=True)
class GeometrySums:
    """Descent of the loss along the elementary directions [D], and their information [D, D]."""

    score: np.ndarray
    information: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.score.nbytes + self.information.nbytes

    @classmethod
    def none(cls, rules: Refine) -> GeometrySums:
        """Of no pattern."""
        return cls(np.zeros(rules.directions), np.zeros((rules.directions, rules.directions)))

    @classmethod
    def merged(cls, parts: list[GeometrySums]) -> GeometrySums:
        """Sum in the order of the list."""
        return cls(reduce(add, (p.score for p in parts)), reduce(add, (p.information for p in parts)))


def score_of(
    rules: Refine, likelihood: Likelihood, spectra: np.ndarray, moments: np.ndarray, middle: np.ndarray
) -> np.ndarray:
    """Descent of the loss along the elementary directions, without what the object adds, float64 [D].

    Parameters
    ----------
    rules, likelihood
    spectra : complex array [M, N, N]
        Of the modes.
    moments : complex array [1 + W, M, N, N]
        Gradients of the spectra summed over the patterns: plain, and with the weights of :func:`weights_of`.
    middle : float array [2]
        Canvas pixels.
    """
    turned = (moments.conj() * spectra).imag.sum(axis=1, dtype=np.float64)
    turned[1:3] += (middle - np.array(rules.centre))[:, None, None] * turned[0]
    q = 2 * np.pi * np.fft.fftfreq(spectra.shape[-1])
    aberrations = [float((phase * turned[0]).sum(dtype=np.float64)) for phase in rules.phases]
    axes = (q[:, None], q[None, :])
    strains = [float((along * turned[1 + b]).sum()) for along in axes for b in (0, 1)]
    drifts = [float((along * wave).sum()) for wave in turned[3:] for along in axes]
    return 2 / gradient_scale(likelihood) * np.array([*aberrations, *strains, *drifts])


def weights_of(rules: Refine, start: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle [2] of positions in canvas pixels, and what their gradients are weighted with [B, W]: the way from there,
    and the cosines of the drift.

    Parameters
    ----------
    start, now : float arrays [B, 2]
        Positions of the patterns where the run began, and where they are.
    """
    middle = now.mean(axis=0)
    if not rules.drifts:
        return middle, now - middle
    return middle, np.concatenate([now - middle, waves(rules.rows_at(start - np.array(rules.centre)))], axis=1)


def carried_score(rules: Refine, likelihood: Likelihood, model: Model, sums: ObjectSums) -> np.ndarray:
    """What the object adds to the descent by going along, from its gradient on a window of the canvas, float64 [D]."""
    (y, x), (height, width) = sums.corner, sums.gradient.shape[-2:]
    arms = (np.arange(y, y + height)[:, None] - rules.centre[0], np.arange(x, x + width)[None, :] - rules.centre[1])
    found, drifts = [0.0] * len(rules.phases), list[np.ndarray]()
    for its in slopes(model, (slice(y, y + height), slice(x, x + width))):
        slope = (sums.gradient.conj() * its).real.sum(axis=0, dtype=np.float64)
        found += [float((slope * arm).sum()) for arm in arms]
        if rules.drifts:
            drifts.append(np.tensordot(slope, waves(rules.rows_at(_from_centre(model, arms))), 2))
    found += np.transpose(drifts).ravel().tolist() if drifts else []
    return -2 / gradient_scale(likelihood) * np.array(found)


def _from_centre(model: Model, arms: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Where pixels at ``arms`` from the centre were at the start [H, W, 2], but for the strain of a drift."""
    here = np.stack(np.broadcast_arrays(*arms), axis=-1)
    return here if model.moved is None else here @ np.linalg.inv(model.moved.matrix).T


def drift_factors(rules: Refine, model: Model, start: np.ndarray) -> np.ndarray:
    """How much of the strains ``c y`` and ``c x`` a pattern sees of every cosine of the drift along c, float64
    [B, K, 2]: the slope of the cosine along y and x, by the patterns' positions at the start [B, 2]."""
    across = np.array(rules.across)
    if model.moved is not None:
        across = across @ np.linalg.inv(model.moved.matrix)
    return cosine_slopes(rules.rows_at(start - np.array(rules.centre)))[..., None] * across


def slopes(model: Model, view: tuple[slice, slice]) -> list[np.ndarray]:
    """Derivatives of the object's phase in y and x on a window of the canvas, from what is around it [S or 1, H, W]: of
    slices that are tied once."""
    _, rows, columns = model.part(view)
    height, width = model.object.shape[-2:]
    y, x = max(rows.start - REACH, 0), max(columns.start - REACH, 0)
    around = np.asarray(model.object[:, y : min(rows.stop + REACH, height), x : min(columns.stop + REACH, width)])
    if _tied(around):
        around = around[:1]
    inside = (slice(None), slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x))
    return [derivative(around, axis)[inside] for axis in (-2, -1)]


def step(rules: Refine, before: Refining, sums: GeometrySums) -> Refining:
    """Fisher scoring with the prior, a gain for every eigenvector of the information.

    The gain, because the object follows only in part; by eigenvector, because the valley is narrow (condition 58 at 10
    mrad, 680 at 21 mrad), and gains by number would leave it.
    """
    turn, units = rules.jacobian(before.values), rules.units
    now = units[:, None] * (turn.T @ sums.information @ turn) * units
    score = units * (turn.T @ sums.score)
    known = min(before.passes, REMEMBERED - 1)
    information = (known * before.information + now) / (known + 1)
    prior = (units / rules.prior) ** 2
    whole = information + np.diag(prior)
    free = before.free
    if before.passes == 0:
        free = errors(rules, replace(before, information=information)) < rules.known * rules.prior
    move, gains = np.zeros(len(units)), before.gains.copy()
    if free.any():
        its = np.ix_(free, free)
        wanted = (score - prior * (before.values - rules.first) / units)[free]
        along = np.linalg.solve(whole[its] + DAMPING * np.diag(np.diag(whole)[free]), wanted)
        axes = np.linalg.eigh(whole[its])[1]
        parts = axes.T @ along
        if before.passes == 0:
            gains[free] = GAIN
        else:
            goes_on = parts * (axes.T @ before.last[free]) > 0
            gains[free] = np.clip(gains[free] * np.where(goes_on, GROWS, SHRINKS), LEAST, MOST)
        made = axes @ (gains[free] * parts)
        move[free] = made * min(1.0, FURTHEST / max(float(np.abs(made).max()), 1e-12))
    values = before.values + units * move
    values = np.clip(values, rules.first - rules.limits, rules.first + rules.limits)
    trail = np.concatenate([before.trail, values[None]])[-REMEMBERED:]
    return Refining(values, information, before.passes + 1, gains, move, free, trail)


def errors(rules: Refine, at: Refining) -> np.ndarray:
    """Standard errors [P] by information and prior, of what moves together with the rest."""
    whole = at.information + np.diag((rules.units / rules.prior) ** 2)
    return np.sqrt(np.diag(np.linalg.inv(whole))) * rules.units  # type: ignore[no-any-return]


def refined(rules: Refine, state: State, sums: GeometrySums) -> State:
    """The state with another geometry: positions moved, object and anchor carried along, probe focused."""
    assert state.geometry is not None
    after = step(rules, state.geometry, sums)
    return moved(rules, replace(state, geometry=after), state.geometry.values, after.values)


def moved(rules: Refine, state: State, old: np.ndarray, new: np.ndarray) -> State:
    """The map of the scan, object, anchor and probe of a state from old values of the geometry to new ones."""
    model, before, after = state.model, rules.moved(old), rules.moved(new)
    object_ = resampled(model.object, before, after)
    same = np.array_equal(model.object, state.anchor)  # as without momentum
    anchor = object_ if same else resampled(state.anchor, before, after)
    probe = focused(rules, model, new - old)
    return replace(state, model=replace(model, object=object_, probe=probe, moved=after), anchor=anchor)


def _tied(maps: np.ndarray) -> bool:
    """Are there several slices, and all the same?"""
    return len(maps) > 1 and bool((maps == maps[0]).all())


def resampled(maps: np.ndarray, before: Affine, after: Affine) -> np.ndarray:
    """Maps [S, Oy, Ox] carried along by positions that move: cubic splines, the rim goes on beyond the edge."""
    if after.drift is None and np.array_equal(before.matrix, after.matrix):
        return maps
    if _tied(maps):
        return np.repeat(resampled(maps[:1], before, after), len(maps), axis=0)
    centre = after.centre
    if after.drift is not None:
        here = np.stack(np.meshgrid(*map(np.arange, maps.shape[-2:]), indexing="ij"), axis=-1)
        at = np.moveaxis(before(after.back(here)), -1, 0)
        out = [map_coordinates(plane, at, order=3, mode="nearest") for plane in maps]
    else:
        back = np.linalg.inv(after.matrix @ np.linalg.inv(before.matrix))
        out = [affine_transform(plane, back, centre - back @ centre, order=3, mode="nearest") for plane in maps]
    return np.stack(out).astype(maps.dtype, copy=False)


def focused(rules: Refine, model: Model, change: np.ndarray) -> np.ndarray:
    """The probe with its aberrations changed [M, N, N]: ``P exp(-i sum_a da chi_a)``; its power stays."""
    q = len(rules.phases)
    if not q or not change[:q].any():
        return model.probe
    phase = np.tensordot(change[:q], rules.phases.astype(np.float64), 1)
    return ifft2(fft2(model.probe) * np.exp(-1j * phase)).astype(model.probe.dtype)  # type: ignore[no-any-return]
