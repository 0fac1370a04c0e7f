"""Ramps of their own for patterns (see ``ramps``), with kernels that know of none.

Patterns of nearly the same ramp are computed together, as blocks of their own; gradients of the probe are turned back
and added in a fixed order. The compiled kernels of the CPU, which take ramps themselves, do it in half of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .._array import Array
from ..counts.patterns import Counts, Patterns
from ..counts.subset import some, taken
from ..model.blocks import Block
from ..model.state import Model
from ..solver.door import Kernels
from ..solver.problem import Problem
from ..solver.unknowns.probe import ProbeSums
from ..solver.update import Update
from .ramps import LEVELS, levels_of, ramp_of


@dataclass(frozen=True)
class Ramped:
    """Kernels that see every pattern with its ramp.

    Parameters
    ----------
    problem : Problem
        With ``off``.
    kernels : Kernels
        Which compute.
    """

    problem: Problem
    kernels: Kernels

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool = False) -> Update:
        """See :func:`ptychodask.kernels.plain.partial`."""
        updates = []
        for places, ramp in self._parts(block):
            part, its = block.only(places), some(patterns, places)
            update = self.kernels.partial(part, its, _seen_by(model, ramp), evaluate_only)
            if (probe := update.find(ProbeSums)) is not None:
                turned = (probe.gradient * ramp.conj()).astype(probe.gradient.dtype)
                update = update.put(replace(probe, gradient=turned))
            updates.append(update)
        return Update.merged(updates)

    def line_search(
        self,
        block: Block,
        patterns: Patterns,
        model: Model,
        object_direction: np.ndarray,
        probe_direction: np.ndarray | None,
    ) -> Update:
        """See :func:`ptychodask.kernels.plain.line_search`."""
        updates = []
        for places, ramp in self._parts(block):
            along = None if probe_direction is None else (probe_direction * ramp).astype(probe_direction.dtype)
            part, its = block.only(places), some(patterns, places)
            updates.append(self.kernels.line_search(part, its, _seen_by(model, ramp), object_direction, along))
        return Update.merged(updates)

    def compare(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> tuple[float, float, float]:
        """See :func:`ptychodask.kernels.plain.compare`."""
        found = np.zeros(3)
        levels = levels_of(self.problem, block)[chosen]
        for places, ramp in self._by(levels):
            found += self.kernels.compare(block, taken(counts, places), _seen_by(model, ramp), chosen[places])
        loss, mean, variance = found.tolist()
        return loss, mean, variance

    def nudge(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> np.ndarray:
        """See :func:`ptychodask.kernels.plain.nudge`."""
        out = np.zeros((len(chosen), 2, 2))
        for places, ramp in self._by(levels_of(self.problem, block)[chosen]):
            its = taken(counts, places)
            out[places] = self.kernels.nudge(block, its, _seen_by(model, ramp), chosen[places])
        return out

    def lend(self, values: np.ndarray) -> Array:
        """See :class:`ptychodask.solver.door.Kernels`."""
        return self.kernels.lend(values)

    def _parts(self, block: Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self._by(levels_of(self.problem, block))

    def _by(self, levels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places of the patterns of one ramp, and the ramp [N, N], by rising levels."""
        each, which = np.unique(levels, axis=0, return_inverse=True)
        for number, (y, x) in enumerate(each.tolist()):
            yield np.flatnonzero(which.ravel() == number), ramp_of((y / LEVELS, x / LEVELS), self.problem.pixels)


def ramped(problem: Problem, kernels: Kernels) -> Kernels:
    """Kernels for a problem, with its ramps if it has any."""
    return kernels if problem.off is None else Ramped(problem, kernels)


def _seen_by(model: Model, ramp: np.ndarray) -> Model:
    return replace(model, probe=(model.probe * ramp).astype(model.probe.dtype))
