"""From a merged update to the next state: direction, step lengths, and every unknown a step further."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..model.state import State
from .direction import Direction
from .information import InformationSums, information
from .problem import Problem
from .spectral import RATE, Filter, SpectrumSums, make_filter, residual_filter
from .unknowns import SHARED, geometry, probe
from .unknowns.geometry import GeometrySums
from .unknowns.object import (
    ObjectSums,
    constrain,
    extrapolate,
    inertia,
    lit_weight,
    place,
    pooled_steps,
    pooled_sums,
    precondition,
    stepped,
)
from .unknowns.products import inner
from .update import Update

EASE, RISE, SHORTEST = 0.7, 1e-4, 0.5
"""Factor on steps where the loss rises, by how many nats per electron it has to, and what is left of them at least:
with short steps the prior makes it rise slowly, which is no swing."""
LINE_LEAST, LINE_CLIP = 0.1, 1.5
"""Bounds of the tangent step ``a``, the lower one over the number S of slices.

They guard against a line search that noise decides: it is a ratio of two sums over a subset of the patterns, and where
these hold little it may be huge, or negative. A sound one lies between 1 / S, the pooled step, for which all slices
explain the same residual, and about 1, for which each explains its own: of six slices 0.28 to 0.41 was found. The
bounds stand well outside of that; by how much was chosen by trial.
"""


def direction(problem: Problem, state: State, update: Update) -> Direction:
    """Directions ``g / sqrt(W^2 + (delta max W)^2)`` and their pooled steps ``<d, g> / sum W |d|^2``."""
    full = place([update[ObjectSums]], (0, 0), problem.canvas.shape)
    gradient, light = full.gradient, full.illumination
    brightest = light.max(axis=(1, 2), keepdims=True)
    step_map = precondition(problem, gradient, light, brightest)
    steps = pooled_steps(*pooled_sums(step_map, gradient, light))
    ascent = inner(gradient, state.model.object - state.anchor) if state.momentum >= 0 else 0.0
    probe_move, probe_step = probe.direction(problem, update)
    lit = lit_weight(light, brightest)
    totals = probe.less_maps(update.without(ObjectSums))
    return Direction(step_map, steps, probe_move, probe_step, lit, ascent, totals, information=state.information)


def measured(problem: Problem, state: State, sums: InformationSums | None) -> np.ndarray | None:
    """t, as it is now measured or was before; None where it never was."""
    rule = problem.settings.information
    if rule is None or sums is None or sums.lit <= 0:
        return state.information
    return information(rule, sums)


def spectral_filter(problem: Problem, state: State, sums: SpectrumSums, t: np.ndarray | None, totals: Update) -> Filter:
    """The filter that follows of t and the spectrum."""
    rule = problem.settings.spectral
    assert rule is not None and t is not None, "measured at the first iteration"
    if rule.fits_residual(state.model.iteration):
        return residual_filter(rule, t)
    return make_filter(rule, sums, t, RATE * problem.settings.object_step * eased(problem, state, totals))


def eased(problem: Problem, state: State, totals: Update) -> float:
    """Factor on every step: smaller where the last one made the loss rise.

    The step is Newton's for a mean of t over all directions and a ring of frequencies. Where t is twice that, as at 5
    mrad, it goes as far beyond the optimum as it was before it, and the image swings from one update to the next.
    """
    rule, before = problem.settings.spectral, state.loss
    if rule is None or not rule.eases or before is None or state.model.iteration == rule.sharpen_at:
        return state.damping  # a loss with another epsilon is another number
    rose = totals.sums.loss - before > RISE * totals.sums.electrons
    return min(state.damping, max(state.damping * EASE, SHORTEST)) if rose else state.damping


def advance(problem: Problem, state: State, move: Direction, line: Update | None = None) -> State:
    """The next state, with the steps of :func:`lengths`."""
    constraints = problem.settings.constraints
    steps, _ = lengths(problem, state.damping, move, line)
    ahead = stepped(state.model.object, steps, move.object)
    if move.filter is not None and move.filter.adds:  # the lattice stays behind the object; a residual has any sign
        following = advance_shared(problem, state, move, line)
        return replace(following, model=replace(following.model, object=ahead), anchor=state.model.object)
    anchor = constrain(ahead, constraints)
    rate, _ = inertia(state.momentum, move.ascent)
    object_ = anchor
    if rate is not None:
        object_ = extrapolate(anchor, state.anchor, rate * move.weight, constraints)
    following = advance_shared(problem, state, move, line)
    following = replace(following, model=replace(following.model, object=object_), anchor=anchor)
    sums = move.totals.find(GeometrySums)
    return following if sums is None else _refined(problem, following, sums)


def _refined(problem: Problem, state: State, sums: GeometrySums) -> State:
    """The state with its geometry a step further; splines overshoot, so pointwise constraints are applied again."""
    assert problem.settings.refine is not None
    after = geometry.refined(problem.settings.refine, state, sums)
    pointwise = tuple(constraint for constraint in problem.settings.constraints if constraint.pointwise)
    object_, anchor = (constrain(maps, pointwise) for maps in (after.model.object, after.anchor))
    return replace(after, model=replace(after.model, object=object_), anchor=anchor)


def advance_shared(problem: Problem, state: State, move: Direction, line: Update | None = None) -> State:
    """The next state but for its object, which stays: probe, background and counters."""
    _, step = lengths(problem, state.damping, move, line)
    _, momentum = inertia(state.momentum, move.ascent)
    model = replace(state.model, iteration=state.model.iteration + 1)
    for unknown in SHARED:
        model = unknown.advanced(problem, model, move, step)
    rule = problem.settings.spectral
    loss = move.totals.sums.loss if rule is not None and rule.eases else None
    damping = eased(problem, state, move.totals)
    return replace(state, model=model, momentum=momentum, damping=damping, information=move.information, loss=loss)


def lengths(
    problem: Problem, damping: float, move: Direction, line: Update | None
) -> tuple[np.ndarray, float | np.ndarray]:
    """How far every slice [S] and the probe (of several scans, each probe [K]) go along their directions.

    Without ``line`` the pooled steps are used: ``a_s kappa / S`` for the object and ``a_P kappa`` for the probe, kappa
    = 1/2 where both move. With the sums of a tangent pass one step ``a`` serves both, clipped to [0.1 / S, 1.5]; where
    no pattern was in its subset, the pooled steps are used. With the spectral prior the direction is the object's step.
    """
    both = 0.5 if move.probe is not None else 1.0
    settings = problem.settings
    if settings.spectral is not None:  # the filter's move is the step
        return np.ones(problem.slices), settings.probe_step * damping * (move.probe_step * both)
    if line is None or line.sums.line_denominator <= 0:
        object_steps = move.object_step * both / problem.slices
        probe_step = move.probe_step * both
    else:
        ratio = line.sums.line_numerator / line.sums.line_denominator
        object_steps = np.full(problem.slices, np.clip(ratio, LINE_LEAST / problem.slices, LINE_CLIP))
        probe_step = float(object_steps[0])
    return settings.object_step * damping * object_steps, settings.probe_step * damping * probe_step


def recover(state: State) -> State:
    """After a divergence: the state with half the steps and without momentum."""
    return replace(
        state, model=replace(state.model, object=state.anchor), momentum=-1, damping=state.damping / 2, loss=None
    )
