"""From a merged update to the next state: direction, step, constraints, probe, acceleration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._array import held_bytes
from ..model.state import State
from ..physics import modes
from ..physics.constraints import Constraint
from .geometry import GeometrySums, carried_score, refined
from .problem import Problem
from .spectral import RATE, Filter, SpectrumSums, information, make_filter, residual_filter
from .update import ProbeSums, Sums, Update, place

LINE_CLIP = 1.5
"""Largest tangent step; the smallest is a tenth of the pooled step, 0.1 / S."""


@dataclass(frozen=True)
class Direction:
    """Preconditioned directions, the pooled steps along them and the sums that the update came with."""

    object: np.ndarray
    object_step: np.ndarray
    """Pooled least-squares step a_s of every slice [S]."""
    probe: np.ndarray | None
    probe_step: float
    weight: np.ndarray
    """How well lit every pixel is, W^2 / (W^2 + 0.1 max W^2): the weight of the extrapolation [S, Oy, Ox]."""
    ascent: float
    """<gradient, momentum>: negative where the momentum has turned against the gradient."""
    sums: Sums
    information: np.ndarray | None = None
    """With the spectral prior, t on rings."""
    filter: Filter | None = None
    """With the spectral prior, what every window is told."""
    geometry: GeometrySums | None = None
    """While the geometry is refined, whole sums."""

    __sizeof__ = held_bytes


def direction(problem: Problem, state: State, update: Update) -> Direction:
    """Directions ``g / sqrt(W^2 + (delta max W)^2)`` and their pooled steps ``<d, g> / sum W |d|^2``."""
    assert update.object is not None
    full = place([update.object], (0, 0), problem.canvas.shape)
    gradient, light = full.gradient, full.illumination
    brightest = light.max(axis=(1, 2), keepdims=True)
    step_map = precondition(problem, gradient, light, brightest)
    steps = pooled_steps(*pooled_sums(step_map, gradient, light))
    ascent = inner(gradient, state.model.object - state.anchor) if state.momentum >= 0 else 0.0
    probe, probe_step = probe_direction(problem, update.probe)
    lit = lit_weight(light, brightest)
    geometry = geometry_sums(problem, state, update, gradient)
    return Direction(step_map, steps, probe, probe_step, lit, ascent, update.sums, geometry=geometry)


def geometry_sums(problem: Problem, state: State, update: Update, gradient: np.ndarray) -> GeometrySums | None:
    """What an update says of the geometry where the object, whose ``gradient`` is on the canvas, is carried along."""
    rules, sums = problem.settings.refine, update.geometry
    if rules is None or sums is None:
        return None
    return replace(sums, score=sums.score + carried_score(rules, problem.likelihood, state.model.object, gradient))


def precondition(problem: Problem, gradient: np.ndarray, light: np.ndarray, brightest: np.ndarray) -> np.ndarray:
    """The object's direction on any window of the canvas; ``brightest`` [S, 1, 1] is max W of the whole canvas."""
    return gradient / np.sqrt(light**2 + (problem.settings.precondition * brightest) ** 2)


def lit_weight(light: np.ndarray, brightest: np.ndarray) -> np.ndarray:
    """Weight of the extrapolation, ``W^2 / (W^2 + 0.1 max W^2)``."""
    return light**2 / (light**2 + np.float32(0.1) * brightest**2)


def pooled_sums(move: np.ndarray, gradient: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``<d, g>`` and ``sum W |d|^2`` of every slice, float64 [S]."""
    numerators = [inner(d, g) for d, g in zip(move, gradient, strict=True)]
    return np.array(numerators), np.array([_power(d, w) for d, w in zip(move, light, strict=True)])


def pooled_steps(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Least-squares step of every slice; 0 where nothing is lit."""
    pairs = zip(numerators, denominators, strict=True)
    return np.array([above / below if below > 0 else 0.0 for above, below in pairs])


def probe_direction(problem: Problem, sums: ProbeSums | None) -> tuple[np.ndarray | None, float]:
    """Direction of the probe and its pooled step; None where it does not move."""
    if sums is None:
        return None, 0.0
    light = sums.illumination
    move = sums.gradient / np.sqrt(light**2 + (problem.settings.precondition * light.max()) ** 2)
    denominator = _power(move, light)
    return move, inner(move, sums.gradient) / denominator if denominator > 0 else 0.0


def inner(a: np.ndarray, b: np.ndarray) -> float:
    """Re <a, b> in float64."""
    return float((a.conj() * b).real.sum(dtype=np.float64))


def _power(move: np.ndarray, light: np.ndarray) -> float:
    return float((light * (move.real**2 + move.imag**2)).sum(dtype=np.float64))


def spectral_filter(problem: Problem, state: State, sums: SpectrumSums) -> tuple[np.ndarray, Filter]:
    """t, as it is now measured or was before, and the filter that follows of it."""
    rule = problem.settings.spectral
    assert rule is not None
    t = information(rule, sums) if sums.lit > 0 else state.information
    assert t is not None, "measured at the first iteration"
    if rule.fits_residual(state.model.iteration):
        return t, residual_filter(rule, t)
    return t, make_filter(rule, sums, t, RATE * problem.settings.object_step * state.damping)


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
    return following if move.geometry is None else _refined(problem, following, move.geometry)


def _refined(problem: Problem, state: State, sums: GeometrySums) -> State:
    """The state with its geometry a step further; splines overshoot, so pointwise constraints are applied again."""
    assert problem.settings.refine is not None
    after = refined(problem.settings.refine, state, sums)
    pointwise = tuple(constraint for constraint in problem.settings.constraints if constraint.pointwise)
    object_, anchor = (constrain(maps, pointwise) for maps in (after.model.object, after.anchor))
    return replace(after, model=replace(after.model, object=object_), anchor=anchor)


def advance_shared(problem: Problem, state: State, move: Direction, line: Update | None = None) -> State:
    """The next state but for its object, which stays: probe, background and counters."""
    _, step = lengths(problem, state.damping, move, line)
    _, momentum = inertia(state.momentum, move.ascent)
    model = replace(
        state.model,
        probe=_next_probe(problem, state, move, step),
        background=_next_background(problem, state.model.background, move.sums),
        iteration=state.model.iteration + 1,
    )
    return replace(state, model=model, momentum=momentum, information=move.information)


def lengths(problem: Problem, damping: float, move: Direction, line: Update | None) -> tuple[np.ndarray, float]:
    """How far every slice [S] and the probe go along their directions.

    Without ``line`` the pooled steps are used: ``a_s kappa / S`` for the object and ``a_P kappa`` for the probe, kappa
    = 1/2 where both move. With the sums of a tangent pass one step ``a`` serves both, clipped to [0.1 / S, 1.5]; where
    no pattern was in its subset, the pooled steps are used. With the spectral prior the direction is the object's step.
    """
    both = 0.5 if move.probe is not None else 1.0
    if problem.settings.spectral is not None:  # the filter's move is the step
        return np.ones(problem.slices), move.probe_step * both
    if line is None or line.sums.line_denominator <= 0:
        object_steps = move.object_step * both / problem.slices
        probe_step = move.probe_step * both
    else:
        ratio = line.sums.line_numerator / line.sums.line_denominator
        object_steps = np.full(problem.slices, np.clip(ratio, 0.1 / problem.slices, LINE_CLIP))
        probe_step = float(object_steps[0])
    return problem.settings.object_step * damping * object_steps, probe_step


def stepped(object_: np.ndarray, steps: np.ndarray, move: np.ndarray) -> np.ndarray:
    """The object after its step, before the constraints."""
    return (object_ + steps.astype(move.real.dtype)[:, None, None] * move).astype(object_.dtype)


def inertia(momentum: int, ascent: float) -> tuple[np.floating | None, int]:
    """Rate ``b = (t + 1) / (t + 3)`` of the extrapolation (0 at a restart, None without any), and the next count."""
    if momentum < 0:
        return None, -1
    if ascent < 0:
        return np.float32(0), 1
    return np.float32((momentum + 1) / (momentum + 3)), momentum + 1


def extrapolate(
    anchor: np.ndarray, before: np.ndarray, rate: np.ndarray, constraints: tuple[Constraint, ...]
) -> np.ndarray:
    """Nesterov's point ``x + b w (x - x_before)``, ``rate = b w``; pointwise constraints hold."""
    ahead = anchor + rate * (anchor - before)
    for constraint in constraints:
        if constraint.pointwise:
            ahead = constraint(ahead)
    return ahead.astype(anchor.dtype)


def constrain(object_: np.ndarray, constraints: tuple[Constraint, ...]) -> np.ndarray:
    """The object after all constraints, one after the other."""
    for constraint in constraints:
        object_ = constraint(object_)
    return object_


def _next_probe(problem: Problem, state: State, move: Direction, step: float) -> np.ndarray:
    """The probe after its step: inside the aperture, with its power, modes orthogonal and by falling power."""
    probe = state.model.probe
    if move.probe is None:
        return probe
    rules = problem.settings.probe_rules
    probe = (probe + np.float32(problem.settings.probe_step * state.damping * step) * move.probe).astype(probe.dtype)
    if rules.aperture is not None:
        probe = modes.aperture_support(probe, rules.aperture)
    if rules.keep_power:
        # intensity and electrons over the same pixels, so a mask does not bias the power
        power = (
            float((np.abs(state.model.probe) ** 2).sum(dtype=np.float64)) * move.sums.electrons / move.sums.intensity
        )
        now = float((np.abs(probe) ** 2).sum(dtype=np.float64))
        probe = (probe * np.float32(np.sqrt(power / now))).astype(probe.dtype)
    return modes.orthogonalise(probe)


def _next_background(problem: Problem, background: float, sums: Sums) -> float:
    """Fisher step for a uniform background, not below 0."""
    if not problem.settings.background or sums.background_denominator <= 0:
        return background
    return max(0.0, background + sums.background_numerator / sums.background_denominator)


def recover(state: State) -> State:
    """After a divergence: the state with half the steps and without momentum."""
    return replace(state, model=replace(state.model, object=state.anchor), momentum=-1, damping=state.damping / 2)
