"""Kernels compiled by numba, pattern by pattern, so that all waves of a pattern stay in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..._array import Array
from ...counts.patterns import Counts, Patterns
from ...model.blocks import Block
from ...model.state import Model
from ...solver.problem import Problem
from ...solver.update import Update
from .block import partial
from .fit import compare
from .line import line_search, nudge
from .workspace import ProblemPanels, problem_panels


@dataclass(frozen=True)
class Cpu:
    """The kernels for a problem."""

    problem: Problem

    @cached_property
    def tables(self) -> ProblemPanels:
        """What is read in every pattern."""
        return problem_panels(self.problem.propagators, self.problem.weights)

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool = False) -> Update:
        """See :func:`ptychodask.kernels.plain.partial`."""
        return partial(self.problem, self.tables, block, patterns, model, evaluate_only)

    def line_search(
        self,
        block: Block,
        patterns: Patterns,
        model: Model,
        object_direction: np.ndarray,
        probe_direction: np.ndarray | None,
    ) -> Update:
        """See :func:`ptychodask.kernels.plain.line_search`."""
        return line_search(self.problem, self.tables, block, patterns, model, object_direction, probe_direction)

    def compare(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> tuple[float, float, float]:
        """See :func:`ptychodask.kernels.plain.compare`."""
        return compare(self.problem, self.tables, block, counts, model, chosen)

    def nudge(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> np.ndarray:
        """See :func:`ptychodask.kernels.plain.nudge`."""
        return nudge(self.problem, self.tables, block, counts, model, chosen)

    def lend(self, values: np.ndarray) -> Array:
        """See :class:`ptychodask.solver.door.Kernels`."""
        return values
