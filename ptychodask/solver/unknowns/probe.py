"""The probe's modes. They need :class:`ProbeSums`; ``ProbeRules`` say when they move.

Where several scans see the object, each has a probe of its own, and its sums are kept apart: :class:`EachScan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...model.state import Model
from ...physics import modes
from ..direction import Direction
from ..problem import Problem
from ..settings import ProbeRules
from ..update import Sums, Update
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


@dataclass(frozen=True)
class EachScan:
    """What the probes of several scans need: of every scan that was seen, by its number, scalars and probe's sums."""

    updates: Mapping[int, Update]

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        return sum(update.nbytes for update in self.updates.values())

    @classmethod
    def merged(cls, parts: list[EachScan]) -> EachScan:
        """Sums of every scan in the order of the list."""
        seen = sorted({scan for part in parts for scan in part.updates})
        return cls({s: Update.merged([part.updates[s] for part in parts if s in part.updates]) for s in seen})


def kept_apart(update: Update, scan: int) -> Update:
    """The update of a block of one of several scans, with what its own probe needs kept apart."""
    its = update.find(ProbeSums)
    return update if its is None else update.without(ProbeSums).put(EachScan({scan: Update(update.sums, its)}))


def less_maps(update: Update) -> Update:
    """The update without the probe's maps."""
    rest, each = update.without(ProbeSums), update.find(EachScan)
    return rest if each is None else rest.put(EachScan({s: its.without(ProbeSums) for s, its in each.updates.items()}))


def direction(problem: Problem, update: Update) -> tuple[np.ndarray | None, float | np.ndarray]:
    """Direction of the probe and its pooled step; None where it does not move. Of several scans, those of each."""
    if (each := update.find(EachScan)) is not None:
        found = [_direction(problem, each.updates[scan][ProbeSums]) for scan in range(len(problem.probes))]
        return np.concatenate([move for move, _ in found]), np.array([step for _, step in found])
    sums = update.find(ProbeSums)
    return (None, 0.0) if sums is None else _direction(problem, sums)


def _direction(problem: Problem, sums: ProbeSums) -> tuple[np.ndarray, float]:
    light = sums.illumination
    move = sums.gradient / np.sqrt(light**2 + (problem.settings.precondition * light.max()) ** 2)
    denominator = power(move, light)
    return move, inner(move, sums.gradient) / denominator if denominator > 0 else 0.0


def advanced(problem: Problem, model: Model, move: Direction, step: float | np.ndarray) -> Model:
    """The model with its probe a step on: inside the aperture, with its power, modes orthogonal and by power."""
    if move.probe is None:
        return model
    if not problem.probes:
        rules, sums = problem.settings.probe_rules, move.totals.sums
        return replace(model, probe=_advanced(rules, model.probe, move.probe, float(step), sums))
    scans, each = len(problem.probes), move.totals[EachScan].updates
    steps = np.broadcast_to(np.asarray(step), scans).tolist()
    before, along = np.split(model.probe, scans), np.split(move.probe, scans)
    made = [_advanced(problem.probes[s], before[s], along[s], steps[s], each[s].sums) for s in range(scans)]
    return replace(model, probe=np.concatenate(made))


def _advanced(rules: ProbeRules, before: np.ndarray, move: np.ndarray, step: float, sums: Sums) -> np.ndarray:
    probe = (before + np.float32(step) * move).astype(before.dtype)
    if rules.aperture is not None:
        probe = modes.aperture_support(probe, rules.aperture)
    if rules.keep_power:
        # intensity and electrons over the same pixels, so a mask does not bias the power
        wanted = _power(before) * sums.electrons / sums.intensity
        probe = (probe * np.float32(np.sqrt(wanted / _power(probe)))).astype(probe.dtype)
    return modes.orthogonalise(probe)


def _power(probe: np.ndarray) -> float:
    return float((np.abs(probe) ** 2).sum(dtype=np.float64))
