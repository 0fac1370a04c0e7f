"""The probe's modes. They need :class:`ptychodask.solver.update.ProbeSums`; ``ProbeRules`` say when they move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...model.state import Model
from ...physics import modes
from ..direction import Direction
from ..problem import Problem
from ..update import ProbeSums
from .products import inner, power


def direction(problem: Problem, sums: ProbeSums | None) -> tuple[np.ndarray | None, float]:
    """Direction of the probe and its pooled step; None where it does not move."""
    if sums is None:
        return None, 0.0
    light = sums.illumination
    move = sums.gradient / np.sqrt(light**2 + (problem.settings.precondition * light.max()) ** 2)
    denominator = power(move, light)
    return move, inner(move, sums.gradient) / denominator if denominator > 0 else 0.0


def advanced(problem: Problem, model: Model, move: Direction, step: float) -> Model:
    """The model with its probe a step on: inside the aperture, with its power, modes orthogonal and by power."""
    if move.probe is None:
        return model
    rules, before = problem.settings.probe_rules, model.probe
    probe = (before + np.float32(step) * move.probe).astype(before.dtype)
    if rules.aperture is not None:
        probe = modes.aperture_support(probe, rules.aperture)
    if rules.keep_power:
        # intensity and electrons over the same pixels, so a mask does not bias the power
        wanted = _power(before) * move.sums.electrons / move.sums.intensity
        probe = (probe * np.float32(np.sqrt(wanted / _power(probe)))).astype(probe.dtype)
    return replace(model, probe=modes.orthogonalise(probe))


def _power(probe: np.ndarray) -> float:
    return float((np.abs(probe) ** 2).sum(dtype=np.float64))
