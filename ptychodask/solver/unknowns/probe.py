"""The probe's modes. They need :class:`ProbeSums`; ``ProbeRules`` say when they move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...model.state import Model
from ...physics import modes
from ..direction import Direction
from ..problem import Problem
from .products import inner, power


@dataclass(frozen=True)
class ProbeSums:
    """Probe numerator [M, N, N] and denominator [N, N]."""

    gradient: np.ndarray
    illumination: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of both maps."""
        return self.gradient.nbytes + self.illumination.nbytes

    @classmethod
    def merged(cls, parts: list[ProbeSums]) -> ProbeSums:
        """Sum in the order of the list."""
        gradient, illumination = parts[0].gradient.copy(), parts[0].illumination.copy()
        for part in parts[1:]:
            gradient += part.gradient
            illumination += part.illumination
        return cls(gradient, illumination)


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
        wanted = _power(before) * move.totals.sums.electrons / move.totals.sums.intensity
        probe = (probe * np.float32(np.sqrt(wanted / _power(probe)))).astype(probe.dtype)
    return replace(model, probe=modes.orthogonalise(probe))


def _power(probe: np.ndarray) -> float:
    return float((np.abs(probe) ** 2).sum(dtype=np.float64))
