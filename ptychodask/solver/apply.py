"""From a merged update to the next state: direction, step, constraints, probe, acceleration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..model.state import Model, State
from ..physics import constraints, modes
from .problem import Problem
from .settings import ObjectRules
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


def direction(problem: Problem, state: State, update: Update) -> Direction:
    """Directions ``g / sqrt(W^2 + (delta max W)^2)`` and their pooled steps ``<d, g> / sum W |d|^2``."""
    assert update.object is not None
    full = place([update.object], (0, 0), problem.canvas.shape)
    gradient, light = full.gradient, full.illumination
    brightest = light.max(axis=(1, 2), keepdims=True)
    step_map = gradient / np.sqrt(light**2 + (problem.settings.precondition * brightest) ** 2)
    steps = np.array([_pooled(step_map[s], gradient[s], light[s]) for s in range(problem.slices)])
    momentum = state.model.object - state.anchor if state.momentum >= 0 else None
    ascent = 0.0 if momentum is None else _inner(gradient, momentum)
    weight = light**2 / (light**2 + np.float32(0.1) * brightest**2)
    probe, probe_step = None, 0.0
    if update.probe is not None:
        probe, probe_step = _probe_direction(problem, update.probe)
    return Direction(step_map, steps, probe, probe_step, weight, ascent, update.sums)


def _probe_direction(problem: Problem, sums: ProbeSums) -> tuple[np.ndarray, float]:
    light = sums.illumination
    move = sums.gradient / np.sqrt(light**2 + (problem.settings.precondition * light.max()) ** 2)
    return move, _pooled(move, sums.gradient, light)


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """Re <a, b> in float64."""
    return float((a.conj() * b).real.sum(dtype=np.float64))


def _pooled(move: np.ndarray, gradient: np.ndarray, light: np.ndarray) -> float:
    denominator = float((light * (move.real**2 + move.imag**2)).sum(dtype=np.float64))
    return _inner(move, gradient) / denominator if denominator > 0 else 0.0


def advance(problem: Problem, state: State, move: Direction, line: Update | None = None) -> State:
    """The next state.

    Without ``line`` the pooled steps are used: ``a_s kappa / S`` for the object and ``a_P kappa`` for the probe, kappa
    = 1/2 where both move. With the sums of a tangent pass one step ``a`` serves both, clipped to [0.1 / S, 1.5].
    """
    settings = problem.settings
    both = 0.5 if move.probe is not None else 1.0
    if line is None:
        object_steps = move.object_step * both / problem.slices
        probe_step = move.probe_step * both
    else:
        ratio = line.sums.line_numerator / max(line.sums.line_denominator, 1e-30)
        object_steps = np.full(problem.slices, np.clip(ratio, 0.1 / problem.slices, LINE_CLIP))
        probe_step = float(object_steps[0])
    scale = settings.object_step * state.damping * object_steps
    stepped = state.model.object + scale.astype(move.weight.dtype)[:, None, None] * move.object
    anchor = constrain(stepped.astype(state.model.object.dtype), settings.object_rules)
    object_, momentum = _extrapolate(state, move, anchor, settings.object_rules)
    model = Model(
        object_,
        _next_probe(problem, state, move, probe_step),
        state.model.positions,
        _next_background(problem, state.model.background, move.sums),
        state.model.iteration + 1,
    )
    return State(model, anchor, momentum, state.damping)


def _extrapolate(state: State, move: Direction, anchor: np.ndarray, rules: ObjectRules) -> tuple[np.ndarray, int]:
    """Nesterov's point ``x + b w (x - x_before)``, b = (t + 1) / (t + 3), with restart; local constraints hold."""
    if state.momentum < 0:
        return anchor, -1
    restart = move.ascent < 0
    count = 0 if restart else state.momentum
    rate = np.float32(0 if restart else (count + 1) / (count + 3))
    ahead = anchor + rate * move.weight * (anchor - state.anchor)
    if rules.positive:
        ahead = constraints.positive_phase(ahead)
    if rules.amplitude_max is not None:
        ahead = constraints.amplitude_bound(ahead, rules.amplitude_max)
    return ahead.astype(anchor.dtype), count + 1


def constrain(object_: np.ndarray, rules: ObjectRules) -> np.ndarray:
    """Amplitude bound, positivity, lateral blur, then coupling of the slices."""
    if rules.amplitude_max is not None:
        object_ = constraints.amplitude_bound(object_, rules.amplitude_max)
    if rules.positive:
        object_ = constraints.positive_phase(object_)
    object_ = constraints.lateral_blur(object_, rules.blur_pixels)
    if rules.identical:
        return constraints.identical_slices(object_)
    return constraints.coupled_slices(object_, rules.coupling_slices)


def _next_probe(problem: Problem, state: State, move: Direction, step: float) -> np.ndarray:
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
